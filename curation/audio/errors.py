"""The error for audio that cannot be used, and the types of this error."""

from typing import Any, Literal

AudioErrorKind = Literal[
    "empty_file",
    "unknown_format",
    "truncated",
    "too_short",
    "too_long",
    "too_large",
    "not_finite",
    "silent",
]


class AudioError(ValueError):
    """Audio cannot be used. `type` is the type of the error, and the message gives the reason."""

    def __init__(self, kind: AudioErrorKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind

    def __reduce__(self) -> tuple[Any, ...]:
        return AudioError, (self.kind, str(self))


def truncated_error(name: str, duration_s: float | None, reason: str) -> AudioError:
    """Return the error for a file that ends early.

    `duration_s` is the length in seconds that the file's header states, or None.
    """
    claim = "" if duration_s is None else f"its header claims {duration_s:.2f} s, but "
    return AudioError(
        "truncated", f"{name} is truncated or damaged: {claim}{reason}; fetch the file again"
    )
