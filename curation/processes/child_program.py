"""Starts a module of this package as a separate program that has a pipe to this process."""

import os
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import IO


def start_child(
    module: str, output: IO[bytes] | None = None, environment: Mapping[str, str] | None = None
) -> tuple[subprocess.Popen[bytes], Connection]:
    """Start a module as `python -m` does; return the process and this process's end of the pipe.

    Args:
        module: run with one argument, the file descriptor of the new process's end of the pipe.
        output: receives the output of the new process. None: both processes write to the same
            output.
        environment: variables of the new process in addition to those of this process.
    """
    ours, theirs = Pipe()
    # Classes that are sent may be where only this process finds them.
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", module, str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env={**os.environ, **(environment or {}), "PYTHONPATH": paths},
        # Ctrl-C goes to this process alone, which ends its children.
        process_group=0,
    )
    theirs.close()
    return process, ours
