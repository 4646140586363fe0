"""The models of a run by the part they play, each with the tests of that part."""

from collections.abc import Iterator, Mapping

from curation.config.models import (
    CaptionerConfig,
    DualEncoderConfig,
    PeAudioConfig,
    ScorerConfig,
    TaggerConfig,
)
from curation.config.run import RunConfig
from curation.models import captioners, scorers, taggers
from curation.models.checks import captioner, scorer, tagger
from curation.models.checks.findings import Finding, examine

Section = CaptionerConfig | ScorerConfig | TaggerConfig


def sections_of(config: RunConfig) -> dict[str, Section]:
    """What a run's YAML says of each of its models, by part."""
    named = {
        "captioner": config.captioner,
        "scorer": config.scorer,
        "second_scorer": config.second_scorer,
        "tagger": config.tags.tagger,
    }
    return {part: section for part, section in named.items() if section}


def check(sections: Mapping[str, Section]) -> Iterator[tuple[str, list[Finding]]]:
    """Test the models one after the other, none in memory beside another."""
    for part, section in sections.items():
        yield part, _findings(section)


def _findings(section: Section) -> list[Finding]:
    match section:
        case TaggerConfig():
            return examine(lambda: taggers.build(section), tagger.TESTS)
        case DualEncoderConfig() | PeAudioConfig():
            return examine(lambda: scorers.build(section), scorer.TESTS)
        case _:
            return examine(lambda: captioners.build(section), captioner.tests(section.guidance))
