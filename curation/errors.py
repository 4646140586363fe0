"""Errors that end a command with a message, not a traceback."""


class InputError(ValueError):
    """Bad input: the message names what was found, what was expected and what to do."""


class FormatError(InputError):
    """A file has a format number that this version does not read."""

    def __init__(self, place: str, found: object, expected: object, remedy: str) -> None:
        super().__init__(f"{place}: format {found}, this version reads {expected}; {remedy}")


class RunError(RuntimeError):
    """A run that could not end as asked, through no fault of its input; the message says why."""
