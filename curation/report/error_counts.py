"""Counts the errors of a run's clips by kind, with an example of each kind."""

from dataclasses import dataclass

import pyarrow as pa

from curation.report.decided_shard import DecidedShard


@dataclass(frozen=True)
class ErrorKind:
    """One kind of error, `stage/type`: the number of its clips, and the first of them."""

    name: str
    stage: str
    clips: int
    clip_id: str
    message: str


class ErrorCounts:
    """Counts errors by kind, shard by shard."""

    def __init__(self) -> None:
        self._kinds: dict[str, ErrorKind] = {}

    def add(self, shard: DecidedShard) -> None:
        failed = shard.clips.select(["clip_id", "error"]).filter(pa.array(~shard.ok))
        for row in failed.to_pylist():
            error = row["error"]
            name = f"{error['stage']}/{error['type']}"
            before = self._kinds.get(name)
            first = before or ErrorKind(name, error["stage"], 0, row["clip_id"], error["message"])
            self._kinds[name] = ErrorKind(**{**vars(first), "clips": first.clips + 1})

    def kinds(self) -> list[ErrorKind]:
        """Return the kinds of error, the most frequent first."""
        return sorted(self._kinds.values(), key=lambda kind: (-kind.clips, kind.name))
