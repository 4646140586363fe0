"""Base class of the adapters of captioners without tags."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curation.config.models import UntaggedConfig
from curation.models.captioners.base import Candidate
from curation.models.captioners.pretrained import PretrainedCaptioner
from curation.schema import Failure, Tag


@dataclass(frozen=True, kw_only=True)
class UntaggedCaptioner(PretrainedCaptioner):
    """An adapter whose model receives only audio.

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
        """Write the candidates of a batch of clips and ignore their guidance; see `Captioner`.

        Texts that are no captions (`cleaning`) are discarded. A clip without any caption is a
        failure, as are empty clips and samples that are not finite.
        """
        wanted = range(self.config.candidates)[first:last]
        written: list[list[Candidate] | Failure] = self._loaded.caption(waveforms, seeds, wanted)
        return written
