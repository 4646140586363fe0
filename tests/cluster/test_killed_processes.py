"""Each kind of process of a run under Ray is killed once by `kill -9`.

The run recovers, or the command says in one line what died and that the same command continues, and
exits with a code other than 0; state.json says the same. Ray's time-outs are shortened: by default
its client waits a minute for a control service.
"""

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from curation.config.run import RunConfig
from curation.ops import verify
from curation.ops.status import read_status
from curation.run import evidence
from curation.run.layout import RunFolder
from tests.support.nodes import Cluster, NodeType
from tests.support.processes import RUN_WITH_WORKER, find_descendants, kill_tree
from tests.support.runs import corpus_run, write_yaml

pytestmark = pytest.mark.usefixtures("own_ray")

SHORT = {
    "RAY_gcs_rpc_server_reconnect_timeout_s": "3",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
}
# What the command lines of processes contain without which the run cannot go on, and of those that
# are replaced.
STOPS = {
    "gcs_server": "gcs_server",
    "raylet": "raylet/raylet",
    "dashboard agent": "DashboardAgent",
    "runtime-env agent": "RuntimeEnvAgent",
    "client": "curation.cluster.client_main",
}
WORKER = "curation.processes.worker_main"
REPLACED = {
    "worker": WORKER,
    "actor": "ray::MapWorker",
    "log monitor": "log_monitor.py",
}
LOST = "(gcs_server, raylet or one of its agents) died"
CLIENT_KILLED = "Ray's client, a process of this command, was killed by SIGKILL"


