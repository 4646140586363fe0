"""Describes the origin of a run's pairs: one line each for catalog, tagger, captioner, scorers."""

from curation.config.run import RunConfig
from curation.run.record import RunRecord
from curation.section import Section


def describe_provenance(record: RunRecord, config: RunConfig) -> dict[str, str]:
    """Describe each part of a run (catalog, tagger, ...) in one line, by the part's name."""
    models, captioner = record.models, config.captioner
    catalog = config.catalog.model_dump(exclude_defaults=True)
    lines = {
        "clips": ", ".join(
            [config.catalog.kind]
            + [f"{key}: {value}" for key, value in catalog.items() if key != "kind"]
        )
    }
    if config.tags.tagger:
        use = (
            "and those of the catalog"
            if config.tags.use == "both"
            else "instead of those of the catalog"
        )
        lines["tags"] = f"of {models['tagger']['model']}, {use}"
    guided = "guided by the clip's tags" if captioner.guidance == "tags" else "without guidance"
    lines["captioner"] = f"{models['captioner']['model']} ({captioner.kind}), {guided}"
    lines["captions"] = f"{captioner.candidates} requested per clip, equal ones kept once"
    if config.adaptive:
        lines["captions"] = (
            f"{config.adaptive.first} requested per clip, and the rest of {captioner.candidates} "
            f"only where none scored {config.adaptive.enough_score:g}; equal ones kept once"
        )
    lines["scorer"] = _scorer(models["scorer"]["model"], config.scorer)
    if config.second_scorer:
        lines["second scorer"] = _scorer(models["second_scorer"]["model"], config.second_scorer)
    return lines


def _scorer(model: str, section: Section) -> str:
    return f"{model} ({section.model_dump()['kind']})"
