"""Scorers: the contract, and one adapter a kind of model."""

from curation.config import DualEncoderConfig
from curation.scorers.base import Scorer
from curation.scorers.clap import DualEncoderScorer


def build(config: DualEncoderConfig) -> Scorer:
    """The adapter that a run's configuration names, light until its `setup`."""
    return DualEncoderScorer(model=config.model, revision=config.revision)
