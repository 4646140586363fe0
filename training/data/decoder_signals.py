"""Keeps decoding processes alive after Ctrl-C or SIGTERM until the training has stopped.

A terminal sends Ctrl-C to every process of a training, and a job scheduler sends SIGTERM. The main
process then finishes its step, which needs the batch that is being decoded, and writes a
checkpoint. After that it ends the decoding processes.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# What job schedulers and torchrun grant between SIGTERM and SIGKILL.
_GRACE_S = 30


@contextmanager
def block_stop_signals() -> Iterator[None]:
    """Delay the signals to processes started in this block until `defer_stop_signals` is called."""
    # Started inside the block, the tracker would unblock the signals for the decoders too.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def defer_stop_signals(worker: int) -> None:
    """Make this process ignore Ctrl-C, and end half a minute after a SIGTERM.

    Args:
        worker: the number of the process, which torch passes; not used.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_GRACE_S))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
