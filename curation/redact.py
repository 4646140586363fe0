"""Removes secrets from texts that leave the process: reports, error messages, recorded reasons."""

import os
import re
from collections.abc import Callable

_SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSWORD|CREDENTIAL|ACCESS_KEY|API_KEY")
_LOGIN_IN_URL = re.compile(r"(?<=://)[^/@\s]+:[^/@\s]+(?=@)")


def redact_secrets(text: str) -> str:
    """Remove the values of secret environment variables, and logins in URLs, from a text."""
    return secret_redactor()(text)


def secret_redactor() -> Callable[[str], str]:
    """Return a function that does what `redact_secrets` does, for many texts.

    It reads the environment only once.
    """
    secrets = {
        value: f"<{name}>"
        for name, value in os.environ.items()
        if _SECRET_NAME.search(name.upper()) and len(value) >= 8
    }

    def redact(text: str) -> str:
        for value, name in secrets.items():
            text = text.replace(value, name)
        return _LOGIN_IN_URL.sub("<login>", text)

    return redact
