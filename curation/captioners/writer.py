"""Captions of the tag-guided captioner, by its weights: what its adapter is when set up."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from curation.captioners.base import Candidate
from curation.models import inputs, weights
from curation.models.captioner import EncoderOutput, TagGuidedCaptioner
from curation.models.decoding import decode
from curation.models.heard import each_heard
from curation.models.next_word import Decoded, gumbel_noise
from curation.schema import Failure


class Writer:
    """A loaded captioner; the arguments are `TagGuided`'s."""

    def __init__(
        self,
        folder: Path,
        device: str,
        candidates: int,
        beams: int,
        temperature: float,
        max_tokens: int,
    ) -> None:
        self._model, self._tokenizer = weights.load(folder, TagGuidedCaptioner, device)
        self._candidates = candidates
        self._beams = beams
        self._temperature = temperature
        self._max_tokens = max_tokens

    def move(self, device: str) -> None:
        """Take the weights to another device, "auto" the GPU where there is one."""
        self._model.to(weights.pick_device(device))

    @torch.inference_mode()
    def caption(
        self,
        waveforms: Sequence[np.ndarray],
        tags: Sequence[np.ndarray],
        seeds: Sequence[int],
        first: int,
        last: int | None,
    ) -> list[list[Candidate] | Failure]:
        """As `Captioner.caption`, guided by tag vectors `[tag]`."""
        wanted = range(self._candidates)[first:last]
        return each_heard(
            waveforms,
            "caption",
            lambda heard: self._write(
                [waveforms[clip] for clip in heard],
                np.stack([tags[clip] for clip in heard]),
                [seeds[clip] for clip in heard],
                wanted,
            ),
        )

    def _write(
        self, waveforms: list[np.ndarray], tags: np.ndarray, seeds: list[int], wanted: range
    ) -> list[list[Candidate] | Failure]:
        """The wanted candidates: number 0 is the best beam, the others are sampled."""
        model, vectors = self._model, torch.from_numpy(tags)
        encoded = inputs.in_chunks(
            waveforms,
            model,
            lambda features, lengths, rows: model.encoder(features, lengths, vectors[rows]),
        )
        beam, sampled = decode(
            model,
            _joined(encoded, len(waveforms)),
            self._beams if 0 in wanted else 0,
            self._noise(seeds, [number - 1 for number in wanted if number]),
            self._temperature,
            self._max_tokens,
        )
        best = [[one] for one in beam] if beam else [[]] * len(sampled)
        return [self._told(first, rest) for first, rest in zip(best, sampled, strict=True)]

    def _noise(self, seeds: list[int], samples: list[int]) -> torch.Tensor | None:
        """The noise of these samples, drawn with all the others', so that it is always the same."""
        if not samples:
            return None
        words = self._model.config.vocab_size
        return gumbel_noise(seeds, self._candidates - 1, self._max_tokens, words)[:, samples]

    def _told(
        self, best: Sequence[Decoded], samples: Sequence[Decoded]
    ) -> list[Candidate] | Failure:
        if not all(math.isfinite(one.log_prob) for one in (*best, *samples)):
            return Failure("caption", "not_finite", "the model's logits are not finite")
        by_method = [*(("beam", one) for one in best), *(("sample", one) for one in samples)]
        return [
            Candidate(
                self._tokenizer.decode(one.ids, skip_special_tokens=True), method, one.log_prob
            )
            for method, one in by_method
        ]


def _joined(chunks: Sequence[tuple[list[int], EncoderOutput]], clips: int) -> EncoderOutput:
    """One batch, in the clips' own order, of chunks of clips."""
    rows: list[EncoderOutput | None] = [None] * clips
    for places, chunk in chunks:
        for place, row in zip(places, chunk.rows(), strict=True):
            rows[place] = row
    return EncoderOutput.batch([row for row in rows if row is not None])
