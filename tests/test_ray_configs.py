"""The files of ray_configs/ are what their readers take: Ray's own schema, KubeRay's fields, bash.

Their node types and entrypoints run for real in test_cluster.py.
"""

import copy
import re
import subprocess
from typing import Any

import jsonschema
import pytest
import ray
from ray.autoscaler._private.util import prepare_config, validate_config

from curation.annotate import pools
from curation.cluster import placement
from curation.run import config_file
from tests.support.nodes import (
    CONFIGS,
    cluster_spec,
    kuberay_node_types,
    ray_up_node_types,
    read_config,
)

KUBERAY = ("raycluster.yaml", "rayjob.yaml")
RAY_UP = ("aws.yaml", "gcp.yaml")


def exactly(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": required | optional,
        "required": list(required),
        "additionalProperties": False,
    }


TEXT: dict[str, Any] = {"type": "string", "minLength": 1}
COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
TEXTS = {"type": "object", "additionalProperties": TEXT}
SOME = {"type": "array", "minItems": 1}
PROBE = exactly(
    {"httpGet": exactly({"path": TEXT, "port": COUNT})},
    initialDelaySeconds=COUNT,
    periodSeconds=COUNT,
    timeoutSeconds=COUNT,
    failureThreshold=COUNT,
)
COMMAND = exactly({"command": {**SOME, "items": TEXT}})
CONTAINER = exactly(
    {
        "name": TEXT,
        "image": TEXT,
        "resources": exactly({"requests": TEXTS, "limits": TEXTS}),
        "readinessProbe": PROBE,
        "livenessProbe": PROBE,
    },
    ports={**SOME, "items": exactly({"containerPort": COUNT, "name": TEXT})},
    volumeMounts={**SOME, "items": exactly({"name": TEXT, "mountPath": TEXT})},
    lifecycle=exactly(
        {"preStop": exactly({"exec": exactly({"command": {**SOME, "items": TEXT}})})}
    ),
)
POD = exactly(
    {"terminationGracePeriodSeconds": COUNT, "containers": {**SOME, "items": CONTAINER}},
    volumes={**SOME, "items": exactly({"name": TEXT, "configMap": exactly({"name": TEXT})})},
    tolerations={**SOME, "items": exactly({"key": TEXT, "operator": TEXT, "effect": TEXT})},
    nodeSelector=TEXTS,
)
GROUP = {"rayStartParams": TEXTS, "template": exactly({"spec": POD})}
# The fields of KubeRay 1.6's ray.io/v1 of which these files make use.
RAY_CLUSTER = exactly(
    {
        "rayVersion": {"const": ray.__version__},
        "authOptions": exactly({"mode": {"enum": ["token", "disabled"]}}),
        "enableInTreeAutoscaling": {"type": "boolean"},
        "autoscalerOptions": exactly(
            {"version": {"enum": ["v1", "v2"]}},
            idleTimeoutSeconds=COUNT,
            upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
        ),
        "headGroupSpec": exactly(GROUP),
        "workerGroupSpecs": {
            **SOME,
            "items": exactly(
                {
                    "groupName": TEXT,
                    "replicas": COUNT,
                    "minReplicas": COUNT,
                    "maxReplicas": COUNT,
                    **GROUP,
                }
            ),
        },
    }
)
RAY_JOB = exactly(
    {"entrypoint": TEXT, "rayClusterSpec": RAY_CLUSTER},
    submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
    shutdownAfterJobFinishes={"type": "boolean"},
    ttlSecondsAfterFinished=COUNT,
    backoffLimit=COUNT,
)


