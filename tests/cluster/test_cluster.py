"""A real cluster of the node types of ray_configs/: runs come to it as jobs, from each file.

Its GPUs are but numbers that Ray counts; the models find none, and run on CPUs.
"""

import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
import yaml

from curation.config.catalog import FolderConfig
from curation.config.run import RunConfig
from curation.ops import verify
from curation.ops.status import read_status
from curation.run import evidence
from curation.run.layout import RunFolder
from tests.support.nodes import (
    BIN,
    CONFIGS,
    FEW_IDLE,
    Cluster,
    NodeType,
    answers,
    cluster_of,
    cluster_spec,
    free_ports,
    kuberay_node_types,
    read_config,
)
from tests.support.paths import REPOSITORY
from tests.support.processes import restore_ctrl_c
from tests.support.runs import corpus_run, write_yaml

SECRET = "must-not-be-in-any-log"


@pytest.fixture(scope="module")
def ray_nodes() -> Iterator[Cluster]:
    """The head and one node of each type."""
    with cluster_of(kuberay_node_types("rayjob.yaml")) as running:
        yield running


def run_of(corpus: Path, folder: Path, **annotate: Any) -> RunConfig:
    """The run of ray_configs/, over the corpus and in two shards."""
    template = yaml.safe_load((CONFIGS / "run.yaml").read_text())
    section = {**template["annotate"], "shard_clips": 20, "wait_for_nodes_s": 300, **annotate}
    return corpus_run(corpus, folder / "run", cluster=template["cluster"], annotate=section)


def tagscribe(cluster: Cluster, *arguments: object) -> subprocess.Popen[str]:
    """A command as a user of the cluster starts it, RAY_ADDRESS of another one set."""
    command = [BIN / "tagscribe", *map(str, arguments), "--address", cluster.dashboard]
    environment = cluster.environment | {"RAY_ADDRESS": "http://127.0.0.1:1"}
    return subprocess.Popen(
        command,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=restore_ctrl_c,
    )


def ended(process: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
    out, err = process.communicate(timeout=400)
    assert process.returncode == code, out + err
    return out, err


def need_whole(run: RunConfig, clips: int = 40) -> None:
    counts = read_status(RunFolder.from_config(run)).counts
    assert (counts.ok, counts.errors) == (clips, {})
    assert verify.verify_run(RunFolder.from_config(run)) == []


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    """Read what a command prints up to a line that holds `text`."""
    assert process.stdout
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"ended without {text!r}: {process.communicate()}")


def test_the_entrypoint_of_the_rayjob_runs_as_kuberay_submits_it(
    ray_nodes: Cluster, corpus: Path, tmp_path: Path
) -> None:
    run = run_of(corpus, tmp_path)
    spec = read_config("rayjob.yaml")["spec"]
    [mount] = cluster_spec("rayjob.yaml")["headGroupSpec"]["template"]["spec"]["containers"][0][
        "volumeMounts"
    ]
    mounted = f"{mount['mountPath']}/run.yaml"
    assert mounted in spec["entrypoint"]
    entrypoint = spec["entrypoint"].replace(mounted, str(write_yaml(run, tmp_path)))
    command = [BIN / "ray", "job", "submit", "--address", ray_nodes.dashboard, "--"]
    subprocess.run(
        [*command, *entrypoint.split()], env=ray_nodes.environment, check=True, timeout=400
    )
    need_whole(run)


