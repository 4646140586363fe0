"""`plan` measures each pool on a cluster with the resources, and on the nodes, that it names."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from curation.config.run import RunConfig
from tests.support.runs import corpus_run, write_yaml

# In a process of its own, as the tests share one Ray without these resources.
PROGRAM = """
import json, sys
import ray
from curation.annotate.clip import parse_planned_clips
from curation.annotate.pools import build_pools_by_stage
from curation.cluster.remote import connect_pools
from curation.errors import InputError, RunError
from curation.estimate.pool_measurement import measure_pools
from curation.estimate.sample import draw_clips
from curation.run import catalog_plan
from curation.run.config_file import read_run_config
from curation.run.layout import RunFolder

def assigned():
    return ray.get_runtime_context().get_assigned_resources()

def refuse():
    raise RunError("the sample is refused")

ray.init(
    address="local", num_cpus=4, num_gpus=2, resources={"captioner": 1, "scorer": 1},
    include_dashboard=False, object_store_memory=100 * 2**20, _node_ip_address="127.0.0.1",
    log_to_driver=False,
)
config = read_run_config(sys.argv[1])
found = {}
with connect_pools(config) as pools:
    stages = build_pools_by_stage(config.annotate)
    found["assigned"] = {stage: pools.call(pool, assigned) for stage, pool in stages.items()}
    found["all"] = [pools.cpus, pools.gpus]
    try:
        pools.call(stages["caption"], refuse)
    except RunError as error:
        found["raised"] = str(error)
catalog_plan.create_plan(config)
drawn = draw_clips(RunFolder.from_config(config), 3, 0)
measured = measure_pools(config, parse_planned_clips(drawn))
found["measured"] = {stage: pool.seconds for stage, pool in measured.pools.items()}
found["failures"] = [clip.failure for clip in measured.clips]
found["scores"] = [clip.candidates[0].clap_score for clip in measured.clips]
large = config.annotate.pools.captioners.model_copy(update={"gpus": 4.0})
pools = config.annotate.pools.model_copy(update={"captioners": large})
annotate = config.annotate.model_copy(update={"pools": pools})
try:
    with connect_pools(config.model_copy(update={"annotate": annotate})):
        pass
except InputError as error:
    found["misfit"] = str(error)
print(json.dumps(found))
"""


@pytest.mark.usefixtures("own_ray")
def test_each_pool_is_measured_with_what_it_names(corpus: Path, tmp_path: Path) -> None:
    config: RunConfig = corpus_run(
        corpus,
        tmp_path / "run",
        cluster="auto",
        annotate={
            "placement": "separate",
            "pools": {
                "decoders": 8,
                "captioners": {"actors": 2, "gpus": 1.0, "cpus": 2, "node_resource": "captioner"},
                "scorers": {"actors": 1, "gpus": 0.25, "node_resource": "scorer"},
            },
        },
    )
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, write_yaml(config, tmp_path)],
        env={**os.environ, "RAY_AUTH_MODE": "disabled"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    assert found["assigned"] == {
        "decode": {"CPU": 1.0},
        "caption": {"CPU": 2.0, "GPU": 1.0, "captioner": 0.001},
        "score": {"CPU": 1.0, "GPU": 0.25, "scorer": 0.001},
    }
    assert found["all"] == [4, 2.0]
    assert found["raised"] == "the sample is refused"
    assert list(found["measured"]) == ["decode", "caption", "score"]
    assert min(found["measured"].values()) > 0
    assert found["failures"] == [None] * 3 and all(found["scores"])
    assert found["misfit"].startswith("annotate.pools.captioners: 1 actors of 2 CPUs and 4 GPUs ")
