"""Detects that all clips of a shard failed in the same way.

The cause of such a failure is rarely in the clips.
"""

import json
from dataclasses import asdict, dataclass

import pyarrow as pa

from curation.schema import OK

# The stage of clips that were listed without audio.
WITHOUT_AUDIO = "catalog"


@dataclass(frozen=True)
class CommonFailure:
    """A failure with the same stage and kind for all clips of a shard.

    The clip id and the message are those of the first clip.
    """

    stage: str
    kind: str
    clip_id: str
    message: str

    @property
    def name(self) -> str:
        """The name `stage/kind` under which the evidence counts this failure."""
        return f"{self.stage}/{self.kind}"

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "CommonFailure":
        return cls(**json.loads(text))


def find_common_failure(rows: pa.Table, count: int) -> CommonFailure | None:
    """Find the failure that the first clips with audio share: the same stage, and the same kind.

    Returns None if the clips did not all fail, or failed in different ways.

    Args:
        rows: the evidence of a shard (EVIDENCE_SCHEMA).
        count: number of clips to consider; clips without audio are skipped.
    """
    first: CommonFailure | None = None
    for row in rows.select(["clip_id", "outcome", "error"]).to_pylist():
        if not count:
            break
        if row["outcome"] == OK:
            return None
        error = row["error"]
        if error["stage"] == WITHOUT_AUDIO:
            continue
        count -= 1
        failure = CommonFailure(error["stage"], error["type"], row["clip_id"], error["message"])
        first = first or failure
        if failure.name != first.name:
            return None
    return first
