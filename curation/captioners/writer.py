"""Captions of the tag-guided captioner, by its weights: what its adapter is when set up."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from curation.captioners.base import Candidate
from curation.models import inputs, weights
from curation.models.captioner import EncoderOutput, TagGuidedCaptioner
from curation.models.decoding import decode
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
        results: list[list[Candidate] | Failure | None] = [
            inputs.failure(waveform, "caption") for waveform in waveforms
        ]
        heard = [index for index, result in enumerate(results) if result is None]
        if heard:
            captions = self._write(
                [waveforms[index] for index in heard],
                np.stack([tags[index] for index in heard]),
                [seeds[index] for index in heard],
                range(self._candidates)[first:last],
            )
            for index, candidates in zip(heard, captions, strict=True):
                results[index] = candidates
        return [result for result in results if result is not None]

    def _write(
        self, waveforms: list[np.ndarray], tags: np.ndarray, seeds: list[int], wanted: range
    ) -> list[list[Candidate]]:
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
        return [
            [self._told("beam", one) for one in first] + [self._told("sample", one) for one in rest]
            for first, rest in zip(best, sampled, strict=True)
        ]

    def _noise(self, seeds: list[int], samples: list[int]) -> torch.Tensor | None:
        """The noise of these samples, drawn with all the others', so that it is always the same."""
        if not samples:
            return None
        words = self._model.config.vocab_size
        return gumbel_noise(seeds, self._candidates - 1, self._max_tokens, words)[:, samples]

    def _told(self, method: str, decoded: Decoded) -> Candidate:
        caption = self._tokenizer.decode(decoded.ids, skip_special_tokens=True)
        return Candidate(caption, method, decoded.log_prob)


def _joined(chunks: Sequence[tuple[list[int], EncoderOutput]], clips: int) -> EncoderOutput:
    """One batch, in the clips' own order, of chunks of clips."""
    rows: list[EncoderOutput | None] = [None] * clips
    for places, chunk in chunks:
        for place, row in zip(places, chunk.rows(), strict=True):
            rows[place] = row
    return EncoderOutput.batch([row for row in rows if row is not None])
