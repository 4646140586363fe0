"""Builds the scorer that a section of a run's YAML describes."""

from functools import singledispatch

from curation.config.models import DualEncoderScorerConfig, PeAudioScorerConfig
from curation.models.scorers.base import Scorer
from curation.models.scorers.dual_encoder import DualEncoderScorer
from curation.models.scorers.pe_audio import PeAudioScorer


@singledispatch
def build_scorer(config: object) -> Scorer:
    """Build the adapter for a configuration; it loads no weights until `setup`.

    One adapter is registered for each type of configuration.
    """
    raise TypeError(f"no scorer is registered for {type(config).__name__}")


@build_scorer.register
def _(config: DualEncoderScorerConfig) -> Scorer:
    return DualEncoderScorer(model=config.model, revision=config.revision)


@build_scorer.register
def _(config: PeAudioScorerConfig) -> Scorer:
    return PeAudioScorer(model=config.model, revision=config.revision, dtype=config.dtype)
