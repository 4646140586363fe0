"""The program of a child process that calls one function for the driver and then ends."""

import os
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from curation.errors import RunError


def main(pipe: int) -> None:
    """Receive a function and its arguments, call it, and send its result or its exception."""
    connection = Connection(pipe)
    function, arguments = connection.recv()
    result: Any = None
    error: Exception | None = None
    try:
        result = function(*arguments)
    except Exception as raised:
        error = raised
    with suppress(OSError):  # the driver has ended
        _send(connection, result, error)
    os._exit(0)


def _send(connection: Connection, result: Any, error: Exception | None) -> None:
    try:
        connection.send((result, error))
    except OSError:
        raise
    except Exception:  # it cannot be pickled
        connection.send((None, RunError(f"{type(error).__name__}: {error}")))


if __name__ == "__main__":
    main(int(sys.argv[1]))
