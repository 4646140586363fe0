"""Ctrl-C and SIGTERM in decoding processes: they outlive the training that is stopped.

A terminal sends Ctrl-C, and a job scheduler SIGTERM, to every process of a training. The main
process finishes its step and writes a checkpoint, for which it needs the present batch. It then
ends its decoders itself.
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
    """Processes started in this block get the signals only after `defer_stop_signals`."""
    # Started inside the block, the tracker would unblock the signals for the decoders too.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def defer_stop_signals(worker: int) -> None:
    """Ignore Ctrl-C in this process, and end half a minute after SIGTERM.

    Args:
        worker: the number that torch gives the process.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_GRACE_S))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
