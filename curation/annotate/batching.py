"""Cuts clips into batches for a model: of similar length, within a budget and the model's memory.

The batches depend only on the clips, so they are the same in every run of a shard. A batch for
which the model runs out of memory is halved.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from curation.annotate.clip import AnnotatedClip
from curation.schema import Failure, Stage

T = TypeVar("T")
Selection = Callable[[AnnotatedClip], bool]


def has_not_failed(clip: AnnotatedClip) -> bool:
    return clip.failure is None


@dataclass(frozen=True, eq=False)
class Chunk:
    """Clips in plan order, and batches as lists of their positions; some clips are in no batch."""

    clips: Sequence[AnnotatedClip]
    batches: Sequence[Sequence[int]]

    def map_batches(self, stage: Callable[[list[AnnotatedClip]], list[AnnotatedClip]]) -> "Chunk":
        """Replace the clips of each batch by the results of a stage, in order."""
        clips = list(self.clips)
        for positions in self.batches:
            results = stage([clips[position] for position in positions])
            for position, result in zip(positions, results, strict=True):
                clips[position] = result
        return replace(self, clips=clips)


@dataclass(frozen=True)
class BatchCutter:
    """Cuts chunks into batches of similar length.

    A batch holds as many clips as fit into `budget_s` seconds at `rate_hz` when padded to the
    longest, but at most `max_clips` and at least one.
    """

    rate_hz: int
    budget_s: float
    max_clips: float = math.inf

    def cut(self, clips: Sequence[AnnotatedClip], selected: Selection = has_not_failed) -> Chunk:
        """A chunk whose batches hold the selected clips. These must have audio."""
        order = [position for position, clip in enumerate(clips) if selected(clip)]
        order.sort(key=lambda at: (clips[at].count_samples(self.rate_hz), clips[at].clip_id))
        batches: list[list[int]] = []
        for position in order:
            size = len(batches[-1]) + 1 if batches else math.inf
            padded_s = size * clips[position].count_samples(self.rate_hz) / self.rate_hz
            if not batches or padded_s > self.budget_s or size > self.max_clips:
                batches.append([])
            batches[-1].append(position)
        return Chunk(clips, batches)

    def drop_failed(self, chunk: Chunk) -> Chunk:
        """Cut the chunk again if clips of its batches have failed since."""
        if all(has_not_failed(chunk.clips[at]) for batch in chunk.batches for at in batch):
            return chunk
        return self.cut(chunk.clips)


class OomThreshold:
    """The size of the smallest batch that ran out of memory, in padded samples.

    Only the thread that holds the model uses it.
    """

    def __init__(self) -> None:
        self._samples = math.inf

    def reached_by(self, samples: int) -> bool:
        return samples >= self._samples

    def lower_to(self, samples: int) -> None:
        self._samples = min(self._samples, samples)


def run_with_oom_backoff(
    batch: list[AnnotatedClip],
    rate_hz: int,
    work: Callable[[list[AnnotatedClip]], list[T | Failure]],
    stage: Stage,
    threshold: OomThreshold,
) -> list[T | Failure]:
    """Run a model over a batch; on out-of-memory errors, over its halves.

    A batch at or above the threshold is halved without a trial. An adapter that raises for a whole
    batch breaks its contract: the clips of the batch fail with that error, and the shard continues.
    """
    if not batch:
        return []
    samples = len(batch) * max(clip.count_samples(rate_hz) for clip in batch)
    if len(batch) == 1 or not threshold.reached_by(samples):
        try:
            return _check_count(work(batch), batch, stage)
        except Exception as error:
            # By its name: torch is not imported for models that do without it.
            if type(error).__name__ != "OutOfMemoryError":
                return [Failure(stage, type(error).__name__, str(error)) for _ in batch]
            if len(batch) == 1:
                return [Failure(stage, "out_of_memory", str(error))]
            threshold.lower_to(samples)
    # Not in the handler, where the error still holds the memory of the attempt.
    middle = len(batch) // 2
    halves = batch[:middle], batch[middle:]
    return [
        result
        for half in halves
        for result in run_with_oom_backoff(half, rate_hz, work, stage, threshold)
    ]


def _check_count(
    results: list[T | Failure], batch: list[AnnotatedClip], stage: Stage
) -> list[T | Failure]:
    if len(results) == len(batch):
        return results
    message = f"the model answered {len(results)} of {len(batch)} clips"
    return [Failure(stage, "wrong_count", message) for _ in batch]


def update_clips(
    batch: list[AnnotatedClip],
    compute: Callable[[list[AnnotatedClip]], Sequence[T | Failure]],
    update: Callable[[AnnotatedClip, T], AnnotatedClip],
    selected: Selection = has_not_failed,
) -> list[AnnotatedClip]:
    """Apply `update` to the selected clips of a batch and their results; a Failure fails its clip.

    Args:
        batch: clips, some of which may have failed.
        compute: returns a result for each selected clip, in order.
        update: returns the new record of a clip.
        selected: which clips to compute; the others stay as they are.
    """
    positions = [position for position, clip in enumerate(batch) if selected(clip)]
    results = compute([batch[position] for position in positions])
    updated = list(batch)
    for position, result in zip(positions, results, strict=True):
        clip = batch[position]
        if isinstance(result, Failure):
            updated[position] = replace(clip, failure=result)
        else:
            updated[position] = update(clip, result)
    return updated
