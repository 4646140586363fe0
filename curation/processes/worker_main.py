"""The program of a worker process: builds a worker and runs the driver's tasks.

The process ends when its pipe closes, so it does not outlive the driver.
"""

import os
import sys
import threading
import time
import traceback
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

from curation.annotate.metrics import METRICS, Labels, Meter
from curation.processes.messages import (
    MetricsRecorded,
    Record,
    RunTask,
    StartWorker,
    TaskEnded,
    WorkerFailed,
    WorkerReady,
)
from curation.processes.pandas_import import defer_pandas

_FLUSH_INTERVAL_S = 1.0


def main(pipe: int) -> None:
    """Serve the driver over the pipe whose file descriptor is `pipe`."""
    defer_pandas()
    process = _WorkerProgram(Connection(pipe))
    try:
        process.serve()
    except (EOFError, OSError):
        pass  # the driver has ended
    # Threads may be in the middle of a task, whose result nobody waits for.
    os._exit(0)


class _WorkerProgram:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._send_lock = threading.Lock()
        self._worker: Any = None

    def serve(self) -> None:
        """Receive requests until the pipe closes; other threads run the tasks."""
        start: StartWorker = self._connection.recv()
        self._meter = _BufferedMeter(self)
        threads = ThreadPoolExecutor(start.tasks_at_once)
        threads.submit(self._build, start)
        while True:
            threads.submit(self._run, self._connection.recv())

    def send(self, message: object) -> None:
        with self._send_lock:
            self._connection.send(message)

    def _build(self, start: StartWorker) -> None:
        try:
            self._worker = start.worker(start.config, lambda: self._meter)
        except BaseException as error:
            self.send(WorkerFailed(f"{type(error).__name__}: {error}"))
            os._exit(1)
        self.send(WorkerReady())

    def _run(self, request: RunTask) -> None:
        try:
            row = self._worker({"task": request.task})
            # Clips travel between pools only; here they would be an empty list.
            row.pop("clips", None)
            self._meter.flush()
            self.send(TaskEnded(request.number, row))
        except BaseException:
            # A worker returns what its work raises: this is a fault of the process itself.
            traceback.print_exc()
            os._exit(1)


class _BufferedMeter(Meter):
    """Sends what is recorded to the driver, about once a second; counts are added up before."""

    def __init__(self, program: _WorkerProgram) -> None:
        self._program = program
        self._lock = threading.Lock()
        self._counts: defaultdict[tuple[str, Labels], float] = defaultdict(float)
        self._records: list[Record] = []
        self._flushed_s = time.monotonic()

    def record(self, name: str, value: float, **labels: str) -> None:
        with self._lock:
            if METRICS[name].kind == "counter":
                self._counts[name, tuple(labels.items())] += value
            else:
                self._records.append((name, value, labels))
            due = time.monotonic() - self._flushed_s >= _FLUSH_INTERVAL_S
        if due:
            self.flush()

    def flush(self) -> None:
        with self._lock:
            records, self._records = self._records, []
            counts, self._counts = self._counts, defaultdict(float)
            self._flushed_s = time.monotonic()
        records += [(name, value, dict(labels)) for (name, labels), value in counts.items()]
        if records:
            self._program.send(MetricsRecorded(records))


if __name__ == "__main__":
    main(int(sys.argv[1]))
