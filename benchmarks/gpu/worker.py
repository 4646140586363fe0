"""A process that runs measurements, so that a crash or a hang ends one of them and no others.

It runs one after the other, and is replaced after one that failed: out of memory or a fault on the
device may leave a CUDA context that nothing else works in.
"""

import gc
import multiprocessing
import time
import traceback
from collections.abc import Callable
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

_POLL_S = 10.0
_END_S = 10.0


class Outcome(NamedTuple):
    """What a function returned, or why it did not; `seconds` is its time with the process's."""

    value: Any
    failed: str | None
    seconds: float


class Worker:
    """Calls functions by name in a process of its own, which starts with the first call."""

    def __init__(self) -> None:
        self._process: Any = None

    def call(
        self,
        function: str,
        *arguments: Any,
        limit_s: float,
        on_wait: Callable[[float], None] = lambda seconds: None,
    ) -> Outcome:
        """Call `module:function` and wait for it.

        Args:
            limit_s: after so long the process is killed.
            on_wait: called every few seconds with the seconds so far.
        """
        begun_s = time.monotonic()
        if self._process is None:
            self._start()
        self._connection.send((function, arguments))
        value, failed = self._wait(begun_s, limit_s, on_wait)
        if failed is not None:
            self._process.kill()
            self.close()
        return Outcome(value, failed, time.monotonic() - begun_s)

    def close(self) -> None:
        """End the process; one that does not end by itself is killed."""
        if self._process is not None:
            self._connection.close()
            self._process.join(_END_S)
            self._process.kill()
            self._process.join()
            self._process = None

    def _start(self) -> None:
        # Not forked: a forked process cannot use CUDA where its parent has.
        spawned = multiprocessing.get_context("spawn")
        self._connection, theirs = spawned.Pipe()
        self._process = spawned.Process(target=serve_calls, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def _wait(
        self, begun_s: float, limit_s: float, on_wait: Callable[[float], None]
    ) -> tuple[Any, str | None]:
        while (passed_s := time.monotonic() - begun_s) < limit_s:
            try:
                if self._connection.poll(min(_POLL_S, limit_s - passed_s)):
                    return self._connection.recv()
            except (EOFError, OSError):
                self._process.join()
                return None, f"its process ended with status {self._process.exitcode}"
            on_wait(time.monotonic() - begun_s)
        return None, f"not done within {limit_s:.0f} s"


def serve_calls(connection: Connection) -> None:
    """The worker's side: `(function, arguments)` in, `(value, reason)` out, until it is killed."""
    while True:
        try:
            function, arguments = connection.recv()
        except EOFError:
            return
        # Models of the call before that only cycles hold would take the device's memory.
        gc.collect()
        module, _, name = function.partition(":")
        try:
            reply = getattr(import_module(module), name)(*arguments), None
        # Whatever a measurement raises is its result.
        except Exception as error:
            traceback.print_exc()
            reply = None, f"{type(error).__name__}: {error}"
        connection.send(reply)
