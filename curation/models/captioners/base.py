"""The captioner contract: what `annotate` asks of any model that writes captions.

A captioner is a small picklable description; `setup` on the worker makes it heavy. It never
raises for one clip and never drops one: an input it cannot serve comes back as a `Failure`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from curation.schema import Failure, Tag


@dataclass(frozen=True)
class Candidate:
    """One caption written for a clip.

    `log_prob` is the mean log-probability a token (nats, end token included) of the caption
    under the untempered model, so that captions of any length and method compare; None if the
    model does not tell it. `clap_score` and `second_score` are its cosines with the clip by the
    scorers, None until it is scored.
    """

    caption: str
    method: str  # "beam" or "sample"
    log_prob: float | None
    clap_score: float | None = None
    second_score: float | None = None


class Captioner(Protocol):
    """Writes candidate captions for clips, guided by tags."""

    @property
    def sample_rate_hz(self) -> int:
        """The rate at which `caption` wants its waveforms; known before `setup`."""
        ...

    @property
    def identity(self) -> dict[str, str]:
        """Model name, revision and content hash, as kept in run.json; known before `setup`."""
        ...

    @property
    def max_tokens_per_clip(self) -> int:
        """The most tokens that `caption` writes for a clip, over all its candidates."""
        ...

    def setup(self) -> None:
        """Load weights. Called once in the worker, before the first `caption`."""
        ...

    def offload(self) -> None:
        """Leave the GPU to another model: the weights wait in the host's memory."""
        ...

    def restore(self) -> None:
        """Come back to the GPU. Called before `caption` after each `park`."""
        ...

    def caption(
        self,
        waveforms: Sequence[np.ndarray],
        guidance: Sequence[Sequence[Tag]],
        seeds: Sequence[int],
        first: int = 0,
        last: int | None = None,
    ) -> list[list[Candidate] | Failure]:
        """Write the candidates of a batch of clips, in order, one entry a clip.

        What is written for a clip depends on the clip, its guidance and its seed alone, and
        candidate n is the same whether it is requested with the others or by itself. Some may be
        equal: the caller keeps each once.

        Args:
            waveforms: float32, mono, `[samples]` each at `sample_rate_hz`; lengths may differ.
            guidance: the tags handed over for each clip; empty means untagged.
            seeds: one seed a clip.
            first: the first candidate requested, counted from 0.
            last: the one after the last; None means as many as the captioner is set to write.
        """
        ...


@runtime_checkable
class ReusableEncoding(Protocol):
    """A captioner that writes more captions of a clip later, without encoding it again.

    Of such a captioner `caption` is `encode`, then `write`.
    """

    def encode(
        self, waveforms: Sequence[np.ndarray], guidance: Sequence[Sequence[Tag]]
    ) -> list[Any | Failure]:
        """The encodings of a batch of clips that `write` takes, in order, one entry a clip.

        Args:
            waveforms: as of `Captioner.caption`.
            guidance: likewise.
        """
        ...

    def write(
        self,
        encoded: Sequence[Any | Failure],
        seeds: Sequence[int],
        first: int = 0,
        last: int | None = None,
    ) -> list[list[Candidate] | Failure]:
        """Write the candidates of encoded clips; a failure comes back in its place.

        Args:
            encoded: results of `encode`, from any batches.
            seeds: as of `Captioner.caption`, and `first` and `last` too.
        """
        ...


def candidate_seed(seed: int, number: int) -> int:
    """64 bits that are random for each candidate of a clip, by the clip's seed and its number."""
    [state] = np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)
    return int(state)
