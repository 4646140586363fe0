"""Captioners: the contract, and one adapter a kind of model."""

from functools import singledispatch

from curation.config.models import (
    AudioLlmConfig,
    EncoderDecoderConfig,
    RemoteCodeConfig,
    TagGuidedConfig,
    VllmConfig,
)
from curation.models.captioners.audio_llm import AudioLlm
from curation.models.captioners.base import Captioner
from curation.models.captioners.encoder_decoder import EncoderDecoder
from curation.models.captioners.remote_code import RemoteCode
from curation.models.captioners.tag_guided import TagGuided
from curation.models.captioners.vllm import Vllm


@singledispatch
def build(config: object) -> Captioner:
    """The adapter that a run's configuration names, light until its `setup`.

    One is registered for each type of configuration.
    """
    raise TypeError(f"no captioner is registered for {type(config).__name__}")


@build.register
def _(config: TagGuidedConfig) -> Captioner:
    return TagGuided(
        model=config.model,
        revision=config.revision,
        candidates=config.candidates,
        beams=config.beams,
        temperature=config.temperature,
    )


@build.register
def _(config: AudioLlmConfig) -> Captioner:
    return AudioLlm(config.model, config.revision, config=config)


@build.register
def _(config: EncoderDecoderConfig) -> Captioner:
    return EncoderDecoder(config.model, config.revision, config=config)


@build.register
def _(config: RemoteCodeConfig) -> Captioner:
    return RemoteCode(config.model, config.revision, config=config)


@build.register
def _(config: VllmConfig) -> Captioner:
    return Vllm(config.model, config.revision, config=config)
