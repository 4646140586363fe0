"""Generates captions with the loaded tag-guided captioner; the adapter creates it in `setup`."""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from curation.models import weights
from curation.models.captioners.base import Candidate
from curation.models.decoding.batch_decoding import decode_captions
from curation.models.decoding.next_token import DecodedCaption, draw_uniform_noise
from curation.models.log_mel_input import FrontEnd
from curation.models.networks import feature_batches
from curation.models.networks.cnn14 import fold_batch_norms
from curation.models.networks.tag_guided_captioner import EncoderOutput, TagGuidedCaptioner
from curation.models.waveform_checks import apply_to_valid_clips
from curation.schema import Failure

# Of the clips that write at once: 879 of the built-in model, 37 of one with 5,000 words.
_MAX_NOISE_BYTES = 2**27


class TagGuidedGenerator:
    """A loaded captioner; its arguments are those of `TagGuidedAdapter`."""

    def __init__(
        self,
        folder: Path,
        device: str,
        candidates: int,
        beams: int,
        temperature: float,
        max_tokens: int,
    ) -> None:
        self._model, self._tokenizer = weights.load_network_and_tokenizer(
            folder, TagGuidedCaptioner, device
        )
        fold_batch_norms(self._model)
        self._candidates = candidates
        self._beams = beams
        self._temperature = temperature
        self._max_tokens = max_tokens

    def move(self, device: str) -> None:
        """Move the weights to another device; "auto" is the GPU if there is one."""
        self._model.to(weights.resolve_device(device))

    @torch.inference_mode()
    def encode(
        self, waveforms: Sequence[np.ndarray], tags: Sequence[np.ndarray]
    ) -> list[EncoderOutput | Failure]:
        """As `ReusableEncoding.encode`, but the guidance is one tag vector `[tag]` per clip."""
        return apply_to_valid_clips(
            waveforms,
            "caption",
            lambda valid: self._encode_valid(
                [waveforms[clip] for clip in valid], np.stack([tags[clip] for clip in valid])
            ),
        )

    @property
    def front_end(self) -> FrontEnd | None:
        return feature_batches.find_shared_front_end(self._model)

    def compute_features(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray | Failure]:
        """Compute features as `LogMelInput.compute_features` does."""
        return apply_to_valid_clips(
            waveforms,
            "caption",
            lambda valid: feature_batches.compute_features(
                [waveforms[clip] for clip in valid], self._model
            ),
        )

    @torch.inference_mode()
    def encode_features(
        self, features: Sequence[np.ndarray], tags: Sequence[np.ndarray]
    ) -> list[EncoderOutput]:
        """As `encode`, but starts from the results of `compute_features`."""
        chunks = feature_batches.encode_features_in_chunks(
            features, self._build_encoder(np.stack(tags))
        )
        return _order_rows(chunks)

    @torch.inference_mode()
    def write(
        self, encoded: Sequence[EncoderOutput | Failure], seeds: Sequence[int], wanted: range
    ) -> list[list[Candidate] | Failure]:
        """Write captions as `ReusableEncoding.write` does.

        Candidate 0 is the best caption of a beam search; the other candidates are sampled.
        """
        valid = [
            (one, seed)
            for one, seed in zip(encoded, seeds, strict=True)
            if isinstance(one, EncoderOutput)
        ]
        most = max(1, _MAX_NOISE_BYTES // max(1, self._noise_bytes))
        parts = [valid[start : start + most] for start in range(0, len(valid), most)]
        written = iter([one for part in parts for one in self._decode(part, wanted)])
        return [one if isinstance(one, Failure) else next(written) for one in encoded]

    def _encode_valid(self, waveforms: list[np.ndarray], tags: np.ndarray) -> list[EncoderOutput]:
        """Each clip's, in order."""
        chunks = feature_batches.encode_in_chunks(waveforms, self._model, self._build_encoder(tags))
        return _order_rows(chunks)

    def _build_encoder(
        self, tags: np.ndarray
    ) -> Callable[[Tensor, Tensor, list[int]], EncoderOutput]:
        """The encoder, guided by the vectors `[clip, tag]` of the clips that it is given."""
        vectors = torch.from_numpy(tags).to(self._model.device)
        encoder = self._model.encoder
        return lambda features, lengths, rows: encoder(features, lengths, vectors[rows])

    def _decode(
        self, encoded: list[tuple[EncoderOutput, int]], wanted: range
    ) -> list[list[Candidate] | Failure]:
        """The wanted candidates of encoded clips, each with its seed."""
        rows, seeds = zip(*encoded, strict=True)
        beam, sampled = decode_captions(
            self._model,
            EncoderOutput.batch(rows),
            self._beams if 0 in wanted else 0,
            self._draw_noise(seeds, wanted),
            self._temperature,
            self._max_tokens,
        )
        best = [[one] for one in beam] if beam else [[]] * len(sampled)
        return [
            self._build_candidates(first, rest) for first, rest in zip(best, sampled, strict=True)
        ]

    @property
    def _noise_bytes(self) -> int:
        """The memory of a clip's noise."""
        words = self._model.config.vocab_size
        return (self._candidates - 1) * self._max_tokens * words * torch.float64.itemsize

    def _draw_noise(self, seeds: Sequence[int], wanted: range) -> Tensor | None:
        """The noise of the samples among these candidates; drawn with all the others', so that it
        is always the same."""
        samples = [number - 1 for number in wanted if number]
        if not samples:
            return None
        words = self._model.config.vocab_size
        noise = draw_uniform_noise(seeds, self._candidates - 1, self._max_tokens, words)
        return noise[:, samples[0] : samples[-1] + 1]

    def _build_candidates(
        self, best: Sequence[DecodedCaption], samples: Sequence[DecodedCaption]
    ) -> list[Candidate] | Failure:
        if not all(math.isfinite(one.log_prob) for one in (*best, *samples)):
            return Failure("caption", "not_finite", "the model's logits are not finite")
        by_method = [*(("beam", one) for one in best), *(("sample", one) for one in samples)]
        return [
            Candidate(self._tokenizer.decode(one.ids), method, one.log_prob)
            for method, one in by_method
        ]


def _order_rows(chunks: Iterable[tuple[list[int], EncoderOutput]]) -> list[EncoderOutput]:
    """One output per clip, in the order of the clips."""
    by_place = {
        place: row
        for places, chunk in chunks
        for place, row in zip(places, chunk.rows(), strict=True)
    }
    return [by_place[place] for place in range(len(by_place))]
