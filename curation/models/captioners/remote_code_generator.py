"""Generates captions with a loaded model that brings its own code; created in `setup`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from curation.config.models import RemoteCodeConfig
from curation.errors import InputError
from curation.models import pretrained, weights
from curation.models.captioners.base import Candidate, candidate_seed
from curation.models.captioners.generated_text import GeneratedText, build_candidates
from curation.models.waveform_checks import apply_to_valid_clips, pad_to_min_length
from curation.schema import Failure

# The published models halve 10 ms frames five times, and divide by what is left of a clip.
_SHORTEST_S = 0.4


class RemoteCodeGenerator:
    """A loaded model with its own code; see `RemoteCodeCaptioner` for the arguments."""

    def __init__(
        self,
        folder: Path,
        words: Path,
        config: RemoteCodeConfig,
        expected: str,
        device: str,
        sample_rate_hz: int,
    ) -> None:
        self._model, self._tokenizer = pretrained.load_remote_code_model(
            folder, words, config, expected, device
        )
        self._config = config
        self._shortest = round(sample_rate_hz * _SHORTEST_S)
        if self._tokenizer.eos_token_id is None:
            raise InputError(
                f"{words}: the tokenizer names no end token, by which a whole caption is known; "
                "expected eos_token in tokenizer_config.json"
            )

    def move(self, device: str) -> None:
        """Move the weights to another device; "auto" is the GPU if there is one."""
        self._model.to(weights.resolve_device(device))

    @torch.inference_mode()
    def caption(
        self, waveforms: Sequence[np.ndarray], seeds: Sequence[int], wanted: range
    ) -> list[list[Candidate] | Failure]:
        """Write captions as `Captioner.caption` does.

        Candidate 0 is the best caption of a beam search; the other candidates are sampled.
        """
        return apply_to_valid_clips(
            waveforms,
            "caption",
            lambda valid: [
                self._caption_clip(waveforms[clip], seeds[clip], wanted) for clip in valid
            ],
        )

    def _caption_clip(
        self, waveform: np.ndarray, seed: int, wanted: range
    ) -> list[Candidate] | Failure:
        """The captions of one clip; other clips in its batch would change features and samples."""
        audio = torch.from_numpy(pad_to_min_length(waveform, self._shortest).astype(np.float32))[
            None
        ]
        try:
            return build_candidates([self._generate(audio, seed, number) for number in wanted])
        except torch.OutOfMemoryError:
            raise
        # A model's own code raises what it likes.
        except Exception as error:
            return Failure("caption", type(error).__name__, str(error))

    def _generate(self, audio: torch.Tensor, seed: int, number: int) -> GeneratedText:
        """A candidate for a clip `[1, sample]`."""
        beam = {"sample_method": "beam", "beam_size": self._config.beams}
        sample = {"sample_method": "sample", "temp": self._config.temperature}
        with self._seeded(seed, number):
            ids = self._model(
                audio=audio,
                audio_length=[audio.shape[1]],
                max_length=self._config.max_tokens,
                **(sample if number else beam),
            )[0].tolist()
        end = self._tokenizer.eos_token_id
        length = ids.index(end) if end in ids else len(ids)
        text = self._tokenizer.decode(ids[:length], skip_special_tokens=True)
        return GeneratedText(text, "sample" if number else "beam", None, length < len(ids))

    @contextmanager
    def _seeded(self, seed: int, number: int) -> Iterator[None]:
        """The model draws from torch's global state: set it, and give it back."""
        device = self._model.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(candidate_seed(seed, number))
            yield
