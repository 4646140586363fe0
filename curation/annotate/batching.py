"""Cuts clips into a model's batches: of similar length, within a budget, and within its memory.

The cut follows from the clips alone, so that it is the same in every run of a shard; a batch for
which the model has no memory is halved.
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
    """Clips in the order of the plan, and batches of them as positions; some are in no batch."""

    clips: Sequence[AnnotatedClip]
    batches: Sequence[Sequence[int]]

    def map_batches(self, stage: Callable[[list[AnnotatedClip]], list[AnnotatedClip]]) -> "Chunk":
        """Replace the clips of each batch by what a stage returns for them, in order."""
        clips = list(self.clips)
        for positions in self.batches:
            results = stage([clips[position] for position in positions])
            for position, result in zip(positions, results, strict=True):
                clips[position] = result
        return replace(self, clips=clips)


@dataclass(frozen=True)
class BatchCutter:
    """Cuts chunks into batches of similar length.

    A batch holds as many clips as, padded to its longest, fit into `budget_s` seconds at
    `rate_hz`, `max_clips` at most and one at least.
    """

    rate_hz: int
    budget_s: float
    max_clips: float = math.inf

    def cut(self, clips: Sequence[AnnotatedClip], selected: Selection = has_not_failed) -> Chunk:
        """A chunk whose batches hold the selected clips; those must have audio."""
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
        """The chunk, cut again only where clips of its batches have failed since."""
        if all(has_not_failed(chunk.clips[at]) for batch in chunk.batches for at in batch):
            return chunk
        return self.cut(chunk.clips)


class OomThreshold:
    """The smallest batch, in padded samples, for which a model had no memory.

    It is used by the thread that holds the model, so by one at a time.
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
    """Run a model over a batch, or over its halves where it has no memory for so many samples.

    A batch that reaches the threshold is halved at once, at the place where trying would have led
    to. An adapter that raises for a whole batch breaks its contract: its clips then fail with that
    error, and the shard goes on.
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
