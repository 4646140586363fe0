"""Clips that kill their workers are found by both executors, and cost nothing but themselves."""

import shutil
from pathlib import Path

import pyarrow.compute as pc
import pytest

from curation.config.run import RunConfig
from curation.engine import driver
from curation.errors import RunError
from curation.ops import verify
from curation.run import catalog_plan, evidence
from curation.run.config_file import parse_run_config
from curation.run.layout import RunFolder
from tests.fake_workers import (
    ABORTING_SOUND,
    AbortingConstructor,
    AbortingWorker,
    FailingConstructor,
    HangingWorker,
)
from tests.fakes import WaitingCaptionerConfig, WaitingScorerConfig
from tests.support import in_process


def ignore_progress(_done: int, _total: int) -> None:
    pass


def test_a_clip_that_kills_its_worker_is_one_error_row(
    corpus: Path, tmp_path: Path, cluster: str
) -> None:
    """The other rows are those of a run where that file is no sound."""
    folder = tmp_path / "audio"
    folder.mkdir()
    for file in sorted((corpus / "audio").iterdir())[:6]:
        shutil.copy(file, folder)
    poison = sorted(folder.iterdir())[4]
    poison.write_bytes(ABORTING_SOUND)
    config = folder_run(folder, tmp_path / "run", cluster)
    catalog_plan.create_plan(config)
    counts = driver.annotate_run(config, ignore_progress, AbortingWorker)
    assert (counts.ok, counts.errors) == (5, {"worker/killed_worker": 1})
    rows = evidence.read_evidence_shard(RunFolder.from_config(config), 0)
    [failed] = [row for row in rows.to_pylist() if row["outcome"] == "error"]
    assert failed["uri"] == str(poison)
    assert verify.verify_run(RunFolder.from_config(config)) == []

    expected = in_process.annotate_in_process(folder_run(folder, tmp_path / "other", cluster))
    ok = pc.equal(rows["outcome"], "ok")
    assert rows.filter(ok).equals(expected.filter(ok))


def test_a_worker_that_hangs_is_replaced(
    corpus: Path, tmp_path: Path, cluster: str, capfd: pytest.CaptureFixture[str]
) -> None:
    config = folder_run(corpus / "audio", tmp_path / "run", cluster)
    settings = config.annotate.model_copy(update={"worker_timeout_s": 5.0})
    config = config.model_copy(update={"annotate": settings})
    catalog_plan.create_plan(config)
    counts = driver.annotate_run(config, ignore_progress, HangingWorker)
    assert (counts.ok, counts.errors) == (40, {})
    assert "workers died on 1 shards" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("worker", "cause"),
    [
        (AbortingConstructor, "worker process has died|The actor died"),
        (FailingConstructor, "RuntimeError: the weights are not there"),
    ],
    ids=["dies", "raises"],
)
def test_workers_that_cannot_be_built_end_the_run_and_blame_no_clip(
    corpus: Path, tmp_path: Path, cluster: str, worker: type, cause: str
) -> None:
    config = folder_run(corpus / "audio", tmp_path / "run", cluster)
    catalog_plan.create_plan(config)
    with pytest.raises(RunError, match=f"workers cannot start: .*({cause})"):
        driver.annotate_run(config, ignore_progress, worker)
    assert evidence.list_done_shards(RunFolder.from_config(config)) == []


def folder_run(audio: Path, folder: Path, cluster: str) -> RunConfig:
    """A run in one shard whose models are there at once, each time that a worker starts anew."""
    settings = {
        "run": str(folder),
        "cluster": cluster,
        "catalog": {"kind": "folder", "audio": str(audio)},
        "annotate": {"shard_clips": 512, "actors": 2},
    }
    models = {
        "captioner": WaitingCaptionerConfig(clip_s=0),
        "scorer": WaitingScorerConfig(clip_s=0),
    }
    return parse_run_config(settings, "test").model_copy(update=models)
