"""Captions of the tag-guided captioner, by its weights: what its adapter is when set up."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from curation.captioners.base import Candidate
from curation.models import inputs, weights
from curation.models.captioner import EncoderOutput, TagGuidedCaptioner
from curation.models.decoding import Decoded, decode, gumbel_noise
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
        self._samples = candidates - 1
        self._beams = beams
        self._temperature = temperature
        self._max_tokens = max_tokens

    @torch.inference_mode()
    def caption(
        self,
        waveforms: Sequence[np.ndarray],
        tags: Sequence[np.ndarray],
        seeds: Sequence[int],
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
            )
            for index, candidates in zip(heard, captions, strict=True):
                results[index] = candidates
        return [result for result in results if result is not None]

    def _write(
        self, waveforms: list[np.ndarray], tags: np.ndarray, seeds: list[int]
    ) -> list[list[Candidate]]:
        model, vectors = self._model, torch.from_numpy(tags)
        encoded = inputs.in_chunks(
            waveforms,
            model,
            lambda features, lengths, rows: model.encoder(features, lengths, vectors[rows]),
        )
        noise = gumbel_noise(seeds, self._samples, self._max_tokens, model.config.vocab_size)
        beam, sampled = decode(
            model,
            _joined(encoded, len(waveforms)),
            self._beams,
            noise if self._samples else None,
            self._temperature,
            self._max_tokens,
        )
        return [
            _distinct(best, others, self._tokenizer)
            for best, others in zip(beam, sampled or [[]] * len(beam), strict=True)
        ]


def _joined(chunks: Sequence[tuple[list[int], EncoderOutput]], clips: int) -> EncoderOutput:
    """One batch, in the clips' own order, of chunks of clips."""
    rows: list[EncoderOutput | None] = [None] * clips
    for places, chunk in chunks:
        for place, row in zip(places, chunk.rows(), strict=True):
            rows[place] = row
    return EncoderOutput.batch([row for row in rows if row is not None])


def _distinct(
    best: Decoded, samples: Sequence[Decoded], tokenizer: PreTrainedTokenizerBase
) -> list[Candidate]:
    """The beam's caption, and the samples that say something else, each once."""
    candidates: dict[str, Candidate] = {}
    for method, decoded in [("beam", best), *(("sample", sample) for sample in samples)]:
        caption = tokenizer.decode(decoded.ids, skip_special_tokens=True)
        candidates.setdefault(caption, Candidate(caption, method, decoded.log_prob))
    return list(candidates.values())
