"""Reports the error of a command: one line on stderr, an exit code, and a traceback if useful.

Errors of this package and of the operating system are printed as they are. Any other error is a
fault of the program. Its traceback is written to a file, and the line names the file.
"""

import os
import sys
import tempfile
import traceback

from curation.errors import (
    DiskFullError,
    InputError,
    RunError,
    describe_disk_full,
    is_disk_full,
)
from curation.redact import redact_secrets
from curation.text_safety import escape_invisible

# Set to anything but nothing, it prints the traceback of every error.
TRACEBACK_VARIABLE = "TAGSCRIBE_TRACEBACK"


def report_error(program: str, error: Exception) -> int:
    """Print how a command ended in one line, which begins with `program`; return the exit code."""
    if os.environ.get(TRACEBACK_VARIABLE):
        print(_format_traceback(error), file=sys.stderr)
    if is_disk_full(error) and not isinstance(error, RunError):
        # Whatever was written, by whichever library.
        message, code = describe_disk_full(error), DiskFullError.exit_code
    elif isinstance(error, InputError | RunError):
        message, code = str(error), error.exit_code
    elif isinstance(error, OSError):
        message, code = f"{type(error).__name__}: {error}", 1
    else:
        message, code = _describe_fault(program, error), 1
    lines = map(escape_invisible, redact_secrets(message).split("\n"))
    print(f"{program}: " + "\n".join(lines), file=sys.stderr)
    return code


def _describe_fault(program: str, error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    message = " ".join(str(error).split())
    return (
        f"unexpected {type(error).__name__}: {message} (line {frame.lineno} of {frame.filename}). "
        f"This is a fault of {program}, not of its input: please report it"
        + _write_traceback(program, error)
    )


def _write_traceback(program: str, error: Exception) -> str:
    """Where the traceback is, as the end of a sentence."""
    try:
        handle, path = tempfile.mkstemp(prefix=f"{program}-traceback-", suffix=".txt")
        with os.fdopen(handle, "w") as file:
            file.write(_format_traceback(error))
    except OSError:
        return f", with the traceback that {TRACEBACK_VARIABLE}=1 prints"
    return f", with {path}, which holds the traceback"


def _format_traceback(error: Exception) -> str:
    return redact_secrets("".join(traceback.format_exception(error)))
