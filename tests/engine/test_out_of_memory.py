"""A worker that takes memory until the kernel kills it; `make chaos` has Ray's memory monitor."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from curation.ops import verify
from curation.ops.status import read_status
from curation.run.layout import RunFolder
from tests.fake_workers import GROW_FILE
from tests.support.memory_limit import can_be_limited, memory_limit
from tests.support.processes import RUN_WITH_WORKER
from tests.support.runs import corpus_run, write_yaml

_GROWTH_BYTES = 1 << 30


@pytest.mark.usefixtures("own_ray")
@pytest.mark.skipif(not can_be_limited(), reason="no cgroup with a limit of memory can be created")
@pytest.mark.parametrize("cluster", ["local", "ray"])
def test_a_run_survives_a_worker_that_is_killed_for_its_memory(
    cluster: str, corpus: Path, tmp_path: Path
) -> None:
    section = {"shard_clips": 4, "actors": 2}
    config = corpus_run(corpus, tmp_path / "run", cluster=cluster, annotate=section)
    request = tmp_path / "grow"
    with memory_limit(_GROWTH_BYTES) as limit:
        request.write_text(str(limit))
        ended = subprocess.run(
            [*RUN_WITH_WORKER, "GrowingWorker", "run", write_yaml(config, tmp_path), "--quiet"],
            env={**os.environ, GROW_FILE: str(request)},
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert ended.returncode == 0, ended.stderr
    assert not request.exists(), "a worker grew"
    run = RunFolder.from_config(config)
    counts = read_status(run).counts
    assert (counts.ok, counts.errors) == (40, {})
    assert verify.verify_run(run) == []
    assert json.loads((tmp_path / "run" / "state.json").read_text())["state"] == "finished"
    # Under Ray a worker has its next shard already.
    assert re.search(r"workers died on [12] shards; these are tried again", ended.stderr)
