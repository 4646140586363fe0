"""Builds the captioner that a section of a run's YAML describes."""

from functools import singledispatch

from curation.config.models import (
    AudioLlmConfig,
    EncoderDecoderConfig,
    RemoteCodeConfig,
    TagGuidedConfig,
    VllmConfig,
)
from curation.models.captioners.audio_llm import AudioLlmCaptioner
from curation.models.captioners.base import Captioner
from curation.models.captioners.encoder_decoder import EncoderDecoderCaptioner
from curation.models.captioners.remote_code import RemoteCodeCaptioner
from curation.models.captioners.tag_guided import TagGuidedAdapter
from curation.models.captioners.vllm import VllmCaptioner


@singledispatch
def build_captioner(config: object) -> Captioner:
    """Build the adapter for a configuration; it loads no weights until `setup`.

    One adapter is registered for each type of configuration.
    """
    raise TypeError(f"no captioner is registered for {type(config).__name__}")


@build_captioner.register
def _(config: TagGuidedConfig) -> Captioner:
    return TagGuidedAdapter(
        model=config.model,
        revision=config.revision,
        candidates=config.candidates,
        beams=config.beams,
        temperature=config.temperature,
    )


@build_captioner.register
def _(config: AudioLlmConfig) -> Captioner:
    return AudioLlmCaptioner(config.model, config.revision, config=config)


@build_captioner.register
def _(config: EncoderDecoderConfig) -> Captioner:
    return EncoderDecoderCaptioner(config.model, config.revision, config=config)


@build_captioner.register
def _(config: RemoteCodeConfig) -> Captioner:
    return RemoteCodeCaptioner(config.model, config.revision, config=config)


@build_captioner.register
def _(config: VllmConfig) -> Captioner:
    return VllmCaptioner(config.model, config.revision, config=config)
