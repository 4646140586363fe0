"""Runs a `RayExecutor` in a client process, so that the driver survives the death of Ray's client.

This module is the driver's side. It does not import Ray. `client_main` is the client process.
"""

import itertools
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from curation import console
from curation.annotate.executor import IsolatedWorkers
from curation.annotate.task import Task, TaskResult, WorkerDeath
from curation.cluster.client_messages import (
    Answer,
    Attempt,
    EndIsolation,
    Failed,
    Isolate,
    IsolationBegun,
    Notice,
    RecordMetric,
    Request,
    RunTasks,
    StartClient,
    Value,
)
from curation.config.run import RunConfig
from curation.errors import RunError
from curation.processes.child_program import start_child

# Ray's daemons are stopped in a few seconds, or left behind to end by themselves.
_END_S = 20.0


class SupervisedRayExecutor:
    """An `Executor` that passes each call to a `RayExecutor` in a client process.

    It is a context manager: the client process is ended at the end of the `with` block. If the
    client process ends before that, every method raises RunError.
    """

    def __init__(self, config: RunConfig, fused_worker: type) -> None:
        """`fused_worker` as in `driver.annotate_run`."""
        self.meter = _ClientMeter(self)
        self._config = config
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._answers: dict[int, queue.SimpleQueue[Value | Exception]] = {}
        self._end: RunError | None = None
        # Ray's own lines would appear in the middle of the progress.
        self._output = tempfile.TemporaryFile()
        self._process, self._connection = start_child("curation.cluster.client_main", self._output)
        self._connection.send(StartClient(config, fused_worker))
        threading.Thread(target=self._receive, daemon=True).start()

    def __enter__(self) -> "SupervisedRayExecutor":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
        self._process.kill()
        self._process.wait()
        self._output.close()

    def run_tasks(self, tasks: Sequence[Task]) -> Iterator[TaskResult | WorkerDeath]:
        """Run tasks as `Executor.run_tasks` specifies."""
        answers = self._request(RunTasks(next(self._numbers), tasks))
        while (outcome := _take(answers)) is not None:
            assert not isinstance(outcome, IsolationBegun)
            yield outcome

    @contextmanager
    def isolate_workers(self, count: int) -> Iterator[IsolatedWorkers]:
        """Start isolated workers as `Executor.isolate_workers` specifies."""
        begun = _take(self._request(Isolate(next(self._numbers), count)))
        assert isinstance(begun, IsolationBegun)
        yield _ClientWorkers(self, begun)
        _take(self._request(EndIsolation(next(self._numbers))))

    def attempt(self, task: Task, avoided_node: str = "") -> TaskResult | WorkerDeath:
        """Run a task as `IsolatedWorkers.attempt` specifies."""
        outcome = _take(self._request(Attempt(next(self._numbers), task, avoided_node)))
        assert isinstance(outcome, TaskResult | WorkerDeath)
        return outcome

    def send(self, message: Request | RecordMetric) -> None:
        """Send a message to the client process.

        Nothing is raised if the pipe is closed. The requests that wait for an answer then raise
        RunError.
        """
        with self._lock, suppress(OSError):
            self._connection.send(message)

    def _request(self, request: Request) -> "queue.SimpleQueue[Value | Exception]":
        answers: queue.SimpleQueue[Value | Exception] = queue.SimpleQueue()
        with self._lock:
            self._answers[request.number] = answers
            if self._end:
                answers.put(self._end)
        self.send(request)
        return answers

    def _handle(self, message: Answer | Failed | Notice) -> None:
        match message:
            case Answer(number, value):
                self._answers[number].put(value)
            case Failed(number, error):
                self._answers[number].put(error)
            case Notice(text):
                console.stderr.print(text, end="")

    def _receive(self) -> None:
        """Hand on the answers of the client until it ends, then its end to all who wait."""
        try:
            while True:
                self._handle(self._connection.recv())
        except (EOFError, OSError):
            pass
        how = describe_client_end(self._config.cluster, self._process.wait())
        end = RunError(f"{how}. What is written stays; the same command goes on from there")
        with self._lock:
            self._end = end
            for answers in self._answers.values():
                answers.put(end)


class _ClientWorkers:
    """The isolated workers of the client."""

    def __init__(self, executor: SupervisedRayExecutor, begun: IsolationBegun) -> None:
        self.count, self.trial_groups = begun.count, begun.trial_groups
        self.attempt = executor.attempt


class _ClientMeter:
    """Sends the driver's numbers to the client."""

    def __init__(self, executor: SupervisedRayExecutor) -> None:
        self._executor = executor

    def record(self, name: str, value: float, **labels: str) -> None:
        self._executor.send(RecordMetric(name, value, labels))


def _take(answers: "queue.SimpleQueue[Value | Exception]") -> Value:
    value = answers.get()
    if isinstance(value, Exception):
        raise value
    return value


def describe_client_end(cluster: str, code: int) -> str:
    """How a process with Ray's client ended, and what must have died; `cluster` as in run.yaml."""
    if code == -signal.SIGKILL:
        return "Ray's client, a process of this command, was killed by SIGKILL"
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    lost = (
        "a process of the Ray on this machine (gcs_server, raylet or one of its agents) died"
        if cluster == "ray"
        else "the head of the cluster, or the Ray of this node, died or cannot be reached"
    )
    return f"Ray's client ended ({how}): {lost}"
