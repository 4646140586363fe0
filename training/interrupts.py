"""Handles Ctrl-C and SIGTERM: the training finishes its step, writes a checkpoint and stops."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)

# A terminal and a program that forwards signals may both deliver the same Ctrl-C.
_SAME_PRESS_S = 1.0


class TrainingStopped(BaseException):
    """Raised when a signal stops the training. It is no Exception, so no other code handles it.

    Args:
        message: what is saved, and how to resume.
        signal_number: the signal.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number


class StopRequest:
    """States whether the training should stop; polled after each step. This class never does."""

    def poll(self) -> int:
        """Return the number of the signal that requested the stop; 0 if there was none so far."""
        return 0

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """In this block the training calls `poll` often, so a signal need not stop it at once."""
        yield


class SignalStopRequest(StopRequest):
    """Requests the stop on Ctrl-C or SIGTERM.

    Use it as a context manager, which handles the signals in its block. A signal within `deferred`
    requests the stop. A second signal within `deferred`, or a signal at another time, raises
    `TrainingStopped`. Python handles signals only in the main thread, so in another thread this
    class does nothing.

    Args:
        once: ignore further signals. Needed under torchrun, which forwards each signal, and kills
            the process after 30 s.
    """

    def __init__(self, once: bool = False) -> None:
        self._once = once
        self._signal = 0
        self._is_read = False
        self._received_at = 0.0
        self._deferred = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def poll(self) -> int:
        self._is_read = self._signal != 0
        return self._signal

    @contextmanager
    def deferred(self) -> Iterator[None]:
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False
        if self._signal and not self._is_read:  # It came after the last step.
            raise _stopped_at_once(self._signal)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again = self._signal != 0
        if again and (self._once or time.monotonic() - self._received_at < _SAME_PRESS_S):
            return
        self._signal, self._received_at = number, time.monotonic()
        if again or not self._deferred:
            raise _stopped_at_once(number)


def _stopped_at_once(number: int) -> TrainingStopped:
    return TrainingStopped(
        "stopped at once; run the same command again to go on from the newest checkpoint", number
    )
