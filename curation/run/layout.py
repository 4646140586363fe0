"""Where the files of a run folder lie."""

from curation.storage import files as storage


def record_uri(run: str) -> str:
    return storage.join(run, "run.json")


def plan_uri(run: str) -> str:
    return storage.join(run, "plan")


def evidence_uri(run: str) -> str:
    return storage.join(run, "evidence")


def shard_uri(run: str, shard: int) -> str:
    return storage.join(evidence_uri(run), f"shard-{shard:05d}.parquet")


def progress_uri(run: str) -> str:
    return storage.join(run, "progress")


def table_uri(run: str) -> str:
    return storage.join(run, "table")


def decisions_uri(run: str, selection: str) -> str:
    return storage.join(run, "decisions", f"{selection}.parquet")


def marks_uri(run: str) -> str:
    return storage.join(run, "marks")
