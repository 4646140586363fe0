"""Starts a function of this package as a program of its own, with a pipe to this process."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import IO

# The name comes first, so that lists of processes show it. Paths are set before anything is
# unpickled, as classes may lie where only this process finds them.
_PROGRAM = """
import importlib, json, sys
_, _, module, pipe, paths = sys.argv
sys.path[:] = json.loads(paths)
importlib.import_module(module).main(int(pipe))
"""


def start_child(
    name: str,
    module: str,
    output: IO[bytes] | None = None,
    environment: Mapping[str, str] | None = None,
) -> tuple[subprocess.Popen[bytes], Connection]:
    """Start `main(pipe)` of a module; the process, and this end of its pipe.

    Args:
        name: the first argument of the process, as lists of processes show it.
        module: defines `main`, which takes the file descriptor of its end of the pipe.
        output: takes what the process prints; None: the process prints where this one does.
        environment: variables that the process has beside those of this process.
    """
    ours, theirs = Pipe()
    arguments = [name, module, str(theirs.fileno()), json.dumps(sys.path)]
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, *arguments],
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env={**os.environ, **(environment or {})},
        # Ctrl-C goes to this process alone, which ends its children.
        process_group=0,
    )
    theirs.close()
    return process, ours
