"""The mistakes of a user or an input that end a command with a message, not a traceback."""


class InputError(ValueError):
    """Bad input: the message names what was found, what was expected and what to do."""