def resource(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    return exactly(
        {
            "apiVersion": {"const": "ray.io/v1"},
            "kind": {"const": kind},
            "metadata": exactly({"name": TEXT}),
            "spec": spec,
        }
    )


def test_the_kuberay_files_hold_kuberays_fields() -> None:
    jsonschema.validate(read_config("raycluster.yaml"), resource("RayCluster", RAY_CLUSTER))
    jsonschema.validate(read_config("rayjob.yaml"), resource("RayJob", RAY_JOB))


@pytest.mark.parametrize("name", KUBERAY)
def test_kuberay_pods_request_what_they_are_limited_to(name: str) -> None:
    spec = cluster_spec(name)
    for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]:
        [container] = group["template"]["spec"]["containers"]
        assert container["resources"]["requests"] == container["resources"]["limits"]
    for group in spec["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


@pytest.mark.parametrize("name", RAY_UP)
def test_the_files_for_ray_up_are_valid_by_rays_own_schema(name: str) -> None:
    prepared = prepare_config(copy.deepcopy(read_config(name)))
    validate_config(prepared)
    broken = prepared | {"available_node_typos": {}}
    with pytest.raises(jsonschema.ValidationError):
        validate_config(broken)


@pytest.mark.parametrize("name", RAY_UP)
def test_ray_up_pays_for_spot_nodes_alone_beside_the_head(name: str) -> None:
    types = read_config(name)["available_node_types"]
    for node, described_type in types.items():
        spot = re.search("spot", str(described_type["node_config"]), re.IGNORECASE)
        assert bool(spot) == (node != "head"), node


def test_every_cluster_has_the_same_node_types_and_the_run_fits_them() -> None:
    types = kuberay_node_types("raycluster.yaml")
    assert [each.name for each in types] == ["head", "decoder", "captioner", "scorer"]
    for other in (kuberay_node_types("rayjob.yaml"), *map(ray_up_node_types, RAY_UP)):
        assert other == types
    run = config_file.read_run_config(str(CONFIGS / "run.yaml"))
    nodes = [{"CPU": t.cpus, "GPU": t.gpus, **t.resources} for t in types]
    requested = pools.build_pools(run.annotate)
    assert placement.find_first_misfit(requested, nodes) is None
    assert {pool.node_resource for pool in requested} == {"decoder", "captioner", "scorer"}
    without_scorers = [node for node in nodes if "scorer" not in node]
    misfit = placement.find_first_misfit(requested, without_scorers)
    assert misfit is not None and misfit.name == "annotate.pools.scorers"


def test_dashboards_listen_on_loopback_and_every_cluster_wants_a_token() -> None:
    head = cluster_spec("raycluster.yaml")["headGroupSpec"]["rayStartParams"]
    assert head["dashboard-host"] == "127.0.0.1"
    for name in KUBERAY:
        assert cluster_spec(name)["authOptions"] == {"mode": "token"}
    for name in RAY_UP:
        up = read_config(name)
        [_, start] = up["head_start_ray_commands"]
        assert "--dashboard-host=127.0.0.1" in start
        for command in (start, up["worker_start_ray_commands"][1]):
            assert command.startswith("export RAY_AUTH_MODE=token;")
        assert up["file_mounts"] == {"/home/ray/.ray/auth_token": "~/.ray/auth_token"}
    slurm = (CONFIGS / "slurm.sh").read_text()
    assert "--dashboard-host=127.0.0.1" in slurm and "RAY_AUTH_MODE=token" in slurm


@pytest.mark.parametrize("name", ["slurm.sh", "notice.sh"])
def test_the_scripts_are_bash(name: str) -> None:
    subprocess.run(["bash", "-n", CONFIGS / name], check=True)


@pytest.mark.parametrize("name", KUBERAY)
def test_pods_have_time_for_what_they_do_before_they_stop(name: str) -> None:
    for group in cluster_spec(name)["workerGroupSpecs"]:
        pod = group["template"]["spec"]
        [container] = pod["containers"]
        script, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
        assert script.endswith("/ray_configs/notice.sh")
        assert int(seconds) < pod["terminationGracePeriodSeconds"]


def test_every_file_has_its_words_in_the_page() -> None:
    page = (CONFIGS.parent / "docs" / "clusters.md").read_text()
    for path in CONFIGS.iterdir():
        if path.suffix in (".yaml", ".sh"):
            assert f"ray_configs/{path.name}" in page, path.name
