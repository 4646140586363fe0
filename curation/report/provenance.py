"""What a run is, a line for each of its parts: whence the clips, who captions, who scores."""

from curation.config.run import RunConfig
from curation.run.record import RunRecord
from curation.section import Section


def describe_provenance(record: RunRecord, config: RunConfig) -> dict[str, str]:
    """The lines by the part that they tell of."""
    models, captioner = record.models, config.captioner
    catalog = config.catalog.model_dump(exclude_defaults=True)
    told = {
        "clips": ", ".join(
            [config.catalog.kind]
            + [f"{key}: {value}" for key, value in catalog.items() if key != "kind"]
        )
    }
    if config.tags.tagger:
        kept = "and those of the catalog" if config.tags.use == "both" else "in the catalog's stead"
        told["tags"] = f"of {models['tagger']['model']}, {kept}"
    guided = "told the clip's tags" if captioner.guidance == "tags" else "told nothing but sound"
    told["captioner"] = f"{models['captioner']['model']} ({captioner.kind}), {guided}"
    told["captions"] = f"{captioner.candidates} asked for a clip, equal ones kept once"
    if config.adaptive:
        told["captions"] = (
            f"{config.adaptive.first} asked for a clip, and the rest of {captioner.candidates} "
            f"only where none scored {config.adaptive.enough_score:g}; equal ones kept once"
        )
    told["scorer"] = _scorer(models["scorer"]["model"], config.scorer)
    if config.second_scorer:
        told["second scorer"] = _scorer(models["second_scorer"]["model"], config.second_scorer)
    return told


def _scorer(model: str, section: Section) -> str:
    return f"{model} ({section.model_dump()['kind']})"
