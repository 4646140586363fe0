"""Calls one function in a process that has the GPUs of a pool's worker."""

import signal
from collections.abc import Callable
from typing import Any, TypeVar

from curation.annotate.pools import Pool
from curation.errors import InputError, RunError
from curation.processes.child_program import start_child
from curation.processes.machine import list_gpus, worker_environment

T = TypeVar("T")


def call_as_worker(pool: Pool, function: Callable[..., T], *arguments: Any) -> T:
    """Call a function of this package in a process, and return the result.

    The process sees the GPUs that a worker of the pool would see.

    Raises:
        InputError: this machine has fewer GPUs than a worker of the pool.
        RunError: the process died.
        Exception: any exception of the function.
    """
    if pool.gpus and len(gpus := list_gpus()) < pool.gpus:
        raise InputError(
            f"{pool} do not fit on this machine, which has {len(gpus)} GPUs; set fewer gpus for it"
        )
    process, connection = start_child(
        "curation.processes.function_main", environment=worker_environment(pool, 0)
    )
    try:
        connection.send((function, arguments))
        result: T
        result, error = connection.recv()
    except (EOFError, OSError) as ended:
        code = process.wait()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        raise RunError(f"the process that measures {pool.name} died ({how})") from ended
    finally:
        process.kill()
        process.wait()
        connection.close()
    if error:
        raise error
    return result
