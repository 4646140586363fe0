"""Builds the tagger that a section of a run's YAML describes."""

from functools import singledispatch

from curation.config.models import TaggerConfig
from curation.models.taggers.audioset import AudioSetTagger
from curation.models.taggers.base import Tagger


@singledispatch
def build_tagger(config: object) -> Tagger:
    """Build the adapter for a configuration; it loads no weights until `setup`.

    One adapter is registered for each type of configuration.
    """
    raise TypeError(f"no tagger is registered for {type(config).__name__}")


@build_tagger.register
def _(config: TaggerConfig) -> Tagger:
    return AudioSetTagger(config.model, config.revision, config=config)
