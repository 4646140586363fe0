"""Taggers: the contract, and one adapter a kind of model."""

from functools import singledispatch

from curation.models.config import TaggerConfig
from curation.taggers.audioset import AudioSetTagger
from curation.taggers.base import Tagger
from curation.tags import ontology


@singledispatch
def build(config: object) -> Tagger:
    """The adapter that a run's configuration names, light until its `setup`.

    One is registered for each type of configuration.
    """
    raise TypeError(f"no tagger is registered for {type(config).__name__}")


@build.register
def _(config: TaggerConfig) -> Tagger:
    """Raises InputError where a threshold is that of no AudioSet class."""
    return AudioSetTagger(
        model=config.model,
        revision=config.revision,
        dtype=config.dtype,
        trust_remote_code=config.trust_remote_code,
        top_k=config.top_k,
        threshold=config.threshold,
        thresholds={
            ontology.tag_of(label).mid: least for label, least in config.thresholds.items()
        },
    )
