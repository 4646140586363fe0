"""Workers with one fault each, for the executors; a process that has one imports little else."""

import os
import sys
import time
from pathlib import Path
from typing import Any

from curation.annotate import load
from curation.annotate.metrics import MeterFactory
from curation.annotate.workers import FusedWorker, Row
from curation.audio.decode import DecodedAudio
from curation.config.run import RunConfig

# A decoder that aborts: no file is known that makes the real ones do so.
ABORTING_SOUND = b"this sound aborts its decoder"


class AbortingWorker(FusedWorker):
    """A worker that dies of every sound that is ABORTING_SOUND."""

    def __init__(self, config: RunConfig, make_meter: MeterFactory) -> None:
        super().__init__(config, make_meter)
        decode = load.decode_audio

        def decode_or_abort(data: Any, *rest: Any) -> DecodedAudio:
            if data == ABORTING_SOUND:
                os.abort()
            return decode(data, *rest)

        load.decode_audio = decode_or_abort  # type: ignore[assignment]


class AbortingConstructor(FusedWorker):
    """A worker that dies while it is built."""

    def __init__(self, config: RunConfig, make_meter: MeterFactory) -> None:
        print("the driver of the GPU is too old", file=sys.stderr, flush=True)
        os.abort()


class FailingConstructor(FusedWorker):
    """A worker whose model cannot be loaded."""

    def __init__(self, config: RunConfig, make_meter: MeterFactory) -> None:
        raise RuntimeError("the weights are not there")


class HangingWorker(FusedWorker):
    """A worker that hangs at the first shard that it is given in a run, and at no other."""

    def __call__(self, row: Row) -> Row:
        mark = Path(self.models.config.run) / "hung"
        if not mark.exists():
            mark.touch()
            time.sleep(3600)
        return super().__call__(row)


class SlowWorker(FusedWorker):
    """A worker that waits before each shard, so that others can kill it."""

    def __call__(self, row: Row) -> Row:
        time.sleep(1.0)
        return super().__call__(row)