def test_a_job_is_followed_left_stopped_and_streams_to_its_end_when_its_node_comes(
    ray_nodes: Cluster, corpus: Path, tmp_path: Path
) -> None:
    run = run_of(corpus, tmp_path, placement="fused", actors=2, node_resource="late")
    path = write_yaml(run, tmp_path)
    out, err = ended(tagscribe(ray_nodes, "submit", path, "--detach"))
    job = out.strip()
    assert re.fullmatch(r"tagscribe-run-\w{10}", job)
    assert f"tagscribe jobs follow {job} --address {ray_nodes.dashboard}" in err

    again = tagscribe(ray_nodes, "submit", path)
    wait_for(again, "on nodes of type 'late' do not fit")
    again.send_signal(signal.SIGINT)
    _, err = ended(again, 130)
    assert f"{job} is running already" in err and "detached, the job continues" in err

    other = tmp_path / "other"
    other.mkdir()
    changed = write_yaml(run.model_copy(update={"seed": 9}), other)
    _, err = ended(tagscribe(ray_nodes, "submit", changed), 1)
    assert f"job {job} works on this folder with another configuration" in err

    assert f"{job} is stopped" in ended(tagscribe(ray_nodes, "jobs", "stop", job))[0]
    assert f"{job} had ended before" in ended(tagscribe(ray_nodes, "jobs", "stop", job))[0]
    ended(tagscribe(ray_nodes, "jobs", "follow", job), 1)

    resubmitted = tagscribe(ray_nodes, "submit", path, "--env", "RAY_AUTH_TOKEN_PATH")
    wait_for(resubmitted, "waiting up to 300 s for nodes")
    out, _ = ended(tagscribe(ray_nodes, "jobs", "list"))
    lines = [line.split() for line in out.splitlines() if run.run in line]
    assert [line[:2] for line in lines] == [[job, "STOPPED"], [f"{job}-2", "RUNNING"]]
    ray_nodes.start(NodeType("late", 2, 0, {"late": 1}))
    out, err = ended(resubmitted)
    assert "annotate: 40 of 40 clips" in out and "40 clips: 40 ok" in out
    assert f"{job}-2 is submitted" in err and "has ended" in err
    need_whole(run)


def test_a_node_with_notice_ends_its_shard_gets_no_other_and_is_replaced(
    ray_nodes: Cluster, corpus: Path, tmp_path: Path
) -> None:
    spot = NodeType("spot", 2, 0, {"spot": 1})
    for _ in range(2):
        ray_nodes.start(spot)
    leaving = ray_nodes.processes[-1]
    annotate = {"placement": "fused", "node_resource": "spot", "actors": 2, "cpus_per_actor": 2}
    run = run_of(corpus, tmp_path, **annotate, shard_clips=1)
    run = run.model_copy(update={"catalog": listed_often(corpus, tmp_path, 4)})
    submitted = tagscribe(ray_nodes, "submit", write_yaml(run, tmp_path))
    while not evidence.list_done_shards(RunFolder.from_config(run)):
        assert submitted.poll() is None, submitted.communicate()
        time.sleep(0.1)

    [raylet] = [p for p in psutil.Process(leaving.pid).children() if p.name() == "raylet"]
    environment = ray_nodes.environment | {
        "RAY_ADDRESS": ray_nodes.gcs,
        "RAYLET_PID": str(raylet.pid),
    }
    subprocess.run([CONFIGS / "notice.sh", "60"], env=environment, check=True, timeout=90)
    # A drained node ends by itself when nothing runs on it.
    with suppress(psutil.NoSuchProcess):
        assert not any(map(at_work, raylet.children()))
    assert len(evidence.list_done_shards(RunFolder.from_config(run))) < 160, (
        "the run goes on without that node"
    )
    with suppress(ProcessLookupError):
        os.killpg(leaving.pid, signal.SIGKILL)
    ray_nodes.start(spot)
    ended(submitted)
    need_whole(run, 160)


def listed_often(corpus: Path, folder: Path, times: int) -> FolderConfig:
    """The corpus's sounds so many times each, for a run that lasts."""
    metadata = folder / "often.csv"
    sounds = [file.name for file in sorted((corpus / "audio").iterdir())] * times
    rows = [f"{sound},clip{number},Dog" for number, sound in enumerate(sounds)]
    metadata.write_text("\n".join(["file,id,tags", *rows]))
    return FolderConfig(audio=str(corpus / "audio"), metadata=str(metadata), id="id")


def at_work(process: psutil.Process) -> bool:
    """Whether a process is an actor with a shard: Ray's titles name the method that it runs."""
    try:
        title = "".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False
    return title.startswith("ray::MapWorker") and ")." in title


