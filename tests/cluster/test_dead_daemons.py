"""Ray's own processes die: the run recovers, or the command says what died and goes on later.

Ray's time-outs are shortened: by default its client waits a minute for a control service.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from curation.config.run import RunConfig
from curation.ops import verify
from curation.ops.status import read_status
from curation.run import evidence
from curation.run.layout import RunFolder
from tests.support.nodes import BIN
from tests.support.runs import corpus_run, write_yaml

pytestmark = pytest.mark.usefixtures("own_ray")

SHORT = {
    "RAY_gcs_rpc_server_reconnect_timeout_s": "3",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
}
DAEMONS = {
    "gcs_server": "gcs_server",
    "raylet": "raylet/raylet",
    "dashboard agent": "dashboard/agent.py",
    "runtime-env agent": "runtime_env/agent/main.py",
}


def start(path: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, **SHORT}
    environment.pop("RAY_ADDRESS", None)
    return subprocess.Popen(
        [BIN / "tagscribe", "run", path, "--quiet"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def find_process(driver: int, matches: Callable[[str], bool]) -> psutil.Process | None:
    for process in psutil.Process(driver).children(recursive=True):
        try:
            if matches(" ".join(process.cmdline())):
                return process
        except psutil.NoSuchProcess:
            continue
    return None


def run_and_kill(corpus: Path, folder: Path, matches: Callable[[str], bool]) -> RunConfig:
    """Kill a process of a run when a shard is done; the run ends, or is ended by the command."""
    section = {"shard_clips": 4, "actors": 1}
    config = corpus_run(corpus, folder / "run", cluster="ray", annotate=section)
    run = RunFolder.from_config(config)
    path = write_yaml(config, folder)
    command = start(path)
    deadline = time.monotonic() + 120
    while not evidence.list_done_shards(run):
        assert command.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    victim = find_process(command.pid, matches)
    assert victim is not None
    victim.send_signal(signal.SIGKILL)
    _, stderr = command.communicate(timeout=180)
    state = json.loads((folder / "run" / "state.json").read_text())
    if command.returncode == 0:
        assert state["state"] == "finished"
        return config
    # One line of ours says what died, that the evidence stays, and what to do; so does the state.
    [line] = [line for line in stderr.splitlines() if line.startswith("tagscribe: ")]
    assert "Ray's client ended" in line and "(gcs_server, raylet or one of its agents) died" in line
    assert "the same command goes on" in line
    assert state["state"] == "stopped" and state["reason"] in line
    again = start(path)
    _, stderr = again.communicate(timeout=180)
    assert again.returncode == 0, stderr
    return config


@pytest.mark.parametrize("daemon", DAEMONS)
def test_a_run_whose_daemon_is_killed_ends_in_recovery_or_says_so(
    daemon: str, corpus: Path, tmp_path: Path
) -> None:
    config = run_and_kill(corpus, tmp_path, lambda line: DAEMONS[daemon] in line)
    assert verify.verify_run(RunFolder.from_config(config)) == []
    counts = read_status(RunFolder.from_config(config)).counts
    assert (counts.ok, counts.errors) == (40, {})
