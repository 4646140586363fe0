"""How clips become a model's batches: of like length, within a budget, and within its memory.

The cut follows from the clips alone, so that it is the same in every run of a shard; a batch for
which the model has no memory is halved.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

import numpy as np

from curation.schema import Failure, Stage


class Sound(Protocol):
    """What is asked of a clip here; `stages.Clip` is one."""

    clip_id: str
    waveforms: dict[int, np.ndarray]  # `[samples]`, by rate in Hz
    failure: Failure | None


ClipT = TypeVar("ClipT", bound=Sound)
T = TypeVar("T")


def cut_batches(
    clips: Iterable[ClipT], rate_hz: int, budget_s: float, most_clips: float = math.inf
) -> Iterator[list[ClipT]]:
    """Cut a chunk's sound clips into batches of like length.

    A batch holds as many clips as, padded to its longest, fit into `budget_s` seconds, `most_clips`
    at most and one at least.
    """
    sound = [clip for clip in clips if clip.failure is None]
    sound.sort(key=lambda clip: (len(clip.waveforms[rate_hz]), clip.clip_id))
    batch: list[ClipT] = []
    for clip in sound:
        padded_s = (len(batch) + 1) * len(clip.waveforms[rate_hz]) / rate_hz
        if batch and (padded_s > budget_s or len(batch) >= most_clips):
            yield batch
            batch = []
        batch.append(clip)
    if batch:
        yield batch


class OomThreshold:
    """The smallest batch, in padded samples, for which a model had no memory.

    Who has the model has its limit too, so one thread at a time.
    """

    def __init__(self) -> None:
        self._samples = math.inf

    def reached_by(self, samples: int) -> bool:
        return samples >= self._samples

    def lower_to(self, samples: int) -> None:
        self._samples = min(self._samples, samples)


def run_with_oom_backoff(
    batch: list[ClipT],
    rate_hz: int,
    work: Callable[[list[ClipT]], list[T | Failure]],
    stage: Stage,
    limit: OomThreshold,
) -> list[T | Failure]:
    """Run a model over a batch; over its halves where it has no memory for so many samples.

    What the limit knows is halved at once, just where trying would have led to. An adapter that
    raises for a whole batch breaks its contract: its clips then fail with that error, and the shard
    goes on.
    """
    if not batch:
        return []
    samples = len(batch) * max(len(clip.waveforms[rate_hz]) for clip in batch)
    if len(batch) == 1 or not limit.reached_by(samples):
        try:
            return _one_each(work(batch), batch, stage)
        except Exception as error:
            # By its name: torch is not imported for models that do without it.
            if type(error).__name__ != "OutOfMemoryError":
                return [Failure(stage, type(error).__name__, str(error)) for _ in batch]
            if len(batch) == 1:
                return [Failure(stage, "out_of_memory", str(error))]
            limit.lower_to(samples)
    # Not in the handler, where the error still holds the memory of the attempt.
    middle = len(batch) // 2
    halves = batch[:middle], batch[middle:]
    return [
        result
        for half in halves
        for result in run_with_oom_backoff(half, rate_hz, work, stage, limit)
    ]


def _one_each(results: list[T | Failure], batch: list[ClipT], stage: Stage) -> list[T | Failure]:
    if len(results) == len(batch):
        return results
    message = f"the model answered {len(results)} of {len(batch)} clips"
    return [Failure(stage, "wrong_count", message) for _ in batch]