def start(
    command: str, path: Path, environment: Mapping[str, str] = os.environ
) -> subprocess.Popen[str]:
    """A command whose workers take a second a shard, so that there is time to kill others."""
    return subprocess.Popen(
        [*RUN_WITH_WORKER, "SlowWorker", command, path, "--quiet"],
        env={**environment, **SHORT},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(reached: Callable[[], bool], command: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not reached():
        assert command.poll() is None, command.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def plan_run(corpus: Path, folder: Path, cluster: str, **annotate: int) -> tuple[RunConfig, Path]:
    section = {"shard_clips": 8, "actors": 1, **annotate}
    config = corpus_run(corpus, folder / "run", cluster=cluster, annotate=section)
    return config, write_yaml(config, folder)


def count_shards(config: RunConfig) -> int:
    return len(evidence.list_done_shards(RunFolder.from_config(config)))


def wait_for_a_shard(config: RunConfig, command: subprocess.Popen[str]) -> None:
    before = count_shards(config)
    wait_for(lambda: count_shards(config) > before, command)


def read_state(config: RunConfig) -> dict[str, str]:
    return dict(json.loads((Path(config.run) / "state.json").read_text()))


def need_stopped(config: RunConfig, stderr: str, reason: str) -> None:
    """One line of ours, and the same reason in the state."""
    [line] = [line for line in stderr.splitlines() if line.startswith("tagscribe: ")]
    assert reason in line and "What is written stays; the same command goes on from there" in line
    state = read_state(config)
    assert state["state"] == "stopped" and line == f"tagscribe: {state['reason']}"


def need_whole(config: RunConfig) -> None:
    run = RunFolder.from_config(config)
    counts = read_status(run).counts
    assert (counts.ok, counts.errors) == (40, {})
    assert verify.verify_run(run) == []
    assert read_state(config)["state"] == "finished"


def kill_one(command: subprocess.Popen[str], title: str) -> None:
    [victim, *_] = find_descendants(command.pid, lambda line: title in line)
    victim.kill()


class Runs:
    """The run that each test continues by the same command; another one when it is done."""

    def __init__(self, corpus: Path, folder: Path) -> None:
        self._corpus, self._folder, self._number = corpus, folder, 0
        self._plan()

    def _plan(self) -> None:
        folder = self._folder / str(self._number)
        folder.mkdir()
        self._config, self._path = plan_run(self._corpus, folder, "ray", shard_clips=2)

    def start(self) -> tuple[RunConfig, subprocess.Popen[str]]:
        """Give the command, and wait for the first shard that it annotates."""
        if count_shards(self._config) > 10:
            self._number += 1
            self._plan()
        command = start("run", self._path)
        # What an earlier command left may write a shard until its Ray has ended.
        wait_for(lambda: bool(find_descendants(command.pid, lambda x: WORKER in x)), command)
        wait_for_a_shard(self._config, command)
        return self._config, command


@pytest.fixture(scope="module")
def runs(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(corpus, tmp_path_factory.mktemp("runs"))


@pytest.mark.parametrize("kind", STOPS)
def test_a_run_recovers_or_says_what_died(kind: str, runs: Runs) -> None:
    config, command = runs.start()
    kill_one(command, STOPS[kind])
    _, stderr = command.communicate(timeout=180)
    if command.returncode == 0:
        need_whole(config)
    else:
        assert command.returncode == 1, stderr
        need_stopped(config, stderr, CLIENT_KILLED if kind == "client" else LOST)


def test_other_processes_end_with_a_killed_driver(runs: Runs) -> None:
    config, command = runs.start()
    # Ray's agents try for a minute or two to reach a control service that is gone.
    others = find_descendants(command.pid, lambda line: "ray::" not in line or "Agent" not in line)
    assert len(others) > 5
    command.kill()
    assert command.wait() == -signal.SIGKILL
    _, alive = psutil.wait_procs(others, timeout=60)
    assert [process.cmdline() for process in alive] == []
    assert read_state(config)["state"] == "running", "nobody could write another state"


def test_the_same_command_continues_and_replaces_what_dies_of_it(runs: Runs) -> None:
    config, command = runs.start()
    for title in REPLACED.values():
        kill_one(command, title)
        wait_for_a_shard(config, command)
    _, stderr = command.communicate(timeout=180)
    assert command.returncode == 0, stderr
    need_whole(config)


@contextmanager
def small_cluster(folder: Path) -> Iterator[Cluster]:
    folder.mkdir()
    cluster = Cluster(folder, with_dashboard=False)
    try:
        cluster.environment |= SHORT
        cluster.start(NodeType("head", 3))
        cluster.environment["RAY_ADDRESS"] = cluster.gcs
        yield cluster
    finally:
        for node in cluster.processes:
            kill_tree(node.pid)
            node.wait()


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Not a folder of pytest's: the paths of Ray's sockets may have 107 characters."""
    with tempfile.TemporaryDirectory(prefix="ts-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def test_a_run_without_the_head_of_its_cluster_says_so(
    corpus: Path, tmp_path: Path, short_folder: Path
) -> None:
    config, path = plan_run(corpus, tmp_path, "auto")
    with small_cluster(short_folder / "1") as cluster:
        command = start("run", path, cluster.environment)
        wait_for_a_shard(config, command)
        kill_tree(cluster.processes[0].pid)
        _, stderr = command.communicate(timeout=180)
    assert command.returncode == 1
    need_stopped(config, stderr, "the head of the cluster, or the Ray of this node, died")
    with small_cluster(short_folder / "2") as cluster:
        command = start("run", path, cluster.environment)
        _, stderr = command.communicate(timeout=180)
        assert command.returncode == 0, stderr
    need_whole(config)


def test_a_plan_without_the_head_of_its_cluster_says_so(
    corpus: Path, tmp_path: Path, short_folder: Path
) -> None:
    _, path = plan_run(corpus, tmp_path, "auto")
    with small_cluster(short_folder / "1") as cluster:
        command = start("plan", path, cluster.environment)
        head = cluster.processes[0].pid
        wait_for(lambda: bool(find_descendants(head, lambda x: "ray::measure_pool" in x)), command)
        kill_tree(head)
        _, stderr = command.communicate(timeout=180)
    assert command.returncode == 1
    [line] = [line for line in stderr.splitlines() if line.startswith("tagscribe: ")]
    assert "the head of the cluster, or the Ray of this node, died" in line
    assert line.endswith("The plan is written; the same command measures again")