def test_a_job_that_fails_hands_its_message_and_its_code_on(
    ray_nodes: Cluster, corpus: Path, tmp_path: Path
) -> None:
    run = run_of(corpus, tmp_path)
    nowhere = run.catalog.model_copy(update={"audio": "/nowhere/at/all"})
    path = write_yaml(run.model_copy(update={"catalog": nowhere}), tmp_path)
    out, err = ended(tagscribe(ray_nodes, "submit", path), 1)
    assert "tagscribe: /nowhere/at/all" in out and "ended with exit code 1" in err


def test_a_variable_that_the_cluster_lacks_stops_the_job_and_none_travels(
    ray_nodes: Cluster, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ray_nodes.environment, "TAGSCRIBE_TEST_SECRET", SECRET)
    path = write_yaml(run_of(corpus, tmp_path), tmp_path)
    command = tagscribe(ray_nodes, "submit", path, "--env", "TAGSCRIBE_TEST_SECRET")
    out, err = command.communicate(timeout=400)
    assert command.returncode > 0
    assert "TAGSCRIBE_TEST_SECRET" in out and "set it where Ray is started" in out
    token = Path(ray_nodes.environment["RAY_AUTH_TOKEN_PATH"]).read_text()
    request = urllib.request.Request(
        f"{ray_nodes.dashboard}/api/jobs/", headers={"Authorization": f"Bearer {token}"}
    )
    records = urllib.request.urlopen(request).read().decode()
    assert "TAGSCRIBE_TEST_SECRET" in records
    for text in (out, err, records):
        assert SECRET not in text and token not in text
    for log in ray_nodes.folder.rglob("*.log"):
        assert SECRET.encode() not in log.read_bytes(), log


def test_without_its_token_nobody_reaches_the_cluster(ray_nodes: Cluster) -> None:
    stranger = ray_nodes.environment | {"RAY_AUTH_MODE": "disabled"}
    command = [BIN / "tagscribe", "jobs", "list", "--address", ray_nodes.dashboard]
    refused = subprocess.run(command, env=stranger, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 1
    assert "the cluster requires its token; set RAY_AUTH_MODE=token" in refused.stderr


def test_an_unknown_job_is_an_error(ray_nodes: Cluster) -> None:
    for command in ("follow", "stop"):
        _, err = ended(tagscribe(ray_nodes, "jobs", command, "nobody"), 1)
        assert err == "tagscribe: nobody: no such job on this cluster; see tagscribe jobs list\n"


def test_every_node_answers_its_probe(ray_nodes: Cluster) -> None:
    spec = cluster_spec("raycluster.yaml")
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    for group, agent in zip(groups, ray_nodes.agents, strict=False):
        [container] = group["template"]["spec"]["containers"]
        for probe in ("readinessProbe", "livenessProbe"):
            path = container[probe]["httpGet"]["path"]
            # Kubernetes has no token of Ray's to show.
            with urllib.request.urlopen(f"http://127.0.0.1:{agent}{path}", timeout=10) as answer:
                assert answer.status == 200


def listening(processes: list[psutil.Process]) -> dict[int, set[str]]:
    """Addresses on which processes listen, by port."""
    found: dict[int, set[str]] = {}
    for process in processes:
        try:
            connections = process.net_connections("tcp")
        except psutil.NoSuchProcess:
            continue
        for connection in connections:
            if connection.status == psutil.CONN_LISTEN:
                found.setdefault(connection.laddr.port, set()).add(connection.laddr.ip)
    return found


def test_the_dashboard_of_a_cluster_listens_on_loopback_alone(ray_nodes: Cluster) -> None:
    head = psutil.Process(ray_nodes.processes[0].pid)
    found = listening(head.children(recursive=True))
    assert found[ray_nodes.ports + 1] == {"127.0.0.1"}


@pytest.mark.usefixtures("local_ray")
def test_a_ray_of_our_own_has_no_dashboard_and_listens_on_loopback_alone() -> None:
    session = ray._private.worker._global_node.get_session_dir_path()
    alive = [p for p in psutil.Process().children() if p.status() != psutil.STATUS_ZOMBIE]
    daemons = [p for p in alive if session in " ".join(p.cmdline())]
    processes = daemons + [child for p in daemons for child in p.children(recursive=True)]
    found = listening(processes)
    assert found and set.union(*found.values()) <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    # Ray starts that process all the same, for its own bookkeeping, but with no page to serve.
    dashboards = [p.cmdline() for p in daemons if "dashboard/dashboard.py" in " ".join(p.cmdline())]
    assert all("--disable-frontend" in command for command in dashboards)


FAKE_SRUN = """#!/usr/bin/env bash
# As srun, but every node is this machine, so that each needs ports of its own.
node=
while [[ $1 == --* ]]; do
    [[ $1 == --nodelist=n* ]] && node=${1#--nodelist=n}
    shift
done
[[ $1 == hostname ]] && exec echo 127.0.0.1
[[ $1 == ray && $2 == start ]] || exec "$@"
first=$((FIRST_PORT + node * 100))
own=(--object-store-memory=200000000)
if [[ " $* " == *" --head "* ]]; then
    own+=(--dashboard-port=$((first + 6)) --ray-client-server-port=$((first + 7)))
else
    own+=(--node-ip-address=127.0.0.1)
    sleep 2 # two nodes at once may choose the same name for their sockets
fi
exec "$@" "${own[@]}" --node-manager-port=$first --object-manager-port=$((first + 1)) \\
    --metrics-export-port=$((first + 2)) --dashboard-agent-grpc-port=$((first + 3)) \\
    --runtime-env-agent-port=$((first + 4)) --dashboard-agent-listen-port=$((first + 5)) \\
    --min-worker-port=$((first + 10)) --max-worker-port=$((first + 99))
"""


def of_slurm_job(job: int) -> list[psutil.Process]:
    """The processes that a job has left or still runs."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("SLURM_JOB_ID") == str(job) and process.status() != "zombie":
                found.append(process)
        except psutil.Error:
            continue
    return found


def need_none_left(job: int) -> None:
    """Ray's agents notice a moment later that their node is gone; Slurm itself would not wait."""
    deadline = time.monotonic() + 30
    while left := of_slurm_job(job):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)


