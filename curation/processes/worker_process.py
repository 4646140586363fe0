"""A worker process as the driver sees it: started, given tasks, and explained when it dies."""

import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from multiprocessing import Pipe
from typing import Any

from curation.annotate.executor import WorkerStartError
from curation.annotate.task import Task, TaskResult, WorkerDeath
from curation.processes.messages import (
    MetricsRecorded,
    Record,
    RunTask,
    StartWorker,
    TaskEnded,
    WorkerFailed,
    WorkerReady,
)

# The name comes first, so that lists of processes show it. Paths are set before anything is
# unpickled, as a worker's class may lie where only this process finds it.
_PROGRAM = """
import json, sys
_, _, pipe, paths = sys.argv
sys.path[:] = json.loads(paths)
from curation.processes.worker_main import main
main(int(pipe))
"""
_TAIL_BYTES = 2000


class WorkerProcess:
    """A process that holds a worker. It is built at once; tasks wait until the worker is ready."""

    def __init__(
        self,
        start: StartWorker,
        environment: Mapping[str, str],
        on_metrics: Callable[[Sequence[Record]], None],
    ) -> None:
        self._on_metrics = on_metrics
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._running: dict[int, tuple[Task, Future[TaskResult | WorkerDeath]]] = {}
        self._cause: str | None = None
        self._ready: Future[None] = Future()
        self._output = tempfile.TemporaryFile()
        self._connection, theirs = Pipe()
        arguments = ["tagscribe-worker", str(theirs.fileno()), json.dumps(sys.path)]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *arguments],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            env={**os.environ, **environment},
            # Ctrl-C goes to the driver alone, which ends its workers.
            process_group=0,
        )
        theirs.close()
        self._connection.send(start)
        self._receiver = threading.Thread(target=self._receive, daemon=True)
        self._receiver.start()

    @property
    def dead(self) -> bool:
        return self._cause is not None

    def run(self, task: Task) -> TaskResult | WorkerDeath:
        """Run a task; waits for the worker to be ready, then for the task.

        Raises WorkerStartError where the worker never became ready.
        """
        self._ready.result()
        outcome: Future[TaskResult | WorkerDeath] = Future()
        with self._lock:
            if self._cause is not None:
                return WorkerDeath(task, self._cause)
            number = next(self._numbers)
            self._running[number] = task, outcome
        try:
            self._connection.send(RunTask(number, task.to_json()))
        except OSError:
            pass  # it has just died, which the receiving thread reports
        return outcome.result()

    def kill(self) -> None:
        """End the process; its tasks end as deaths."""
        self._process.kill()

    def join(self) -> None:
        """Wait until the process has ended and its tasks know it."""
        self._receiver.join()

    def _receive(self) -> None:
        """Handle the messages of the process until it ends."""
        try:
            while True:
                self._handle(self._connection.recv())
        except (EOFError, OSError):
            pass
        finally:
            self._bury()

    def _handle(self, message: Any) -> None:
        match message:
            case WorkerReady():
                self._ready.set_result(None)
            case WorkerFailed(reason):
                self._ready.set_exception(WorkerStartError(f"workers cannot start: {reason}"))
            case MetricsRecorded(records):
                self._on_metrics(records)
            case TaskEnded(number, row):
                with self._lock:
                    _, outcome = self._running.pop(number)
                outcome.set_result(TaskResult.from_row(row))

    def _bury(self) -> None:
        """Wait for the process that has closed its pipe, and end its tasks with the cause."""
        self._process.kill()  # one that only closed its pipe is of no use either
        cause = _describe_end(self._process.wait(), self._read_tail())
        with self._lock:
            self._cause = cause
            running, self._running = self._running, {}
        self._connection.close()
        self._output.close()
        if not self._ready.done():
            self._ready.set_exception(
                WorkerStartError(f"workers cannot start: the worker process has died: {cause}")
            )
        for task, outcome in running.values():
            outcome.set_result(WorkerDeath(task, cause))

    def _read_tail(self) -> str:
        """The last line that the process wrote."""
        size = self._output.seek(0, os.SEEK_END)
        self._output.seek(max(0, size - _TAIL_BYTES))
        lines = self._output.read().decode(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else ""


def _describe_end(code: int, last_line: str) -> str:
    if code >= 0:
        end = f"exit code {code}"
    else:
        end = f"killed by {signal.Signals(-code).name}"
        if -code == signal.SIGKILL:
            end += ", which the kernel sends where memory runs out"
    return f"{end}: {last_line}" if last_line else end
