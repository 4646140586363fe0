"""Measures how fast the loader yields clips, by the number of decoding processes."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from training.config.data import LoaderConfig
from training.data.loader import TableLoader
from training.data.table_index import TableIndex


@dataclass(frozen=True)
class LoaderSpeed:
    """Speed of the loader with one number of decoders; MB count int16 audio without padding."""

    workers: int
    clips_per_s: float
    mb_per_s: float
    first_batch_s: float


def measure_loader_speed(
    pairs: TableIndex,
    config: LoaderConfig,
    batch: int,
    sample_rate_hz: int,
    batches: int,
    worker_counts: Sequence[int],
) -> list[LoaderSpeed]:
    """Time `batches` batches for each number of worker processes, on the same clips.

    The first batch is timed separately, because it waits for the start of the processes. Batches
    decoded ahead during that time are counted, so use several times as many batches as are
    prefetched.
    """
    return [
        _measure(
            TableLoader(
                pairs, config.model_copy(update={"workers": workers}), batch, 0, sample_rate_hz
            ),
            batches,
        )
        for workers in worker_counts
    ]


def _measure(loader: TableLoader, batches: int) -> LoaderSpeed:
    begun = time.perf_counter()
    handed_out = iter(loader)
    next(handed_out)
    started = time.perf_counter()
    clips, samples = 0, 0
    for _ in range(batches):
        batch = next(handed_out)
        clips += len(batch.clips)
        samples += int(batch.lengths.sum())
    seconds = time.perf_counter() - started
    loader.close()
    return LoaderSpeed(
        workers=loader.config.workers,
        clips_per_s=clips / seconds,
        mb_per_s=2 * samples / seconds / 1e6,
        first_batch_s=started - begun,
    )
