"""The captioner contract: the methods that `annotate` calls on models that write captions.

A captioner is a small picklable description until `setup` loads it on the worker. It never raises
for a single clip and never drops one: for an input that it cannot process it returns a `Failure`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from curation.schema import Failure, Tag


@dataclass(frozen=True)
class Candidate:
    """One caption for a clip.

    `log_prob` is the mean log-probability per token (nats, end token included) of the caption under
    the model at temperature 1, so that captions of any length and method can be compared; None if
    the model returns none. `clap_score` and `second_score` are its cosines with the clip by the
    scorers; None until it is scored.
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
        """The rate of the waveforms that `caption` takes; known before `setup`."""
        ...

    @property
    def identity(self) -> dict[str, str]:
        """Model name, revision and content hash, as stored in run.json; known before `setup`."""
        ...

    @property
    def max_tokens_per_clip(self) -> int:
        """Maximum number of tokens that `caption` writes for a clip, over all its candidates."""
        ...

    def setup(self) -> None:
        """Load weights. Called once in the worker, before the first `caption`."""
        ...

    def offload(self) -> None:
        """Move the weights to host memory, so that another model can use the GPU."""
        ...

    def restore(self) -> None:
        """Move the weights back to the GPU. Called before `caption` after each `offload`."""
        ...

    def caption(
        self,
        waveforms: Sequence[np.ndarray],
        guidance: Sequence[Sequence[Tag]],
        seeds: Sequence[int],
        first: int = 0,
        last: int | None = None,
    ) -> list[list[Candidate] | Failure]:
        """Write the candidates of a batch of clips, in order, one entry per clip.

        The candidates of a clip depend only on the clip, its guidance and its seed. Candidate n is
        the same whether it is requested with the others or alone. Candidates may be equal; the
        caller removes duplicates.

        Args:
            waveforms: float32, mono, `[samples]` each at `sample_rate_hz`; lengths may differ.
            guidance: the tags that guide each clip; empty for an untagged clip.
            seeds: one seed per clip.
            first: the first candidate requested, counted from 0.
            last: the one after the last; None for the configured number.
        """
        ...


@runtime_checkable
class ReusableEncoding(Protocol):
    """A captioner that can write more captions of a clip later without encoding it again.

    For such a captioner `caption` is `encode` followed by `write`.
    """

    def encode(
        self, waveforms: Sequence[np.ndarray], guidance: Sequence[Sequence[Tag]]
    ) -> list[Any | Failure]:
        """Encode a batch of clips for `write`, in order, one entry per clip.

        Args:
            waveforms: as in `Captioner.caption`.
            guidance: as in `Captioner.caption`.
        """
        ...

    def write(
        self,
        encoded: Sequence[Any | Failure],
        seeds: Sequence[int],
        first: int = 0,
        last: int | None = None,
    ) -> list[list[Candidate] | Failure]:
        """Write the candidates of encoded clips; failures are passed through.

        Args:
            encoded: results of `encode`, from any batches.
            seeds: as in `Captioner.caption`, and so are `first` and `last`.
        """
        ...


def candidate_seed(seed: int, number: int) -> int:
    """64 random bits for a candidate, derived from the clip's seed and the candidate's number."""
    [state] = np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)
    return int(state)
