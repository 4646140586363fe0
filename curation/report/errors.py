"""The kinds of error of a run's clips, each with a count and an example."""

from dataclasses import dataclass

import pyarrow as pa

from curation.report.shard import Shard


@dataclass(frozen=True)
class Kind:
    """One kind of error, `stage/type`, and the first clip that had it."""

    name: str
    stage: str
    clips: int
    clip_id: str
    message: str


class Errors:
    """Counts shard by shard."""

    def __init__(self) -> None:
        self._kinds: dict[str, Kind] = {}

    def add(self, shard: Shard) -> None:
        failed = shard.clips.select(["clip_id", "error"]).filter(pa.array(~shard.ok))
        for row in failed.to_pylist():
            error = row["error"]
            name = f"{error['stage']}/{error['type']}"
            before = self._kinds.get(name)
            first = before or Kind(name, error["stage"], 0, row["clip_id"], error["message"])
            self._kinds[name] = Kind(**{**vars(first), "clips": first.clips + 1})

    def kinds(self) -> list[Kind]:
        """The commonest first."""
        return sorted(self._kinds.values(), key=lambda kind: (-kind.clips, kind.name))
