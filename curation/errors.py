"""Errors that end a command with a message, not a traceback.

`exit_code` is that of a command that ends in one. docs/engine.md lists the codes.
"""


class InputError(ValueError):
    """Bad input: the message names what was found, what was expected and what to do."""

    exit_code = 1


class FormatError(InputError):
    """A file has a format number that this version does not read."""

    def __init__(self, place: str, found: object, expected: object, remedy: str) -> None:
        super().__init__(f"{place}: format {found}, this version reads {expected}; {remedy}")


class RunError(RuntimeError):
    """A run that could not end as asked, through no fault of its input; the message says why."""

    exit_code = 1
