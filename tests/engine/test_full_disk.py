"""A full disk stops a run once: no shard after another fails of it."""

import json
from collections import Counter
from pathlib import Path

import pytest

from curation.annotate.metrics import NullMeter
from curation.annotate.task import Task, TaskResult
from curation.engine.recovery import finish_shard, run_and_recover
from curation.errors import RunError
from curation.run.layout import RunFolder
from tests.engine.test_recovery import ScriptedExecutor
from tests.support.runs import corpus_run, write_yaml
from tests.support.small_disk import run_on_small_disk

_ANNOTATE = """
import shutil, subprocess, sys
from curation.run import catalog_plan
from curation.run.config_file import read_run_config

yaml, run = {yaml!r}, {run!r}
catalog_plan.create_plan(read_run_config(yaml))
# Space for the reserve of state.json, and for some shards.
with open(run + "/other", "wb") as other:
    other.write(bytes(shutil.disk_usage(run).free - 2**16 - 60_000))
command = [sys.executable, "-m", "curation.cli.main", "annotate", yaml, "--quiet"]
ended = subprocess.run(command, text=True, stderr=subprocess.PIPE)
print(open(run + "/state.json").read())
sys.stderr.write(ended.stderr)
sys.exit(ended.returncode)
"""


def test_a_run_on_a_full_disk_stops_with_one_line(corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    config = corpus_run(corpus, run, annotate={"shard_clips": 2, "actors": 2})
    code = _ANNOTATE.format(yaml=str(write_yaml(config, tmp_path)), run=str(run))
    ended = run_on_small_disk(run, 1024, code)
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert line.startswith(f"tagscribe: {run}/evidence/shard-000")
    assert ": no space left on its disk, or in the quota (" in line
    assert line.endswith(" free); free some, and give the command again")
    state = json.loads(ended.stdout)
    assert state["state"] == "stopped" and f"tagscribe: {state['reason']}" == line


FULL = "evidence/shard-00000.parquet: no space left on its disk"


def test_no_other_shard_is_waited_for(tmp_path: Path) -> None:
    shards = [Task(shard, 4) for shard in range(3)]
    full = TaskResult(shards[0], FULL, 0.0, 1.0, disk_full=True)
    executor = ScriptedExecutor([full, TaskResult(shards[1], "another error", 0.0, 1.0)])
    with pytest.raises(RunError, match=FULL):
        run_and_recover(RunFolder(str(tmp_path)), executor, shards)
    assert executor.isolated == []


class FullDisk:
    """Isolated workers whose disk is full."""

    count, trial_groups, meter = 1, 8, NullMeter()

    def attempt(self, task: Task, avoided_node: str = "") -> TaskResult:
        return TaskResult(task, FULL, 0.0, 1.0, disk_full=True)


def test_a_shard_that_is_tried_again_stops_the_run_as_well(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=FULL):
        finish_shard(RunFolder(str(tmp_path)), FullDisk(), Task(0, 4), Counter())
