"""The program of the client process, which runs a `RayExecutor` for a driver.

Ray's client library ends its process without a message if Ray's control service or this node's Ray
dies. Therefore the `RayExecutor` runs in a process of its own, and the driver survives. Driver and
client process exchange messages over a pipe. The client process ends after SIGINT, or when the pipe
closes.
"""

import io
import os
import queue
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from multiprocessing.connection import Connection

from curation import console
from curation.annotate.executor import IsolatedWorkers
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
from curation.cluster.ray_executor import RayExecutor


def main(pipe: int) -> None:
    """Serve the driver over the pipe with the file descriptor `pipe`."""
    connection = Connection(pipe)
    start: StartClient = connection.recv()
    with RayExecutor(start.config, start.fused_worker) as executor, suppress(KeyboardInterrupt):
        client = _Client(connection, executor)
        console.stderr.file = _NoticeFile(client)
        client.serve()


class _Client:
    def __init__(self, connection: Connection, executor: RayExecutor) -> None:
        self._connection = connection
        self._executor = executor
        self._send_lock = threading.Lock()
        # Ray is started, joined and left by the main thread, which takes its signals.
        self._requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._attempts = ThreadPoolExecutor(max_workers=1024)
        self._isolation: AbstractContextManager[IsolatedWorkers] | None = None
        self._workers: IsolatedWorkers | None = None

    def serve(self) -> None:
        threading.Thread(target=self._receive, daemon=True).start()
        while True:
            self._handle(self._requests.get())

    def _receive(self) -> None:
        try:
            while True:
                message = self._connection.recv()
                if isinstance(message, RecordMetric):
                    self._executor.meter.record(message.name, message.value, **message.labels)
                elif isinstance(message, Attempt):
                    self._attempts.submit(self._handle, message)
                else:
                    self._requests.put(message)
        except (EOFError, OSError):
            os._exit(1)  # the driver has ended; what it had started of Ray ends with this process

    def _handle(self, request: Request) -> None:
        try:
            match request:
                case RunTasks(number, tasks):
                    for outcome in self._executor.run_tasks(tasks):
                        self.send(Answer(number, outcome))
                    self.send(Answer(number, None))
                case Isolate(number, count):
                    self._isolation = self._executor.isolate_workers(count)
                    workers = self._workers = self._isolation.__enter__()
                    self.send(Answer(number, IsolationBegun(workers.count, workers.trial_groups)))
                case EndIsolation(number):
                    assert self._isolation is not None
                    self._isolation.__exit__(None, None, None)
                    self.send(Answer(number, None))
                case Attempt(number, task, avoided_node):
                    assert self._workers is not None
                    value: Value = self._workers.attempt(task, avoided_node)
                    self.send(Answer(number, value))
        except Exception as error:
            self.send(Failed(request.number, error))

    def send(self, message: Answer | Failed | Notice) -> None:
        with self._send_lock:
            self._connection.send(message)


class _NoticeFile(io.StringIO):
    """A text file whose content goes to the driver, which shows it."""

    def __init__(self, client: _Client) -> None:
        super().__init__()
        self._client = client

    def write(self, text: str) -> int:
        if text:
            self._client.send(Notice(text))
        return len(text)


if __name__ == "__main__":
    main(int(sys.argv[1]))
