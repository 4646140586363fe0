"""Builds the scorer of a section in a run's YAML."""

from functools import singledispatch

from curation.config.models import DualEncoderScorerConfig, PeAudioScorerConfig
from curation.models.scorers.base import Scorer
from curation.models.scorers.dual_encoder import DualEncoderScorer
from curation.models.scorers.pe_audio import PeAudioScorer


@singledispatch
def build_scorer(config: object) -> Scorer:
    """The adapter of a configuration; it is small until its `setup`.

    One adapter is registered for each type of configuration.
    """
    raise TypeError(f"no scorer is registered for {type(config).__name__}")


@build_scorer.register
def _(config: DualEncoderScorerConfig) -> Scorer:
    return DualEncoderScorer(model=config.model, revision=config.revision)


@build_scorer.register
def _(config: PeAudioScorerConfig) -> Scorer:
    return PeAudioScorer(model=config.model, revision=config.revision, dtype=config.dtype)
