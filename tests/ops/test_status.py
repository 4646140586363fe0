"""Status from the folder alone: speed, cost, slow shards, and why nothing moves."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from curation.cli.main import app
from curation.config.run import RunConfig
from curation.errors import InputError
from curation.ops.status import read_status
from curation.run import driver_state
from curation.run.layout import RunFolder
from curation.run.resolve import resolve_run
from curation.storage.files import Storage
from curation.uris import join_uri
from tests.support.runs import planned_run, span, write_evidence


def leave_state(config: RunConfig, kind: str, heartbeat_s: float, reason: str = "") -> None:
    fields = {"state": kind, "started_s": 0.0, "heard_s": heartbeat_s, "reason": reason}
    Storage().put(join_uri(config.run, "state.json"), json.dumps(fields).encode())


def test_a_planned_run_has_nothing_to_tell_yet(tmp_path: Path) -> None:
    status = read_status(RunFolder.from_config(planned_run(tmp_path, clips=30, shard_clips=10)))
    assert (status.shards_done, status.clips_done, status.complete) == (0, 0, False)
    assert status.rate is status.remaining_s is status.dollars is status.pairs_per_clip is None
    assert status.to_fields()["state"] == "no driver has worked on it"


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run here"):
        read_status(RunFolder(str(tmp_path)))


def test_the_rate_leaves_pauses_out(tmp_path: Path) -> None:
    """Two workers side by side for 10 s, a night's pause, and one for another 10 s."""
    config = planned_run(tmp_path, clips=60, shard_clips=10)
    for shard, began in enumerate([0.0, 0.0, 50000.0]):
        write_evidence(config, shard, span(began, began + 10.0), scores=[0.5] * 10)
    status = read_status(RunFolder.from_config(config), now_s=60000.0)
    assert status.rate == pytest.approx(30 / 20)
    assert status.recent_rate is None
    assert status.remaining_s == pytest.approx(30 / 1.5)


def test_a_running_run_is_judged_by_its_last_minutes(tmp_path: Path) -> None:
    config = planned_run(tmp_path, clips=1000, shard_clips=10)
    for shard in range(20):  # 1 clip/s for 80 s, then half of that, then nothing
        length = 10.0 if shard < 8 else 20.0
        began = shard * 10.0 if shard < 8 else 80.0 + (shard - 8) * 20.0
        write_evidence(config, shard, span(began + 1e6, began + 1e6 + length), scores=[0.5] * 10)
    leave_state(config, "running", 1e6 + 310.0)
    early = read_status(RunFolder.from_config(config), now_s=1e6 + 320.0)
    assert early.recent_rate is None and early.remaining_s == pytest.approx(800 / (200 / 320))
    leave_state(config, "running", 1e6 + 610.0)
    late = read_status(RunFolder.from_config(config), now_s=1e6 + 620.0)
    assert late.recent_rate == pytest.approx(180 / 600)  # two shards ended before
    assert late.remaining_s == pytest.approx(800 / 0.3)


def test_cost_is_what_workers_were_held_for(tmp_path: Path) -> None:
    """One actor with two shards at a time, another with one; between shards they are held too."""
    config = planned_run(
        tmp_path,
        clips=40,
        shard_clips=10,
        annotate={"shard_clips": 10, "gpus_per_actor": 0.5},
        prices={"gpu_hour": 3.0},
    )
    for shard, (worker, began, ended) in enumerate(
        [("a", 0, 1800), ("a", 900, 2700), ("a", 3000, 3600), ("b", 0, 1800)]
    ):
        write_evidence(config, shard, span(began, ended, worker=worker))
    assert read_status(RunFolder.from_config(config)).dollars == pytest.approx(1.5 * (1.0 + 0.5))


def test_pools_have_their_own_prices(tmp_path: Path) -> None:
    config = planned_run(
        tmp_path,
        clips=10,
        shard_clips=10,
        annotate={"shard_clips": 10, "placement": "separate", "gpus_per_actor": 1},
        prices={"gpu_hour": 2.0, "cpu_hour": 0.1},
    )
    spans = [*span(0, 3600, "decode", "d"), *span(3600, 7200, "caption", "c")]
    write_evidence(config, 0, [*spans, *span(7200, 9000, "score", "s")])
    assert read_status(RunFolder.from_config(config)).dollars == pytest.approx(0.1 + 2.0 + 1.0)


