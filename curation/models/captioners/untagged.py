"""Base class of the adapters of captioners that do not take tags."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curation.config.models import UntaggedConfig
from curation.models.captioners.base import Candidate
from curation.models.captioners.pretrained import PretrainedCaptioner
from curation.schema import Failure, Tag


@dataclass(frozen=True, kw_only=True)
class UntaggedCaptioner(PretrainedCaptioner):
    """An adapter of a model that receives only audio.

    Candidate 0 is the best caption of a beam search; the other candidates are sampled.
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
        """Write the candidates of a batch of clips, and ignore `guidance`; see `Captioner`.

        Texts that are not captions (see `cleaning`) are discarded. A clip without any caption is a
        failure, as are empty clips and samples that are not finite.
        """
        wanted = range(self.config.candidates)[first:last]
        written: list[list[Candidate] | Failure] = self._loaded.caption(waveforms, seeds, wanted)
        return written
