"""Worker processes of this machine: they die alone, with their driver, and never in silence."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from curation.config.run import RunConfig
from curation.engine import driver
from curation.errors import RunError
from curation.run import catalog_plan, evidence
from curation.run.layout import RunFolder
from tests.fake_workers import AbortingConstructor, SlowWorker
from tests.support.processes import restore_ctrl_c
from tests.support.runs import corpus_run, write_yaml


def list_workers(driver_pid: int) -> list[psutil.Process]:
    """The worker processes that a driver has started and that are alive."""
    children = psutil.Process(driver_pid).children()
    return [child for child in children if "curation.processes.worker_main" in child.cmdline()]


def wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not reached():
        assert time.monotonic() < deadline, "not reached in two minutes"
        time.sleep(0.02)


def test_a_killed_worker_costs_no_row(undisturbed: RunConfig, corpus: Path, tmp_path: Path) -> None:
    config = corpus_run(corpus, tmp_path / "run")
    folder = RunFolder.from_config(config)
    catalog_plan.create_plan(config)
    killed: list[int] = []

    def kill_one() -> None:
        wait_until(lambda: len(evidence.list_done_shards(folder)) >= 1)
        victim = list_workers(os.getpid())[0]
        victim.kill()
        killed.append(victim.pid)

    killing = threading.Thread(target=kill_one)
    killing.start()
    counts = driver.annotate_run(config, lambda done, total: None, SlowWorker)
    killing.join()
    assert killed and (counts.ok, counts.errors) == (40, {})
    assert read_all(config).equals(read_all(undisturbed))
    assert list_workers(os.getpid()) == []


def read_all(config: RunConfig) -> pa.Table:
    run = RunFolder.from_config(config)
    return pa.concat_tables(evidence.read_evidence_shards(run, evidence.list_done_shards(run)))


def test_a_worker_that_dies_before_it_is_ready_says_its_last_words(
    corpus: Path, tmp_path: Path
) -> None:
    config = corpus_run(corpus, tmp_path / "run")
    catalog_plan.create_plan(config)
    with pytest.raises(RunError, match="killed by SIGABRT: the driver of the GPU is too old"):
        driver.annotate_run(config, lambda done, total: None, AbortingConstructor)


@pytest.fixture
def started_run(corpus: Path, tmp_path: Path) -> tuple[subprocess.Popen[str], RunConfig]:
    """`tagscribe run` as a user starts it, when its workers have written a shard."""
    config = corpus_run(corpus, tmp_path / "run", annotate={"shard_clips": 2, "actors": 2})
    command = [Path(sys.executable).parent / "tagscribe", "run", write_yaml(config, tmp_path)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=restore_ctrl_c,
    )
    folder = RunFolder.from_config(config)
    wait_until(lambda: len(evidence.list_done_shards(folder)) >= 1)
    return process, config


@pytest.mark.parametrize(
    ("signal_number", "state", "reason", "word", "code"),
    [
        (signal.SIGINT, "stopped", "interrupted from the keyboard (Ctrl-C)", "interrupted", 130),
        (signal.SIGTERM, "stopped", "terminated from outside (SIGTERM)", "terminated", 143),
        (signal.SIGKILL, "running", "", "", -signal.SIGKILL),
    ],
    ids=["Ctrl-C", "SIGTERM", "SIGKILL"],
)
def test_workers_end_with_their_driver(
    started_run: tuple[subprocess.Popen[str], RunConfig],
    signal_number: signal.Signals,
    state: str,
    reason: str,
    word: str,
    code: int,
) -> None:
    process, config = started_run
    workers = list_workers(process.pid)
    assert workers
    process.send_signal(signal_number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert alive == []
    written = json.loads((Path(config.run) / "state.json").read_text())
    assert (written["state"], written["reason"]) == (state, reason)
    done = len(evidence.list_done_shards(RunFolder.from_config(config)))
    assert done < 20
    if word:
        last = errors.splitlines()[-1]
        assert last.startswith(f"tagscribe: {word}: {config.run} has evidence of {2 * done} of 40 ")
        assert last.endswith("no table; the same command goes on from there.")
        assert "Traceback" not in errors