def test_slow_shards_are_named(tmp_path: Path) -> None:
    config = planned_run(tmp_path, clips=70, shard_clips=10)
    for shard in range(7):
        length = 50.0 if shard == 3 else 10.0
        write_evidence(config, shard, span(0.0, length), scores=[0.5] * 10)
    status = read_status(RunFolder.from_config(config))
    assert [(each.shard, each.times_median) for each in status.slow] == [(3, 5.0)]
    assert status.to_fields()["slow shard 3"] == "50 s, 5.0 times the median a clip"


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({}, 8 / 10),
        ({"top_fraction": 0.5}, 4 / 10),
        ({"min_score": 0.3}, 6 / 10),
        ({"min_score": 0.9}, 0.0),
        ({"min_score": 0.3, "max_per_clip": 2}, None),
        ({"min_score": -1.0, "score": "log_prob"}, None),
    ],
)
def test_the_yield_before_a_selection_follows_the_policy(
    policy: dict, expected: float | None, tmp_path: Path
) -> None:
    config = planned_run(tmp_path, clips=10, shard_clips=10, select=policy)
    write_evidence(config, 0, scores=[0.1, 0.29, 0.3, 0.31, 0.5, 0.5, 0.5, 0.5], failed=2)
    assert read_status(RunFolder.from_config(config)).pairs_per_clip == (
        expected if expected is None else pytest.approx(expected)
    )


def test_a_killed_driver_differs_from_one_at_work(tmp_path: Path) -> None:
    config = planned_run(tmp_path, clips=10, shard_clips=10)
    leave_state(config, "running", 1_700_000_000.0)
    assert (
        read_status(RunFolder.from_config(config), now_s=1_700_000_020.0).message
        == "running, last heartbeat 20 s ago"
    )
    killed = read_status(RunFolder.from_config(config), now_s=1_700_003_600.0).message
    assert killed.startswith("the driver's last heartbeat was at 2023-11-14 22:13:20 UTC")
    leave_state(config, "stopped", 1_700_000_000.0, "the disk is full")
    assert (
        read_status(RunFolder.from_config(config)).message
        == "stopped 2023-11-14 22:13:20 UTC: the disk is full"
    )


def test_what_a_yaml_says_of_storage_holds_for_its_run(tmp_path: Path) -> None:
    config = planned_run(tmp_path, clips=20, shard_clips=10)
    path = tmp_path / "run.yaml"
    storage = "storage: {endpoint_url: 'http://127.0.0.1:9'}"
    path.write_text(f"run: {config.run}\ncatalog: {{kind: folder, audio: x}}\n{storage}\n")
    found = resolve_run(str(path))
    assert found.folder.storage.settings.endpoint_url == "http://127.0.0.1:9"


def test_the_command_takes_a_folder_or_a_yaml(tmp_path: Path) -> None:
    config = planned_run(tmp_path, clips=20, shard_clips=10)
    write_evidence(config, 0, span(0.0, 5.0), scores=[0.5] * 9, failed=1)
    with driver_state.record_driver_state(RunFolder.from_config(config)):
        pass
    path = tmp_path / "run.yaml"
    path.write_text(f"run: {config.run}\ncatalog: {{kind: folder, audio: {tmp_path}}}\n")
    folders = [resolve_run(name).folder.uri for name in (str(path), config.run, config.run + "/")]
    assert folders == [config.run] * 3
    for argument in (str(path), config.run):
        ended = CliRunner().invoke(app, ["status", argument, "--json"])
        output = json.loads(ended.stdout)
        assert output["counts"] == {
            "ok": 9,
            "errors": {"decode/truncated": 1},
            "faults": {},
            "failed_second_draws": {},
        }
        assert (output["shards_done"], output["rate"], output["complete"]) == (1, 2.0, False)
        assert output["driver"]["state"] == "finished"
