"""Scorers: the contract, and one adapter a kind of model."""

from functools import singledispatch

from curation.config.models import DualEncoderConfig, PeAudioConfig
from curation.models.scorers.base import Scorer
from curation.models.scorers.clap import DualEncoderScorer
from curation.models.scorers.pe_audio import PeAudioScorer


@singledispatch
def build(config: object) -> Scorer:
    """The adapter that a run's configuration names, light until its `setup`.

    One is registered for each type of configuration.
    """
    raise TypeError(f"no scorer is registered for {type(config).__name__}")


@build.register
def _(config: DualEncoderConfig) -> Scorer:
    return DualEncoderScorer(model=config.model, revision=config.revision)


@build.register
def _(config: PeAudioConfig) -> Scorer:
    return PeAudioScorer(model=config.model, revision=config.revision, dtype=config.dtype)
