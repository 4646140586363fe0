"""The error of audio that cannot be used, with its kinds."""

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
    """A sound that cannot be used; `type` is one of a few words, the message says why."""

    def __init__(self, kind: AudioErrorKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind

    def __reduce__(self) -> tuple[Any, ...]:
        return AudioError, (self.kind, str(self))


def truncated_error(name: str, duration_s: float | None, reason: str) -> AudioError:
    """The error for a file that ends early; `duration_s` is what its header claims."""
    claim = "" if duration_s is None else f"its header claims {duration_s:.2f} s, but "
    return AudioError(
        "truncated", f"{name} is truncated or damaged: {claim}{reason}; fetch the file again"
    )
