"""The adapter of the tag-guided captioner: one caption by beam search, the others by sampling."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from curation.errors import InputError
from curation.models import files
from curation.models.adapter import Adapter
from curation.models.captioners.base import Candidate
from curation.models.log_mel_input import FrontEnd
from curation.schema import Failure, Tag
from curation.tags import ontology

if TYPE_CHECKING:
    from curation.models.captioners.tag_guided_generator import TagGuidedGenerator
    from curation.models.networks.tag_guided_captioner import EncoderOutput


@dataclass(frozen=True)
class TagGuidedAdapter(Adapter):
    """Implements `Captioner`, `ReusableEncoding` and `LogMelInput` with a `TagGuidedCaptioner`.

    Attributes:
        candidates: number of captions of a clip; the first one comes from beam search.
        beams: width of the beam search.
        temperature: sampling temperature of the other candidates.
        max_tokens: maximum number of tokens of a caption, end token included; longer captions are
            cut.
    """

    kind = "captioner"

    candidates: int = 4
    beams: int = 3
    temperature: float = 0.7
    max_tokens: int = 30

    @property
    def sample_rate_hz(self) -> int:
        return files.log_mel_config(self._config).sample_rate_hz

    @property
    def max_tokens_per_clip(self) -> int:
        return self.candidates * self.max_tokens

    def caption(
        self,
        waveforms: Sequence[np.ndarray],
        guidance: Sequence[Sequence[Tag]],
        seeds: Sequence[int],
        first: int = 0,
        last: int | None = None,
    ) -> list[list[Candidate] | Failure]:
        """Write the candidates of a batch of clips; see `Captioner`.

        `map_to_vocabulary` maps a tag outside the model's vocabulary; a tag that it cannot map is
        ignored. Clips shorter than one frame of the encoder are padded with silence. Empty clips
        and samples that are not finite are failures.
        """
        return self.write(self.encode(waveforms, guidance), seeds, first, last)

    def encode(
        self, waveforms: Sequence[np.ndarray], guidance: Sequence[Sequence[Tag]]
    ) -> list[EncoderOutput | Failure]:
        """Encode clips, each with the tags that guide it; see `ReusableEncoding`."""
        return self._loaded.encode(waveforms, [self._tag_vector(given) for given in guidance])

    @property
    def front_end(self) -> FrontEnd | None:
        return self._loaded.front_end

    def compute_features(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray | Failure]:
        """Compute log-mel features of clips; see `LogMelInput`."""
        return self._loaded.compute_features(waveforms)

    def encode_features(
        self, features: Sequence[np.ndarray], guidance: Sequence[Sequence[Tag]]
    ) -> list[EncoderOutput]:
        """Encode clips from their features, each with the tags that guide it; see `LogMelInput`."""
        return self._loaded.encode_features(features, [self._tag_vector(each) for each in guidance])

    def write(
        self,
        encoded: Sequence[EncoderOutput | Failure],
        seeds: Sequence[int],
        first: int = 0,
        last: int | None = None,
    ) -> list[list[Candidate] | Failure]:
        """Write the candidates of encoded clips; see `ReusableEncoding`."""
        return self._loaded.write(encoded, seeds, range(self.candidates)[first:last])

    def _tag_vector(self, tags: Iterable[Tag]) -> np.ndarray:
        """The tag vector of a clip's guidance; of tags that become the same one, the surest."""
        vocabulary = self._vocabulary
        vector = np.zeros(len(vocabulary), np.float32)
        for tag in tags:
            known = map_to_vocabulary(tag.mid, vocabulary)
            if known is not None:
                place = vocabulary[known]
                vector[place] = max(vector[place], min(max(tag.confidence, 0.0), 1.0))
        return vector

    @cached_property
    def _config(self) -> dict[str, Any]:
        return files.read_model_config(self._folder, "tagscribe-captioner")

    @cached_property
    def _vocabulary(self) -> dict[str, int]:
        return {mid: index for index, mid in enumerate(self._config.get("tags") or [])}

    @cached_property
    def _loaded(self) -> TagGuidedGenerator:
        from curation.models.captioners.tag_guided_generator import TagGuidedGenerator

        return TagGuidedGenerator(
            self._folder,
            self.device,
            self.candidates,
            self.beams,
            self.temperature,
            self.max_tokens,
        )


def map_to_vocabulary(mid: str, vocabulary: dict[str, int]) -> str | None:
    """Return the tag in a model's vocabulary for an AudioSet class; None if there is none.

    The result is the class itself. If the vocabulary lacks it, the result is the nearest ancestor
    in the vocabulary, else the only descendant in the vocabulary.
    """
    if mid in vocabulary:
        return mid
    try:
        ancestor = _nearest_known_ancestor(mid, vocabulary)
        descendants = _descendants(mid) & vocabulary.keys() if ancestor is None else set()
    except InputError:
        return None
    return ancestor or (next(iter(descendants)) if len(descendants) == 1 else None)


def _nearest_known_ancestor(mid: str, vocabulary: dict[str, int]) -> str | None:
    level = [mid]
    while level:
        level = [parent for child in level for parent in ontology.parent_classes(child)]
        found = [parent for parent in level if parent in vocabulary]
        if found:
            return min(found)
    return None


def _descendants(mid: str) -> set[str]:
    descendants = set(ontology.child_classes(mid))
    return descendants.union(*(_descendants(child) for child in descendants))
