"""The adapter of the tag-guided captioner: one caption by beam search, the rest sampled."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from curation.captioners.base import Candidate
from curation.errors import InputError
from curation.models import inputs, weights
from curation.models.adapter import Adapter
from curation.models.captioner import (
    EncoderOutput,
    TagGuidedCaptioner,
    TagGuidedCaptionerConfig,
)
from curation.models.decoding import Decoded, decode, gumbel_noise
from curation.schema import Failure, Tag
from curation.tags import ontology


@dataclass(frozen=True)
class TagGuided(Adapter):
    """Fulfils `Captioner` with a `TagGuidedCaptioner`.

    Attributes:
        candidates: captions asked for; equal ones are kept once, so a clip may have fewer.
        beams: width of the beam search that writes the first candidate.
        temperature: of the samples that are the others.
        max_tokens: the longest caption, end token included; a longer one is cut there.
    """

    kind = "captioner"

    candidates: int = 4
    beams: int = 3
    temperature: float = 0.7
    max_tokens: int = 30

    @property
    def sample_rate_hz(self) -> int:
        return self._config.log_mel().sample_rate_hz

    @torch.inference_mode()
    def caption(
        self,
        waveforms: Sequence[np.ndarray],
        guidance: Sequence[Sequence[Tag]],
        seeds: Sequence[int],
    ) -> list[list[Candidate] | Failure]:
        """Write the candidates of a batch of clips; see `Captioner`.

        A tag that the model does not know stands for its nearest ancestor that it knows, or else
        for its only descendant; others are ignored. Clips shorter than one frame of the encoder
        are padded with silence; empty clips and samples that are not finite are failures.
        """
        results: list[list[Candidate] | Failure | None] = [
            inputs.failure(waveform, "caption") for waveform in waveforms
        ]
        heard = [index for index, result in enumerate(results) if result is None]
        if heard:
            captions = self._write(
                [waveforms[index] for index in heard],
                torch.stack([self._tag_vector(guidance[index]) for index in heard]),
                [seeds[index] for index in heard],
            )
            for index, candidates in zip(heard, captions, strict=True):
                results[index] = candidates
        return [result for result in results if result is not None]

    def _write(
        self, waveforms: list[np.ndarray], tags: Tensor, seeds: list[int]
    ) -> list[list[Candidate]]:
        model, tokenizer = self._loaded
        encoded = inputs.in_chunks(
            waveforms,
            model,
            lambda features, lengths, rows: model.encoder(features, lengths, tags[rows]),
        )
        samples = self.candidates - 1
        noise = gumbel_noise(seeds, samples, self.max_tokens, model.config.vocab_size)
        beam, sampled = decode(
            model,
            _joined(encoded, len(waveforms)),
            self.beams,
            noise if samples else None,
            self.temperature,
            self.max_tokens,
        )
        return [
            _distinct(best, others, tokenizer)
            for best, others in zip(beam, sampled or [[]] * len(beam), strict=True)
        ]

    def _tag_vector(self, tags: Iterable[Tag]) -> Tensor:
        """The tag vector of a clip's guidance; of tags that become the same one, the surest."""
        vocabulary = self._vocabulary
        vector = torch.zeros(len(vocabulary))
        for tag in tags:
            known = known_tag(tag.mid, vocabulary)
            if known is not None:
                place = vocabulary[known]
                vector[place] = max(float(vector[place]), min(max(tag.confidence, 0.0), 1.0))
        return vector

    @cached_property
    def _config(self) -> TagGuidedCaptionerConfig:
        return weights.load_config(self._folder, TagGuidedCaptionerConfig)

    @cached_property
    def _vocabulary(self) -> dict[str, int]:
        return {mid: index for index, mid in enumerate(self._config.tag_list)}

    @cached_property
    def _loaded(self) -> tuple[TagGuidedCaptioner, PreTrainedTokenizerBase]:
        return weights.load(self._folder, TagGuidedCaptioner, self.device)


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


def known_tag(mid: str, vocabulary: dict[str, int]) -> str | None:
    """The tag of a model's vocabulary that stands for an AudioSet class, None where none does.

    That is the class itself, else its nearest ancestor, else the only descendant in the vocabulary.
    """
    if mid in vocabulary:
        return mid
    try:
        above = _nearest_above(mid, vocabulary)
        below = _all_below(mid) & vocabulary.keys() if above is None else set()
    except InputError:
        return None
    return above or (next(iter(below)) if len(below) == 1 else None)


def _nearest_above(mid: str, vocabulary: dict[str, int]) -> str | None:
    level = [mid]
    while level:
        level = [parent for child in level for parent in ontology.parents(child)]
        found = [parent for parent in level if parent in vocabulary]
        if found:
            return min(found)
    return None


def _all_below(mid: str) -> set[str]:
    below = set(ontology.children(mid))
    return below.union(*(_all_below(child) for child in below))
