"""Workers with one fault each, for the executors; a process that has one imports little else."""

import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from curation.annotate import load
from curation.annotate.metrics import MeterFactory
from curation.annotate.workers import FusedWorker, Row
from curation.audio.decode import DecodedAudio
from curation.config.run import RunConfig

# A decoder that aborts: no file is known that makes the real ones do so.
ABORTING_SOUND = b"this sound aborts its decoder"

# The environment variable with the path of the file at which a `GrowingWorker` grows.
GROW_FILE = "TAGSCRIBE_TEST_GROW_FILE"
_BLOCK_BYTES = 32 << 20
# It is to be killed long before.
_MOST_BYTES = 8 << 30


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


class GrowingWorker(FusedWorker):
    """A worker that takes memory until it is killed, once, where a file requests it.

    The environment variable GROW_FILE has the file's path. The first worker to see it takes it
    away. If it names the `cgroup.procs` of a cgroup, that worker joins it first.
    """

    def __call__(self, row: Row) -> Row:
        request = Path(os.environ[GROW_FILE])
        taken = request.with_name(f"{request.name}-{os.getpid()}")
        with suppress(FileNotFoundError):
            request.rename(taken)
            if group := taken.read_text():
                Path(group).write_text(str(os.getpid()))
            _grow()
        return super().__call__(row)


def _grow() -> None:
    blocks = []
    while len(blocks) * _BLOCK_BYTES < _MOST_BYTES:
        blocks.append(b"\1" * _BLOCK_BYTES)
        time.sleep(0.05)  # Ray looks four times a second
    raise RuntimeError("nothing killed a worker that grew")
