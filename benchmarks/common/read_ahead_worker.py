"""A worker that records the most audio that it held read ahead, for `benchmarks.storage`."""

import os
from pathlib import Path

from curation.annotate.workers import FusedWorker, Row

FOLDER_VARIABLE = "TAGSCRIBE_BENCHMARK_READ_AHEAD"


class ReadAheadWorker(FusedWorker):
    """Writes a file of its own, after each shard, to the folder that the variable names."""

    def __call__(self, row: Row) -> Row:
        ended = super().__call__(row)
        path = Path(os.environ[FOLDER_VARIABLE]) / str(os.getpid())
        path.write_text(str(self.loader.budget.peak_bytes))
        return ended


def read_peak_bytes(folder: Path) -> int:
    """The most that any worker held."""
    return max(int(report.read_text()) for report in folder.iterdir())
