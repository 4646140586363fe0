"""The captioner contract: the methods that `annotate` calls on models that write captions.

A captioner is a small picklable description until `setup` loads the weights on the worker. A
captioner raises no error for a single clip, and returns an entry for every clip. For a clip that it
cannot process, the entry is a `Failure`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from curation.schema import Failure, Tag


@dataclass(frozen=True)
class Candidate:
    """One caption for a clip.

    `log_prob` is the mean log-probability per token of the caption under the model at temperature 1
    (in nats, end token included). So captions of any length and method can be compared. It is None
    if the model returns no log-probability. `clap_score` and `second_score` are the cosines of
    caption and clip by the two scorers; None until the caption is scored.
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
        """The sampling rate of the waveforms that `caption` takes; known before `setup`."""
        ...

    @property
    def identity(self) -> dict[str, str]:
        """Model name, revision and content hash, as stored in run.json; known before `setup`."""
        ...

    @property
    def max_tokens_per_clip(self) -> int:
        """Maximum number of tokens that `caption` writes for all candidates of a clip together."""
        ...

    def setup(self) -> None:
        """Load the weights. Called once in the worker, before the first `caption`."""
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
        """Write the candidates of a batch of clips; one entry per clip, in the order of the clips.

        The candidates of a clip depend only on the clip, its guidance and its seed. Candidate n is
        the same whether it is requested alone or with other candidates. Candidates may be equal;
        the caller removes duplicates.

        Args:
            waveforms: float32, mono, `[samples]` each at `sample_rate_hz`; lengths may differ.
            guidance: the tags that guide each clip; empty for an untagged clip.
            seeds: one seed per clip.
            first: number of the first requested candidate; candidates are counted from 0.
            last: number after that of the last requested candidate; None for all configured ones.
        """
        ...


@runtime_checkable
class ReusableEncoding(Protocol):
    """A captioner that can write more captions for a clip later, from its stored encoding.

    For such a captioner `caption` is `encode` followed by `write`.
    """

    def encode(
        self, waveforms: Sequence[np.ndarray], guidance: Sequence[Sequence[Tag]]
    ) -> list[Any | Failure]:
        """Encode a batch of clips for `write`; one entry per clip, in the order of the clips.

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
        """Write the candidates of encoded clips; clips that failed in `encode` stay failures.

        Args:
            encoded: results of `encode`, from any batches.
            seeds: as in `Captioner.caption`, and so are `first` and `last`.
        """
        ...


def candidate_seed(seed: int, number: int) -> int:
    """Derive 64 random bits for a candidate from the clip's seed and the candidate's number."""
    [state] = np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)
    return int(state)
