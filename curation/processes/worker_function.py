"""Calls one function in a separate process, such as one with the GPUs of a pool's worker."""

import signal
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from curation.annotate.pools import Pool
from curation.errors import InputError, RunError
from curation.processes.child_program import start_child
from curation.processes.machine import list_gpus, worker_environment

T = TypeVar("T")


class ProcessDiedError(Exception):
    """The process ended before the function did; `code` as of `subprocess.Popen.returncode`."""

    def __init__(self, code: int) -> None:
        super().__init__(signal.Signals(-code).name if code < 0 else f"exit code {code}")
        self.code = code


def call_in_process(
    function: Callable[..., T], *arguments: Any, environment: Mapping[str, str] | None = None
) -> T:
    """Call a function of this package with these arguments, and return its result.

    Args:
        function: found by its name in the other process.
        arguments: pickled.
        environment: variables of the process in addition to those of this process.

    Raises:
        ProcessDiedError: the process died.
        Exception: any exception of the function.
    """
    process, connection = start_child("curation.processes.function_main", environment=environment)
    try:
        connection.send((function, arguments))
        result: T
        result, error = connection.recv()
    except (EOFError, OSError) as ended:
        raise ProcessDiedError(process.wait()) from ended
    finally:
        process.kill()
        process.wait()
        connection.close()
    if error:
        raise error
    return result


def call_as_worker(pool: Pool, function: Callable[..., T], *arguments: Any) -> T:
    """As `call_in_process`, with what a worker of a pool sees of this machine.

    Raises:
        InputError: this machine has fewer GPUs than a worker of the pool.
        RunError: the process died.
        Exception: any exception of the function.
    """
    if pool.gpus and len(gpus := list_gpus()) < pool.gpus:
        raise InputError(
            f"{pool} do not fit on this machine, which has {len(gpus)} GPUs; set fewer gpus for it"
        )
    try:
        return call_in_process(function, *arguments, environment=worker_environment(pool, 0))
    except ProcessDiedError as died:
        raise RunError(
            f"the process that measures {pool.name} died ({died}); the plan is written, and the "
            "same command measures again"
        ) from died
