"""A run whose first clips all fail alike stops before it writes error rows, and says so again.

At its end a run whose clips failed too often says so, too. Exit codes 3 and 4.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pytest
import soundfile

from curation.annotate.common_failure import CommonFailure, find_common_failure
from curation.annotate.metrics import NullMeter
from curation.annotate.task import Task, TaskResult, WorkerDeath
from curation.config.run import RunConfig
from curation.engine import first_clips
from curation.engine.early_stop import FIRST_CLIPS, EarlyStop
from curation.errors import FirstClipsFailedError
from curation.run import evidence, layout, plan
from curation.run.layout import RunFolder
from curation.run.record import require_run_record
from curation.schema import EVIDENCE_SCHEMA
from curation.synth.mixing import render_clip
from tests.support.processes import run_tagscribe
from tests.support.runs import planned_run, write_yaml

SHARD_CLIPS = 16
BROKEN = ("caption", "RuntimeError")
OTHER = ("decode", "truncated")
MISSING = ("catalog", "missing")
OK = None
Outcome = tuple[str, str] | None


def build_rows(outcomes: Sequence[Outcome]) -> pa.Table:
    rows = [
        {
            "clip_id": f"clip{place}",
            "tags": [],
            "guidance": [],
            "candidates": [],
            "outcome": "error" if failed else "ok",
            "error": {"stage": failed[0], "type": failed[1], "message": f"m{place}"}
            if failed
            else None,
        }
        for place, failed in enumerate(outcomes)
    ]
    return pa.Table.from_pylist(rows, EVIDENCE_SCHEMA)


@pytest.mark.parametrize(
    ("outcomes", "count", "expected"),
    [
        ([BROKEN, BROKEN], 2, CommonFailure(*BROKEN, "clip0", "m0")),
        ([BROKEN, OTHER], 2, None),
        ([BROKEN, OK], 2, None),
        ([BROKEN, OK], 1, CommonFailure(*BROKEN, "clip0", "m0")),
        ([MISSING, OTHER, MISSING, OTHER], 4, CommonFailure(*OTHER, "clip1", "m1")),
        ([MISSING, BROKEN, OK], 1, CommonFailure(*BROKEN, "clip1", "m1")),
        ([MISSING, MISSING], 2, None),
        ([BROKEN, BROKEN], 0, None),
    ],
)
def test_clips_with_audio_have_a_failure_in_common_or_not(
    outcomes: list[Outcome], count: int, expected: CommonFailure | None
) -> None:
    assert find_common_failure(build_rows(outcomes), count) == expected


class ScriptedExecutor:
    """Ends the tasks of chosen shards in a chosen order; workers write what the script says."""

    meter = NullMeter()

    def __init__(self, run: RunFolder, script: Sequence[tuple[int, Sequence[Outcome] | str]]):
        self._run, self._script = run, script

    def run_tasks(self, tasks: Sequence[Task]) -> Iterator[TaskResult | WorkerDeath]:
        by_shard = {task.shard: task for task in tasks}
        for shard, outcomes in self._script:
            task = by_shard[shard]
            if isinstance(outcomes, str):
                yield WorkerDeath(task, outcomes)
            else:
                yield TaskResult(task, "", 0.0, 1.0, self._write(task, build_rows(outcomes)))

    def isolate_workers(self, count: int):  # type: ignore[no-untyped-def]
        raise NotImplementedError

    def _write(self, task: Task, rows: pa.Table) -> CommonFailure | None:
        failure = find_common_failure(rows, task.hold_clips)
        evidence.write_evidence_shard(self._run, task.shard, rows, held=failure is not None)
        return failure


def shards(*outcomes: Outcome) -> list[Sequence[Outcome]]:
    return [[each] * SHARD_CLIPS for each in outcomes]


def send(config: RunConfig, script: Sequence[tuple[int, Sequence[Outcome] | str]]) -> list[int]:
    """Send the shards of a run through a scripted executor; the shards with evidence."""
    run = RunFolder.from_config(config)
    record = require_run_record(run)
    planned = plan.plan_from_record(record)
    todo = list(range(planned.shards))
    first = first_clips.count_first_clips(run, todo)
    assert sum(first.values()) == FIRST_CLIPS
    early_stop = EarlyStop(config, run, record)
    executor = first_clips.HoldingExecutor(ScriptedExecutor(run, script), run, first, early_stop)
    assert len(list(executor.run_tasks(first_clips.build_tasks(planned, todo, first)))) == len(
        script
    )
    return evidence.list_done_shards(run)


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    """Six shards, of which the first four hold the first clips."""
    return planned_run(tmp_path, clips=6 * SHARD_CLIPS, shard_clips=SHARD_CLIPS)


@pytest.mark.parametrize(
    "order",
    [[0, 1, 2, 3], [5, 4, 3, 2, 1, 0], [4, 0, 2, 5, 1, 3]],
    ids=["in order", "backwards", "others first"],
)
def test_a_run_stops_where_the_first_clips_have_one_failure_in_common(
    config: RunConfig, order: list[int]
) -> None:
    """In whatever order they end; the last shard is ok, and its evidence is written."""
    outcomes = shards(BROKEN, BROKEN, BROKEN, BROKEN, BROKEN, OK)
    with pytest.raises(FirstClipsFailedError, match=r"all failed as caption/RuntimeError; .*m0\."):
        send(config, [(shard, outcomes[shard]) for shard in order])
    assert evidence.list_done_shards(RunFolder.from_config(config)) == [5] * (5 in order)
    assert not Path(layout.held_uri(config.run)).exists()


@pytest.mark.parametrize(
    "outcomes",
    [
        shards(BROKEN, BROKEN, BROKEN, OK, BROKEN, BROKEN),
        shards(BROKEN, BROKEN, OTHER, BROKEN, BROKEN, BROKEN),
        [*shards(BROKEN, BROKEN, BROKEN), [BROKEN] * 15 + [OK], *shards(BROKEN, BROKEN)],
    ],
    ids=["one shard ok", "another kind", "one clip ok"],
)
@pytest.mark.parametrize("order", [range(6), range(5, -1, -1)], ids=["in order", "backwards"])
def test_a_run_goes_on_where_they_do_not_and_every_row_is_written(
    config: RunConfig, outcomes: list[Sequence[Outcome]], order: range
) -> None:
    assert send(config, [(shard, outcomes[shard]) for shard in order]) == list(range(6))
    rows = evidence.read_evidence_shard(RunFolder.from_config(config), 0)
    assert rows.equals(build_rows(outcomes[0]))
    assert list(Path(layout.held_uri(config.run)).iterdir()) == []


def test_a_death_among_the_first_shards_is_another_reason(config: RunConfig) -> None:
    outcomes = shards(BROKEN, BROKEN, BROKEN)
    done = send(config, [*enumerate(outcomes), (3, "killed by SIGABRT")])
    assert done == [0, 1, 2]


def test_a_shard_that_is_lost_keeps_no_evidence_back(config: RunConfig) -> None:
    assert send(config, list(enumerate(shards(BROKEN, BROKEN, BROKEN)))) == [0, 1, 2]


def test_few_clips_are_never_held(tmp_path: Path) -> None:
    config = planned_run(tmp_path, clips=FIRST_CLIPS - 1, shard_clips=SHARD_CLIPS)
    run = RunFolder.from_config(config)
    planned = plan.plan_from_record(require_run_record(run))
    first = first_clips.count_first_clips(run, range(planned.shards))
    tasks = first_clips.build_tasks(planned, range(planned.shards), first)
    assert first == {} and {task.hold_clips for task in tasks} == {0}


# --- the command


def write_sounds(folder: Path, good: int, bad: int) -> Path:
    folder.mkdir(exist_ok=True)
    waveform, _ = render_clip(1, 1)
    soundfile.write(folder / "0.wav", waveform, 16000)
    for place in range(good):
        shutil.copyfile(folder / "0.wav", folder / f"good{place}.wav")
    (folder / "0.wav").unlink()
    for place in range(bad):
        (folder / f"bad{place}.wav").write_text("this is no sound\n" * 100)
    return folder


def sound_run(sounds: Path, folder: Path, **sections: object) -> RunConfig:
    return RunConfig.model_validate(
        {
            "run": str(folder / "run"),
            "catalog": {"kind": "folder", "audio": str(sounds)},
            "annotate": {"shard_clips": SHARD_CLIPS, "actors": 1},
            **sections,
        }
    )


def test_the_command_exits_with_3_and_again_until_something_changes(tmp_path: Path) -> None:
    sounds = write_sounds(tmp_path / "sounds", good=1, bad=FIRST_CLIPS)
    config = sound_run(sounds, tmp_path)
    run, yaml_file = RunFolder.from_config(config), write_yaml(config, tmp_path)
    stopped = run_tagscribe("run", yaml_file, "--quiet")
    assert stopped.returncode == 3
    [line] = stopped.stderr.splitlines()
    assert line.startswith(
        "tagscribe: the first 64 clips with audio all failed as decode/unknown_format; the first "
        "of them, bad0: "
    )
    assert "Check that the files are whole" in line and "max_error_share: 1" in line
    assert not [shard for shard in evidence.list_done_shards(run) if shard < 4]
    state = Path(config.run, "state.json").read_bytes()
    assert json.loads(state)["state"] == "stopped" and "all failed" in json.loads(state)["reason"]

    again = run_tagscribe("run", yaml_file, "--quiet")
    assert again.returncode == 3
    assert again.stderr.startswith("tagscribe: nothing has changed since this run was stopped: ")
    assert layout.early_stop_uri(config.run) in again.stderr
    # No driver has begun, so no worker has either.
    assert Path(config.run, "state.json").read_bytes() == state

    write_sounds(sounds, good=1, bad=0)
    for place in range(FIRST_CLIPS):
        shutil.copyfile(sounds / "good0.wav", sounds / f"bad{place}.wav")
    mended = run_tagscribe("run", yaml_file, "--quiet")
    assert mended.returncode == 0, mended.stderr
    assert "65 clips: 65 ok\n" in mended.stdout
    assert not Path(layout.early_stop_uri(config.run)).exists()
    assert not Path(layout.held_uri(config.run)).exists()


def test_the_command_writes_error_rows_where_the_configuration_allows_all(tmp_path: Path) -> None:
    sounds = write_sounds(tmp_path / "sounds", good=0, bad=FIRST_CLIPS)
    config = sound_run(sounds, tmp_path, max_error_share=1)
    ended = run_tagscribe("annotate", plan_and_write_yaml(config, tmp_path), "--quiet")
    assert ended.returncode == 0, ended.stderr
    assert "64 clips: 0 ok, 64 decode/unknown_format\n" in ended.stdout


def plan_and_write_yaml(config: RunConfig, folder: Path) -> Path:
    yaml_file = write_yaml(config, folder)
    assert run_tagscribe("plan", yaml_file, "--sample", 0).returncode == 0
    return yaml_file


def test_the_command_exits_with_4_where_too_many_clips_failed(tmp_path: Path) -> None:
    sounds = write_sounds(tmp_path / "sounds", good=2, bad=3)
    (tmp_path / "metadata.csv").write_text(
        "file,tags\n"
        + "".join(f"{path.name},Dog\n" for path in sorted(sounds.iterdir()))
        + "gone0.wav,Dog\ngone1.wav,Dog\n"
    )
    catalog = {
        "kind": "folder",
        "audio": str(sounds),
        "metadata": str(tmp_path / "metadata.csv"),
    }
    config = sound_run(sounds, tmp_path, catalog=catalog)
    yaml_file = write_yaml(config, tmp_path)
    for _ in range(2):
        ended = run_tagscribe("run", yaml_file, "--quiet")
        assert ended.returncode == 4
        assert ended.stderr.startswith(
            "tagscribe: 3 of 5 clips with audio failed (60.0%), more than max_error_share: 0.5: "
            "3 decode/unknown_format. "
        )
        assert not Path(layout.table_uri(config.run)).exists()
    status = run_tagscribe("status", yaml_file).stdout
    assert "without audio" in status and "stopped" in status
    write_yaml(config.model_copy(update={"max_error_share": 0.6}), tmp_path)
    allowed = run_tagscribe("run", yaml_file, "--quiet")
    assert allowed.returncode == 0, allowed.stderr
    assert "7 clips: 2 ok, 3 decode/unknown_format, 2 without audio\n" in allowed.stdout
