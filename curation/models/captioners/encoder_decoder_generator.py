"""Generates captions with a loaded speech-to-text model; the adapter creates it in `setup`."""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING,
    AutoModelForSpeechSeq2Seq,
    GenerationMixin,
    WhisperTokenizer,
)
from transformers.configuration_utils import PreTrainedConfig

from curation.config.models import EncoderDecoderConfig
from curation.models import files, pretrained
from curation.models.captioners.base import Candidate
from curation.models.captioners.generated_text import build_candidates
from curation.models.captioners.pretrained_generator import PretrainedGenerator
from curation.models.decoding import transformers_sampling
from curation.models.decoding.transformers_sampling import SampledText
from curation.models.waveform_checks import apply_to_valid_clips
from curation.schema import Failure

_GenerateInputs = dict[str, Any]
_Captions = list[list[SampledText | None]]


class EncoderDecoderGenerator(PretrainedGenerator):
    """A loaded speech-to-text model; its arguments are those of `EncoderDecoderCaptioner`."""

    def __init__(
        self, folder: Path, config: EncoderDecoderConfig, expected: str, device: str
    ) -> None:
        super().__init__(folder, config, select_encoder_decoder_class, expected, device)
        self._config = config
        self._rate_hz = files.read_sample_rate_hz(folder)
        # A Whisper's own `generate` cuts, detects a language and merges what speech is split into.
        self._generate = partial(GenerationMixin.generate, self._model)

    @torch.inference_mode()
    def caption(
        self, waveforms: Sequence[np.ndarray], seeds: Sequence[int], wanted: range
    ) -> list[list[Candidate] | Failure]:
        """Write captions as `Captioner.caption` does.

        Candidate 0 is the best caption of a beam search; the other candidates are sampled.
        """

        def caption_valid(valid: list[int]) -> list[list[Candidate] | Failure]:
            inputs = self._encode([waveforms[clip] for clip in valid])
            samples = [number for number in wanted if number]
            samples_by_clip = self._sample(inputs, [seeds[clip] for clip in valid], samples)
            # After the samples: it repeats the encoding in place.
            best = self._beam_search(inputs, len(valid)) if 0 in wanted else [[] for _ in valid]
            return [
                build_candidates(
                    [self._decode_text("beam", one) for one in first]
                    + [self._decode_text("sample", one) for one in rest]
                )
                for first, rest in zip(best, samples_by_clip, strict=True)
            ]

        return apply_to_valid_clips(waveforms, "caption", caption_valid)

    def _encode(self, waveforms: list[np.ndarray]) -> _GenerateInputs:
        """What `generate` is given: the encoder's output, and what every caption begins with."""
        features = self._processor(
            audio=waveforms,
            sampling_rate=self._rate_hz,
            return_attention_mask=True,
            return_tensors="pt",
        ).to(self._model.device, self._model.dtype)
        encoded = self._model.get_encoder()(**features, return_dict=True)
        inputs = {"encoder_outputs": encoded, "attention_mask": features["attention_mask"]}
        tokenizer = self._processor.tokenizer
        if isinstance(tokenizer, WhisperTokenizer):
            # Language and task, as in training; other models begin with their start token.
            start = torch.tensor([tokenizer.prefix_tokens], device=self._model.device)
            inputs["decoder_input_ids"] = start.repeat(len(waveforms), 1)
        return inputs

    def _sample(self, inputs: _GenerateInputs, seeds: list[int], wanted: list[int]) -> _Captions:
        numbers = transformers_sampling.draw_uniform_numbers(seeds, wanted, self._config.max_tokens)
        return transformers_sampling.sample_candidates(
            self._generate, inputs, numbers, self._config.temperature
        )

    def _beam_search(self, inputs: _GenerateInputs, clips: int) -> _Captions:
        """The best beam of each clip."""
        if self._config.beams == 1:
            numbers = torch.zeros(clips, 1, self._config.max_tokens)
            return transformers_sampling.sample_candidates(
                self._generate, inputs, numbers, top_p=0.0
            )
        found = self._generate(
            **inputs,
            num_beams=self._config.beams,
            max_new_tokens=self._config.max_tokens,
            length_penalty=1.0,
            return_dict_in_generate=True,
            output_scores=True,
        )
        written = found.sequences[:, -found.beam_indices.shape[1] :].tolist()
        scores = found.sequences_scores.tolist()
        return [
            [None if math.isnan(score) else self._until_end(ids, score)]
            for ids, score in zip(written, scores, strict=True)
        ]

    def _until_end(self, ids: list[int], score: float) -> SampledText:
        end_ids = self._model.generation_config.eos_token_id
        length = next((at for at, token in enumerate(ids) if token in end_ids), len(ids))
        return SampledText(tuple(ids[:length]), score, length < len(ids))


def select_encoder_decoder_class(config: PreTrainedConfig) -> pretrained.ModelClassChoice | None:
    """Return the class that opens an encoder-decoder with text output; None if there is none."""
    own = AutoModelForSpeechSeq2Seq.__name__ in (getattr(config, "auto_map", None) or {})
    known = type(config) in MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING
    if config.is_encoder_decoder and (own or known):
        return pretrained.ModelClassChoice(AutoModelForSpeechSeq2Seq, config)
    return None
