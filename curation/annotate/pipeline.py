"""Runs the stages in order in one process: load, tag, verify, caption, score, row."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import pyarrow as pa

from curation.annotate.batching import Chunk
from curation.annotate.captioning import ALL_CANDIDATES
from curation.annotate.clip import AnnotatedClip, PlannedClip
from curation.annotate.load import AudioLoader, load_chunks_ahead
from curation.annotate.priority_lock import LockHandle
from curation.annotate.rows import build_evidence_table
from curation.annotate.scoring import is_below
from curation.annotate.worker_models import WorkerModels


class AnnotatedShard(NamedTuple):
    """The clips of a shard after all stages, without audio, and their evidence rows."""

    clips: list[AnnotatedClip]
    rows: pa.Table


def annotate_clips(
    models: WorkerModels, loader: AudioLoader, planned: Sequence[PlannedClip]
) -> AnnotatedShard:
    """Run all stages on planned clips."""
    clips: list[AnnotatedClip] = []
    with models.lock.register() as handle:
        for loaded in _load(models, loader, planned, handle):
            handle.acquire()
            models.record_load_costs(clip for chunk in loaded for clip in chunk)
            chunks = [models.cutter.cut(chunk) for chunk in loaded]
            chunks = models.tag(chunks)
            chunks = models.verify(chunks)
            chunks = _caption_and_score(models, models.drop_failed(chunks))
            chunks = models.score_again(models.drop_failed(chunks))
            clips += [clip.without_audio() for chunk in chunks for clip in chunk.clips]
            del loaded, chunks  # their waveforms must not wait in memory for the next chunk
    return AnnotatedShard(clips, build_evidence_table(clips))


def _load(
    models: WorkerModels,
    loader: AudioLoader,
    planned: Sequence[PlannedClip],
    handle: LockHandle,
) -> Iterator[list[list[AnnotatedClip]]]:
    """Loaded chunks, in the groups that go through a stage before the next stage starts.

    Models that are offloaded are moved once a shard: it is loaded whole, while another shard has
    the models, and keeps them to its end. Resident models take chunk by chunk.
    """
    if models.offloads:
        yield list(load_chunks_ahead(planned, loader))
    else:
        for chunk in load_chunks_ahead(planned, loader, on_wait=handle.release):
            yield [chunk]
            del chunk


def _caption_and_score(models: WorkerModels, chunks: list[Chunk]) -> list[Chunk]:
    """Caption and score; with `adaptive`, draw more for clips whose first candidates fall short."""
    adaptive = models.config.adaptive
    if not adaptive:
        return models.score(models.caption(chunks, ALL_CANDIDATES))
    first = models.score(models.caption(chunks, slice(0, adaptive.first)))
    short = [
        models.cutter.cut(chunk.clips, lambda clip: is_below(clip, adaptive.enough_score))
        for chunk in first
    ]
    redrawn = models.score(models.caption(short, slice(adaptive.first, None)))
    return [
        Chunk(list(map(_keep_first_draw, before.clips, after.clips)), before.batches)
        for before, after in zip(first, redrawn, strict=True)
    ]


def _keep_first_draw(before: AnnotatedClip, after: AnnotatedClip) -> AnnotatedClip:
    """A clip after its second draw; as it was before where that draw failed, as it has captions."""
    return replace(before, second_draw_failure=after.failure) if after.failure else after
