"""What the adapters of captioners that take no tags share."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curation.config.models import UntaggedConfig
from curation.models.captioners.base import Candidate
from curation.models.captioners.pretrained import PretrainedCaptioner
from curation.schema import Failure, Tag


@dataclass(frozen=True, kw_only=True)
class UntaggedCaptioner(PretrainedCaptioner):
    """An adapter whose model receives the audio only.

    The first candidate is the best of a beam search, the others are sampled.
    """

    config: UntaggedConfig

    def caption(
        self,
        waveforms: Sequence[np.ndarray],
        guidance: Sequence[Sequence[Tag]],
        seeds: Sequence[int],
        first: int = 0,
        last: int | None = None,
    ) -> list[list[Candidate] | Failure]:
        """Write the candidates of a batch of clips, whatever their guidance; see `Captioner`.

        What is no caption (`cleaning`) is left out; a clip for which nothing else was written is a
        failure, as are empty clips and samples that are not finite.
        """
        wanted = range(self.config.candidates)[first:last]
        written: list[list[Candidate] | Failure] = self._loaded.caption(waveforms, seeds, wanted)
        return written
