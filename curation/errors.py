"""The mistakes of a user or an input that end a command with a message, not a traceback."""


class InputError(ValueError):
    """Bad input: the message names what was found, what was expected and what to do."""


class RunError(RuntimeError):
    """A run that could not end as asked, through no fault of its input; the message says why."""
