"""Clips that kill their workers are found, and cost nothing but themselves."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import yaml

from curation import annotate, planning, sink, verify
from curation.config import RunConfig
from curation.isolate import Task, killers
from tests.conftest import corpus_run


@pytest.mark.parametrize("seed", range(5))
def test_every_killer_is_found_and_nobody_else(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = {3: 64, 5: 1, 7: 37}
    guilty = {
        shard: set(rng.choice(size, size=min(size, 1 + seed), replace=False).tolist())
        for shard, size in sizes.items()
    }
    calls = 0

    def survived(tasks: Sequence[Task]) -> set[Task]:
        nonlocal calls
        calls += 1
        assert all(task.rehearsal and task.start < task.stop for task in tasks)
        return {t for t in tasks if guilty[t.shard].isdisjoint(range(t.start, t.stop))}

    found = killers([Task(shard, 0, size) for shard, size in sizes.items()], survived)
    assert {shard: set(clips) for shard, clips in found.items()} == guilty
    assert calls <= 6  # a halving of the largest shard each: log2(64)


def test_a_shard_whose_halves_survive_has_no_killer() -> None:
    assert killers([Task(0, 0, 8)], set) == {0: ()}


def test_a_task_travels_as_text() -> None:
    task = Task(7, 3, 9, killers=(4, 8), rehearsal=True)
    assert Task.from_json(task.to_json()) == task


def test_a_clip_that_kills_its_worker_is_one_error_row(
    corpus: Path, tmp_path: Path, local_ray: None
) -> None:
    """The other rows are those of a run where that file is no sound."""
    audio = sorted((corpus / "audio").iterdir())
    poison = audio[13]
    settings = {"shard_clips": 5, "actors": 2}
    config = corpus_run(corpus, tmp_path / "run", annotate=settings)
    yaml_file = tmp_path / "run.yaml"
    yaml_file.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    subprocess.run(
        [sys.executable, "-m", "tests.aborting", yaml_file, poison.name],
        check=True,
        timeout=300,
        cwd=Path(__file__).parents[1],
    )
    rows = evidence_of(config)
    failed = [row for row in rows.to_pylist() if row["outcome"] == "error"]
    assert [(f["uri"], f["error"]["stage"], f["error"]["type"]) for f in failed] == [
        (str(poison), "worker", "killed_worker")
    ]
    assert verify.verify(config.run) == []

    broken = tmp_path / "corpus"
    shutil.copytree(corpus, broken)
    (broken / "audio" / poison.name).write_text("no sound")
    other = corpus_run(broken, tmp_path / "other", annotate=settings)
    planning.make_plan(other)
    annotate.annotate(other, lambda done, total: None)
    assert comparable(rows).equals(comparable(evidence_of(other)))


def evidence_of(config: RunConfig) -> pa.Table:
    return pa.concat_tables(sink.read_shards(config.run, sink.done_shards(config.run)))


def comparable(rows: pa.Table) -> pa.Table:
    """Without what differs by the folder, and without the failed clip."""
    ok = rows.filter(pc.equal(rows["outcome"], "ok"))
    return ok.drop_columns(["uri"])
