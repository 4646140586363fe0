"""Clips that kill their workers are found, and cost nothing but themselves."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

from curation.annotate import load
from curation.annotate.task import Task, find_crashing_clips
from curation.annotate.workers import FusedWorker
from curation.audio.decode import DecodedAudio
from curation.cluster import driver, recovery
from curation.cluster.graph import DeathLimits
from curation.config.run import RunConfig
from curation.errors import RunError
from curation.ops import verify
from curation.run import catalog_plan, evidence
from curation.run.config_file import parse_run_config
from curation.run.layout import RunFolder
from tests.fakes import WaitingCaptionerConfig, WaitingScorerConfig
from tests.support import in_process
from tests.support.runs import corpus_run


@pytest.mark.parametrize("seed", range(5))
def test_every_crashing_clip_is_found_and_no_other(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = {3: 64, 5: 1, 7: 37}
    guilty = {
        shard: set(rng.choice(size, size=min(size, 1 + seed), replace=False).tolist())
        for shard, size in sizes.items()
    }
    calls = 0

    def try_tasks(tasks: Sequence[Task]) -> set[Task]:
        nonlocal calls
        calls += 1
        assert all(task.dry_run and task.start < task.stop for task in tasks)
        return {t for t in tasks if guilty[t.shard].isdisjoint(range(t.start, t.stop))}

    found = find_crashing_clips([Task(shard, 0, size) for shard, size in sizes.items()], try_tasks)
    assert {shard: set(clips) for shard, clips in found.items()} == guilty
    assert calls <= 6  # a halving of the largest shard each: log2(64)


def test_a_shard_whose_halves_complete_has_no_crashing_clip() -> None:
    assert find_crashing_clips([Task(0, 0, 8)], set) == {0: ()}


def test_a_task_travels_as_text() -> None:
    task = Task(7, 3, 9, crashing_clips=(4, 8), dry_run=True)
    assert Task.from_json(task.to_json()) == task


@pytest.mark.usefixtures("local_ray")
def test_a_clip_that_kills_its_worker_is_one_error_row(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its shard is the only one; the other rows are those of a run where that file is no sound."""
    monkeypatch.setattr(recovery, "LIMITS", DeathLimits(restarts=3, retries=0))  # no node is lost
    folder = tmp_path / "audio"
    folder.mkdir()
    for file in sorted((corpus / "audio").iterdir())[:6]:
        shutil.copy(file, folder)
    poison = sorted(folder.iterdir())[4]
    config = folder_run(folder, tmp_path / "run")
    catalog_plan.create_plan(config)
    counts = driver.annotate_run(config, lambda done, total: None, aborting_on(poison.name))
    assert (counts.ok, counts.errors) == (5, {"worker/killed_worker": 1})
    rows = evidence.read_evidence_shard(RunFolder.from_config(config), 0)
    [failed] = [row for row in rows.to_pylist() if row["outcome"] == "error"]
    assert failed["uri"] == str(poison)
    assert verify.verify_run(RunFolder.from_config(config)) == []

    poison.write_text("no sound")
    other = folder_run(folder, tmp_path / "other")
    expected = in_process.annotate_in_process(other)
    ok = pc.equal(rows["outcome"], "ok")
    assert rows.filter(ok).equals(expected.filter(ok))


def test_models_that_kill_their_worker_are_not_blamed_on_clips(
    corpus: Path, tmp_path: Path, local_ray: None
) -> None:
    class Hopeless(FusedWorker):
        def __init__(self, *arguments: Any) -> None:
            os.abort()

    config = corpus_run(corpus, tmp_path / "run")
    catalog_plan.create_plan(config)
    with pytest.raises(RunError, match="workers cannot start: .*worker process has died"):
        driver.annotate_run(config, lambda done, total: None, Hopeless)


def folder_run(audio: Path, folder: Path) -> RunConfig:
    catalog = {"kind": "folder", "audio": str(audio)}
    config = parse_run_config({"run": str(folder), "catalog": catalog}, "test")
    # It is the decoder that aborts; these models are there at once, each time a worker starts anew.
    models = {
        "captioner": WaitingCaptionerConfig(clip_s=0),
        "scorer": WaitingScorerConfig(clip_s=0),
    }
    return config.model_copy(update=models)


def aborting_on(name: str) -> type:
    """A worker whose decoder aborts on one file; no file is known that makes the real ones."""

    class Aborting(FusedWorker):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            decode = load.decode_audio

            def aborting(data: Any, name_in_message: str, *rest: Any) -> DecodedAudio:
                if name in name_in_message:
                    os.abort()
                return decode(data, name_in_message, *rest)

            load.decode_audio = aborting  # type: ignore[assignment]

    return Aborting
