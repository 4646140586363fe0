"""Generates captions with a loaded audio-language model; the adapter creates it in `setup`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import (
    MODEL_FOR_MULTIMODAL_LM_MAPPING,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    AutoModelForCausalLM,
    AutoModelForMultimodalLM,
    AutoModelForSeq2SeqLM,
    Qwen2_5OmniThinkerForConditionalGeneration,
    Qwen3OmniMoeThinkerForConditionalGeneration,
)
from transformers.configuration_utils import PreTrainedConfig

from curation.config.models import AudioLlmConfig
from curation.models import files, pretrained
from curation.models.captioners import chat_template
from curation.models.captioners.base import Candidate
from curation.models.captioners.generated_text import build_candidates
from curation.models.captioners.pretrained_generator import PretrainedGenerator
from curation.models.decoding import transformers_sampling
from curation.models.waveform_checks import apply_to_valid_clips
from curation.schema import Failure

# The half of an Omni model that writes; the other half speaks.
_THINKERS = {
    "qwen2_5_omni": Qwen2_5OmniThinkerForConditionalGeneration,
    "qwen3_omni_moe": Qwen3OmniMoeThinkerForConditionalGeneration,
}
_KNOWN = {
    AutoModelForMultimodalLM: MODEL_FOR_MULTIMODAL_LM_MAPPING,
    AutoModelForSeq2SeqLM: MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    AutoModelForCausalLM: (),
}


class AudioLlmGenerator(PretrainedGenerator):
    """A loaded audio-language model; its arguments are those of `AudioLlmCaptioner`."""

    def __init__(self, folder: Path, config: AudioLlmConfig, expected: str, device: str) -> None:
        super().__init__(folder, config, select_audio_llm_class, expected, device)
        self._config = config
        self._rate_hz = files.read_sample_rate_hz(folder)
        chat_template.require_chat_template(folder, self._processor)
        # Captions are written behind their prompts, so prompts end together.
        self._processor.tokenizer.padding_side = "left"

    def caption(
        self,
        waveforms: Sequence[np.ndarray],
        prompts: Sequence[str],
        labels: Sequence[Sequence[str]],
        seeds: Sequence[int],
        wanted: range,
    ) -> list[list[Candidate] | Failure]:
        """Write captions as `Captioner.caption` does, for the prompt and tag names of each clip."""

        def caption_valid(valid: list[int]) -> list[list[Candidate] | Failure]:
            sampled = transformers_sampling.sample_candidates(
                self._model.generate,
                self._build_inputs(
                    [waveforms[clip] for clip in valid], [prompts[clip] for clip in valid]
                ),
                transformers_sampling.draw_uniform_numbers(
                    [seeds[clip] for clip in valid], wanted, self._config.max_tokens
                ),
                self._config.temperature,
                self._config.top_p,
            )
            return [
                build_candidates(
                    [self._decode_text("sample", one) for one in samples], labels[clip]
                )
                for clip, samples in zip(valid, sampled, strict=True)
            ]

        return apply_to_valid_clips(waveforms, "caption", caption_valid)

    def _build_inputs(self, waveforms: list[np.ndarray], prompts: list[str]) -> Any:
        """What the model is given, one row per clip."""
        conversations = [
            chat_template.build_conversation(
                prompt, audio=chat_template.pad_to_one_token(waveform, self._rate_hz)
            )
            for waveform, prompt in zip(waveforms, prompts, strict=True)
        ]
        inputs = self._processor.apply_chat_template(
            conversations,
            tokenize=True,
            add_generation_prompt=True,
            return_dict=True,
            return_tensors="pt",
            # Of the prompts alone: sounds are padded as the model wants them.
            processor_kwargs={"text_kwargs": {"padding": True}},
        )
        return inputs.to(self._model.device, self._model.dtype)


def select_audio_llm_class(config: PreTrainedConfig) -> pretrained.ModelClassChoice | None:
    """Return the class that opens an audio model with text output; None if there is none.

    transformers lists such models under several of its `Auto` classes. It lists Omni models, which
    write and speak, only as a whole. A model's own code may also register it as a causal language
    model.
    """
    if config.model_type in _THINKERS:
        return pretrained.ModelClassChoice(_THINKERS[config.model_type], config.thinker_config)
    own = getattr(config, "auto_map", None) or {}
    for auto, known in _KNOWN.items():
        if type(config) in known or auto.__name__ in own:
            return pretrained.ModelClassChoice(auto, config)
    return None
