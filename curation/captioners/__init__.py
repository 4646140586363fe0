"""Captioners: the contract, and one adapter a kind of model."""

from curation.captioners.base import Captioner
from curation.captioners.tag_guided import TagGuided
from curation.config import TagGuidedConfig


def build(config: TagGuidedConfig) -> Captioner:
    """The adapter that a run's configuration names, light until its `setup`."""
    return TagGuided(
        model=config.model,
        revision=config.revision,
        candidates=config.candidates,
        beams=config.beams,
        temperature=config.temperature,
    )
