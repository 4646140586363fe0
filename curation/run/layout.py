"""The paths of the files in a run folder, and the storage that contains the folder."""

from dataclasses import dataclass

from curation.config.run import RunConfig
from curation.storage.files import Storage
from curation.uris import join_uri


@dataclass(frozen=True)
class RunFolder:
    """A run's folder: its absolute URI, and the storage that contains it. Picklable."""

    uri: str
    storage: Storage = Storage()

    @classmethod
    def from_config(cls, config: RunConfig) -> "RunFolder":
        """Return the folder of a run. Raises InputError if its storage profile is unknown here."""
        return cls(config.run, Storage(config.storage))


def record_uri(run: str) -> str:
    return join_uri(run, "run.json")


def plan_uri(run: str) -> str:
    return join_uri(run, "plan")


def evidence_uri(run: str) -> str:
    return join_uri(run, "evidence")


def shard_uri(run: str, shard: int) -> str:
    return join_uri(evidence_uri(run), f"shard-{shard:05d}.parquet")


def held_uri(run: str) -> str:
    return join_uri(run, "held")


def held_shard_uri(run: str, shard: int) -> str:
    return join_uri(held_uri(run), f"shard-{shard:05d}.parquet")


def early_stop_uri(run: str) -> str:
    return join_uri(run, "first_clips_failed.json")


def progress_uri(run: str) -> str:
    return join_uri(run, "progress")


def table_uri(run: str) -> str:
    return join_uri(run, "table")


def decisions_uri(run: str, selection: str) -> str:
    return join_uri(run, "decisions", f"{selection}.parquet")


def marks_uri(run: str) -> str:
    return join_uri(run, "marks")
