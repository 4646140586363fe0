"""Defines the state of a loader as plain data, which checkpoints contain."""

from dataclasses import asdict, dataclass
from typing import Any

from curation.errors import InputError

STATE_FORMAT = 1


@dataclass(frozen=True)
class LoaderState:
    """The position of a training in its data; the same for every rank."""

    epoch: int
    samples_seen: int  # in this epoch, by all ranks together
    seed: int
    table: list[list[Any]]  # [uri, version] of each
    batch: int
    format: int = STATE_FORMAT

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> "LoaderState":
        """Build the state from plain data. Raises InputError if the state is of another format."""
        if state.get("format") != STATE_FORMAT:
            raise InputError(
                f"the loader's state has format {state.get('format')}, expected {STATE_FORMAT}: "
                "resume with the tagscribe that wrote it, or start again"
            )
        return cls(**state)