@pytest.mark.usefixtures("own_ray")
def test_the_slurm_script_ends_in_order_and_goes_on_when_requeued(
    corpus: Path, tmp_path: Path
) -> None:
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, text in {
        "srun": FAKE_SRUN,
        "scontrol": '#!/bin/sh\n[ "$*" = "show hostnames n[1-2]" ] && printf "n1\\nn2\\n"\n',
    }.items():
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    run = run_of(corpus, tmp_path, shard_clips=10)
    job = free_ports()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
        "PATH": f"{commands}:{BIN}:{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        **FEW_IDLE,
        "SLURM_JOB_ID": str(job),
        "SLURM_JOB_NODELIST": "n[1-2]",
        "SLURM_CPUS_PER_TASK": "10",
        "SLURM_GPUS_PER_TASK": "1",
        "TAGSCRIBE_SHARED": str(tmp_path),
        "FIRST_PORT": str(free_ports()),
    }
    batch = ["bash", CONFIGS / "slurm.sh", write_yaml(run, tmp_path)]

    first = subprocess.Popen(batch, env=environment)
    deadline = time.monotonic() + 180
    while not evidence.list_done_shards(RunFolder.from_config(run)):
        assert first.poll() is None and time.monotonic() < deadline, first.returncode
        time.sleep(0.1)
    dashboard = int(environment["FIRST_PORT"]) + 106
    assert answers(dashboard)
    assert listening(of_slurm_job(job))[dashboard] == {"127.0.0.1"}
    [token] = tmp_path.glob(".tagscribe-*/token")
    assert token.stat().st_mode & 0o077 == 0
    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=60) == 143
    assert not token.exists()
    need_none_left(job)

    subprocess.run(batch, env=environment, check=True, timeout=400)
    need_whole(run)
    need_none_left(job)
