"""Cuts clips into batches for a model.

The clips of a batch have similar lengths, and fit the budget of a batch and the memory of the
model. The batches depend only on the clips, so every run of a shard cuts the same batches. A batch
for which the model runs out of memory is halved.
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
    """Clips in plan order, and batches of some of these clips.

    A batch is a list of positions in `clips`. A clip that is not selected for a model is in no
    batch.
    """

    clips: Sequence[AnnotatedClip]
    batches: Sequence[Sequence[int]]

    def map_batches(self, stage: Callable[[list[AnnotatedClip]], list[AnnotatedClip]]) -> "Chunk":
        """Return a chunk in which the clips of each batch are replaced by the results of a stage.

        The stage returns one result for each clip of a batch, in the order of the batch.
        """
        clips = list(self.clips)
        for positions in self.batches:
            results = stage([clips[position] for position in positions])
            for position, result in zip(positions, results, strict=True):
                clips[position] = result
        return replace(self, clips=clips)


@dataclass(frozen=True)
class BatchCutter:
    """Cuts chunks into batches of clips with similar length.

    The padded length of a batch is its number of clips times the length of its longest clip. It is
    at most `budget_s` seconds. Lengths of clips are in samples; `rate_hz` converts them to seconds.
    A batch has at most `max_clips` clips. A clip longer than `budget_s` has a batch of its own.
    """

    rate_hz: int
    budget_s: float
    max_clips: float = math.inf

    def cut(self, clips: Sequence[AnnotatedClip], selected: Selection = has_not_failed) -> Chunk:
        """Return a chunk whose batches hold the selected clips, which must have audio."""
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
        """Cut the chunk again if any clip of its batches has failed."""
        if all(has_not_failed(chunk.clips[at]) for batch in chunk.batches for at in batch):
            return chunk
        return self.cut(chunk.clips)


class OomThreshold:
    """The size of the smallest batch for which a model ran out of memory, in padded samples.

    Only the thread that holds the model may use this object.
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
    """Run a model over a batch; if it runs out of memory, run it over the halves of the batch.

    A batch as large as the threshold or larger is halved without a trial. An adapter that raises
    for a whole batch breaks its contract. The clips of the batch then fail with that error, and the
    shard continues.
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
    """Compute a result for each selected clip of a batch, and add it to the clip's record.

    A clip whose result is a Failure is marked as failed.

    Args:
        batch: clips, some of which may have failed.
        compute: takes the selected clips, and returns a result for each of them, in order.
        update: takes a clip and its result, and returns the new record of the clip.
        selected: whether to compute a result for a clip; the other clips stay as they are.
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
