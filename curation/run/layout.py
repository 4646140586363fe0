"""Where the files of a run folder lie."""

from curation.uris import join_uri


def record_uri(run: str) -> str:
    return join_uri(run, "run.json")


def plan_uri(run: str) -> str:
    return join_uri(run, "plan")


def evidence_uri(run: str) -> str:
    return join_uri(run, "evidence")


def shard_uri(run: str, shard: int) -> str:
    return join_uri(evidence_uri(run), f"shard-{shard:05d}.parquet")


def progress_uri(run: str) -> str:
    return join_uri(run, "progress")


def table_uri(run: str) -> str:
    return join_uri(run, "table")


def decisions_uri(run: str, selection: str) -> str:
    return join_uri(run, "decisions", f"{selection}.parquet")


def marks_uri(run: str) -> str:
    return join_uri(run, "marks")
