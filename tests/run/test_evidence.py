"""The sink: one immutable file a shard, whose existence is the done-marker."""

from pathlib import Path

import pyarrow as pa

from curation.run import evidence as run_evidence
from curation.run import layout
from curation.run.layout import RunFolder
from curation.schema import EVIDENCE_SCHEMA
from curation.storage.files import Storage


def evidence(outcomes: list[str], caption: str = "a dog barks") -> pa.Table:
    rows = [
        {
            "clip_id": f"clip{index}",
            "tags": [],
            "guidance": [],
            "candidates": [{"caption": caption, "method": "beam", "log_prob": -0.5}],
            "outcome": outcome,
            "error": None
            if outcome == "ok"
            else {"stage": "decode", "type": "truncated", "message": "ends early"},
        }
        for index, outcome in enumerate(outcomes)
    ]
    return pa.Table.from_pylist(rows, schema=EVIDENCE_SCHEMA)


def test_a_shard_is_read_back_as_written(tmp_path: Path) -> None:
    rows = evidence(["ok", "error"])
    run_evidence.write_evidence_shard(RunFolder(str(tmp_path)), 3, rows)
    assert run_evidence.read_evidence_shard(RunFolder(str(tmp_path)), 3).equals(rows)
    assert run_evidence.list_done_shards(RunFolder(str(tmp_path))) == [3]


def test_a_second_write_of_a_shard_changes_nothing(tmp_path: Path) -> None:
    first = evidence(["ok"])
    run_evidence.write_evidence_shard(RunFolder(str(tmp_path)), 0, first)
    run_evidence.write_evidence_shard(
        RunFolder(str(tmp_path)), 0, evidence(["ok"], caption="a bell rings")
    )
    assert run_evidence.read_evidence_shard(RunFolder(str(tmp_path)), 0).equals(first)


def test_the_same_rows_are_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        run_evidence.write_evidence_shard(
            RunFolder(str(tmp_path / folder)), 0, evidence(["ok", "error"])
        )
    a, b = (Path(layout.shard_uri(str(tmp_path / f), 0)).read_bytes() for f in ("a", "b"))
    assert a == b


def footers(folder: Path) -> list[run_evidence.ShardFooter]:
    files = list(run_evidence.list_evidence_files(RunFolder(str(folder))).values())
    return [
        run_evidence.ShardFooter.parse(*metadata)
        for metadata in run_evidence.read_footer_metadata(Storage(), files)
    ]


def test_counts_come_from_the_footers(tmp_path: Path) -> None:
    run_evidence.write_evidence_shard(
        RunFolder(str(tmp_path)), 0, evidence(["ok", "error", "error"])
    )
    run_evidence.write_evidence_shard(RunFolder(str(tmp_path)), 1, evidence(["ok"]))
    counts = run_evidence.sum_counts([footer.counts for footer in footers(tmp_path)])
    assert counts == run_evidence.ShardCounts(ok=2, errors={"decode/truncated": 2})
    assert counts.clips == 4


def test_a_footer_says_who_had_the_shard_and_the_rows_do_not(tmp_path: Path) -> None:
    rows = evidence(["ok"])
    spans = [
        run_evidence.WorkSpan("decode", "ab", 1.0, 2.5),
        run_evidence.WorkSpan("score", "cd", 2.5, 4.0),
    ]
    run_evidence.write_evidence_shard(RunFolder(str(tmp_path)), 0, rows, spans)
    (footer,) = footers(tmp_path)
    assert footer.spans == tuple(spans)
    assert run_evidence.read_evidence_shard(RunFolder(str(tmp_path)), 0).equals(rows)


def test_best_scores_are_counted_in_hundredths(tmp_path: Path) -> None:
    scores = [[0.123, 0.5], [0.509], [-0.005], [float("nan")], []]
    rows = evidence(["ok"] * len(scores)).to_pylist()
    for row, each in zip(rows, scores, strict=True):
        row["candidates"] = [
            {"caption": "a", "method": "beam", "log_prob": -1.0, "clap_score": score}
            for score in each
        ]
    run_evidence.write_evidence_shard(
        RunFolder(str(tmp_path)), 0, pa.Table.from_pylist(rows, EVIDENCE_SCHEMA)
    )
    assert footers(tmp_path)[0].best_scores == {-1: 1, 50: 2}


def test_an_unfinished_file_is_no_shard(tmp_path: Path) -> None:
    folder = Path(layout.evidence_uri(str(tmp_path)))
    folder.mkdir()
    (folder / ".shard-00001.parquet.x7f").write_bytes(b"half")
    assert run_evidence.list_done_shards(RunFolder(str(tmp_path))) == []


def test_a_run_without_evidence_has_no_shards(tmp_path: Path) -> None:
    assert run_evidence.list_done_shards(RunFolder(str(tmp_path / "nowhere"))) == []
