"""Finds the models of a run and tests each part (captioner, scorer, tagger) with its tests."""

from collections.abc import Iterator, Mapping

from curation.config.models import (
    CaptionerConfig,
    DualEncoderScorerConfig,
    PeAudioScorerConfig,
    ScorerConfig,
    TaggerConfig,
)
from curation.config.run import RunConfig
from curation.models.captioners.build import build_captioner
from curation.models.checks import captioner, scorer, tagger
from curation.models.checks.findings import ModelTestFinding, run_model_tests
from curation.models.scorers.build import build_scorer
from curation.models.taggers.build import build_tagger

ModelSection = CaptionerConfig | ScorerConfig | TaggerConfig


def model_sections(config: RunConfig) -> dict[str, ModelSection]:
    """Return the sections of a run's YAML that name models, by part."""
    named = {
        "captioner": config.captioner,
        "scorer": config.scorer,
        "second_scorer": config.second_scorer,
        "tagger": config.tags.tagger,
    }
    return {part: section for part, section in named.items() if section}


def check_models(
    sections: Mapping[str, ModelSection],
) -> Iterator[tuple[str, list[ModelTestFinding]]]:
    """Test the models one after the other; only one is in memory at a time."""
    for part, section in sections.items():
        yield part, _findings(section)


def _findings(section: ModelSection) -> list[ModelTestFinding]:
    match section:
        case TaggerConfig():
            return run_model_tests(lambda: build_tagger(section), tagger.TAGGER_TESTS)
        case DualEncoderScorerConfig() | PeAudioScorerConfig():
            return run_model_tests(lambda: build_scorer(section), scorer.SCORER_TESTS)
        case _:
            return run_model_tests(
                lambda: build_captioner(section), captioner.captioner_tests(section.guidance)
            )
