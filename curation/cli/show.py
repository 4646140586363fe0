"""The command `tagscribe show`: prints the evidence of a clip, or the versions of the table."""

import difflib
from collections.abc import Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curation import console
from curation.cli.arguments import EndpointUrl, Profile, Run
from curation.errors import InputError

if TYPE_CHECKING:
    from curation.run.layout import RunFolder
    from curation.table import TableVersion

# Clip ids that are named where one is unknown, and those compared with it in one part of the plan.
_SIMILAR_IDS = 3
_MOST_COMPARED = 10_000


def show_command(
    run: Run,
    clip_id: Annotated[
        str | None, typer.Argument(help="Id of a clip, to show all its evidence.")
    ] = None,
    version: Annotated[int | None, typer.Option(help="Version of the table.")] = None,
    rows: Annotated[int, typer.Option(min=1, help="Pairs to show.")] = 10,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
) -> None:
    """Show the evidence of a clip or, if none is given, the table's versions and first pairs."""
    from curation.run.resolve import resolve_run

    folder = resolve_run(run, endpoint_url, profile).folder
    if clip_id:
        print_clip(folder, clip_id)
    else:
        print_table_versions(folder, version, rows)


def print_clip(run: "RunFolder", clip_id: str) -> None:
    """Print all evidence of one clip. Raises InputError if the plan does not contain it."""
    from curation.run import evidence as run_evidence
    from curation.run import layout, plan

    for clips in plan.read_plan_clips(run, ["shard", "clip_id"]):
        where = clips["clip_id"].index(clip_id).as_py()
        if where >= 0:
            shard = clips["shard"][where].as_py()
            break
    else:
        similar = ", ".join(_find_similar_ids(run, clip_id))
        nearest = f"; the nearest are {similar}" if similar else ""
        raise InputError(f"{clip_id}: no such clip in the plan of {run.uri}{nearest}")
    if not run.storage.exists(layout.shard_uri(run.uri, shard)):
        raise InputError(f"{clip_id}: shard {shard} of {run.uri} has no evidence yet")
    evidence = run_evidence.read_evidence_shard(run, shard)
    row = evidence.slice(evidence["clip_id"].index(clip_id).as_py(), 1).to_pylist()[0]
    embedding = row.pop("audio_embedding")
    candidates = row.pop("candidates")
    row["tags"] = ", ".join(_format_tags(row["tags"], row.pop("tag_scores")))
    row["guidance"] = ", ".join(row["guidance"])
    row["audio_embedding"] = f"{len(embedding)} numbers" if embedding else None
    console.print_fields(row)
    if candidates:
        score_columns = ("log_prob", "clap_score", "second_score")
        scores = [score for score in score_columns if candidates[0][score] is not None]
        console.print_table(
            "candidates",
            ["caption", "method", *scores],
            [
                [c["caption"], c["method"], *(f"{c[score]:.3f}" for score in scores)]
                for c in candidates
            ],
        )


def _find_similar_ids(run: "RunFolder", clip_id: str) -> list[str]:
    """The ids in the plan that are most similar to a clip id, best first."""
    import pyarrow.compute as pc

    from curation.run import plan

    # Comparison is slow: of millions of ids, only those with a common part are compared.
    half = max(1, len(clip_id) // 2)
    found: list[str] = []
    for clips in plan.read_plan_clips(run, ["clip_id"]):
        ids = clips["clip_id"]
        begins, ends = (
            pc.match_substring(ids, part, ignore_case=True)
            for part in (clip_id[:half], clip_id[-half:])
        )
        near = ids.filter(pc.or_(begins, ends)).slice(0, _MOST_COMPARED)
        if not len(near) and len(ids) <= _MOST_COMPARED:
            near = ids
        found = difflib.get_close_matches(clip_id, [*found, *near.to_pylist()], _SIMILAR_IDS)
    return found


def _format_tags(tags: list[dict[str, Any]], scores: list[float] | None) -> Iterator[str]:
    """Tags for people: name, confidence, whether a tagger put it there, and its CLAP score."""
    for tag, score in zip_longest(tags, scores or []):
        details = [f"{tag['confidence']:.2f}"]
        if tag["origin"] == "predicted":
            details.append("predicted")
        if score is not None:
            details.append(f"score {score:.3f}")
        yield f"{tag['name']} ({', '.join(details)})"


def print_table_versions(run: "RunFolder", version: int | None, rows: int) -> None:
    """Print the versions of the curated table, and the first pairs of one version."""
    from curation import table
    from curation.run import layout

    table_uri = layout.table_uri(run.uri)
    versions = table.list_table_versions(run.storage, table_uri)
    console.print_table(
        "versions",
        ["version", "pairs", "policy"],
        [[v.version, v.rows, _format_policy(v)] for v in versions],
    )
    columns = ["clip_id", "caption", "clap_score", "log_prob"]
    pairs = table.read_pairs(run.storage, table_uri, version, columns).slice(0, rows).to_pylist()
    console.print_table(
        "pairs",
        columns,
        [
            [p["clip_id"], p["caption"], f"{p['clap_score']:.3f}", _format_number(p["log_prob"])]
            for p in pairs
        ],
    )


def _format_number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _format_policy(version: "TableVersion") -> str:
    policy = version.lineage.get("policy", {})
    return ", ".join(f"{key} {value}" for key, value in policy.items() if value is not None)
