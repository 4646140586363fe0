"""The driver's side of a worker process: starts it, sends tasks, and explains its death."""

import itertools
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from functools import partial
from typing import Any

from curation.annotate.executor import WorkerStartError
from curation.annotate.task import Task, TaskResult, WorkerDeath, parse_outcome
from curation.processes.child_program import start_child
from curation.processes.messages import (
    MetricsRecorded,
    Record,
    RunTask,
    StartWorker,
    TaskEnded,
    WorkerFailed,
    WorkerReady,
)

_TAIL_BYTES = 2000


class WorkerProcess:
    """A process that builds a worker as soon as it starts; tasks wait until the worker is ready."""

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
        self._death: Callable[[Task], WorkerDeath] | None = None
        self._reason = ""  # why this process killed it, where it did
        self._timeout_s = start.config.annotate.worker_timeout_s
        self._last_sign_s = time.monotonic()
        self._ready: Future[None] = Future()
        self._output = tempfile.TemporaryFile()
        self._process, self._connection = start_child(
            "curation.processes.worker_main", self._output, environment
        )
        self._connection.send(start)
        self._receiver = threading.Thread(target=self._receive, daemon=True)
        self._receiver.start()

    def wait_until_ready(self) -> None:
        """Wait until the worker is built. Raises WorkerStartError if it cannot be built."""
        self._ready.result()

    def run(self, task: Task) -> TaskResult | WorkerDeath:
        """Run a task: wait until the worker is ready, and then until the task has ended.

        A process that sends nothing for `annotate.worker_timeout_s` is killed.

        Raises WorkerStartError if the worker never became ready.
        """
        self.wait_until_ready()
        outcome: Future[TaskResult | WorkerDeath] = Future()
        with self._lock:
            if self._death is not None:
                return self._death(task)
            self._last_sign_s = time.monotonic()
            number = next(self._numbers)
            self._running[number] = task, outcome
        try:
            self._connection.send(RunTask(number, task.to_json()))
        except OSError:
            pass  # it has just died, which the receiving thread reports
        while not outcome.done():
            wait([outcome], timeout=self._timeout_s / 10)
            silent_s = time.monotonic() - self._last_sign_s
            if not outcome.done() and silent_s > self._timeout_s:
                self._reason = f"no progress for {silent_s:.0f} s"
                self.kill()
        return outcome.result()

    def kill(self) -> None:
        """End the process; running tasks end as deaths."""
        self._process.kill()

    def join(self) -> None:
        """Wait until the process has ended and each of its tasks has an outcome."""
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
        self._last_sign_s = time.monotonic()
        match message:
            case WorkerReady():
                self._ready.set_result(None)
            case WorkerFailed(reason):
                self._ready.set_exception(WorkerStartError(reason))
            case MetricsRecorded(records):
                self._on_metrics(records)
            case TaskEnded(number, row):
                with self._lock:
                    _, outcome = self._running.pop(number)
                outcome.set_result(parse_outcome(row))

    def _bury(self) -> None:
        """Wait for the process that has closed its pipe, and end its tasks with the cause."""
        self._process.kill()  # one that only closed its pipe is of no use either
        code = self._process.wait()
        cause = self._reason or _describe_end(code, self._read_tail())
        out_of_memory = code == -signal.SIGKILL and not self._reason
        with self._lock:
            self._death = partial(WorkerDeath, cause=cause, out_of_memory=out_of_memory)
            running, self._running = self._running, {}
        self._connection.close()
        self._output.close()
        if not self._ready.done():
            self._ready.set_exception(WorkerStartError(f"the worker process has died: {cause}"))
        for task, outcome in running.values():
            outcome.set_result(self._death(task))

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
