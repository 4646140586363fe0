"""Real Ray nodes on loopback, of the types that the files of ray_configs/ describe."""

import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.support.network import Network, Place
from tests.support.paths import REPOSITORY

CONFIGS = REPOSITORY / "ray_configs"
BIN = Path(sys.executable).parent
_PORTS_A_NODE = 100
_TRIES = 3
# Else a node starts as many idle workers as it says that it has CPUs, when the first job comes.
FEW_IDLE = {"RAY_prestart_worker_first_driver": "false"}
# What `ray start` prints once the head knows the node.
_UP = b"Ray runtime started"


@dataclass(frozen=True)
class NodeType:
    name: str
    cpus: int
    gpus: int = 0
    resources: dict[str, int] = field(default_factory=dict)


def read_config(name: str) -> Any:
    return yaml.safe_load((CONFIGS / name).read_text())


def cluster_spec(name: str) -> dict[str, Any]:
    """The RayClusterSpec of a KubeRay file."""
    spec = read_config(name)["spec"]
    return spec.get("rayClusterSpec", spec)


def kuberay_node_types(name: str) -> list[NodeType]:
    """The node types of a KubeRay file, the head first."""
    spec = cluster_spec(name)
    types = []
    for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]:
        parameters = group["rayStartParams"]
        [container] = group["template"]["spec"]["containers"]
        limits = container["resources"]["limits"]
        types.append(
            NodeType(
                group.get("groupName", "head"),
                int(parameters.get("num-cpus", limits["cpu"])),
                int(limits.get("nvidia.com/gpu", 0)),
                # KubeRay puts the value into a shell's command line as it is, quotes included.
                json.loads(json.loads(parameters.get("resources", '"{}"'))),
            )
        )
    return types


def ray_up_node_types(name: str) -> list[NodeType]:
    """The node types of a file for `ray up`, the head first."""
    types = []
    for type_name, described_type in read_config(name)["available_node_types"].items():
        resources = dict(described_type["resources"])
        cpus, gpus = resources.pop("CPU"), resources.pop("GPU", 0)
        types.append(NodeType(type_name, cpus, gpus, resources))
    return types


# Below the ports that the kernel gives to whoever connects; every other thousand is that of tests
# which run beside these.
_HALF = 1000 * (os.environ.get("PYTEST_XDIST_WORKER") == "gw1")
_THOUSANDS = itertools.cycle(random.sample(range(20000 + _HALF, 32000, 2000), 6))


def free_ports() -> int:
    """The first of a thousand ports that no other cluster has; another thousand at each call."""
    return next(first for first in _THOUSANDS if not answers(first))


def answers(port: int, address: str = "127.0.0.1") -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0


def port_options(first: int) -> list[str]:
    """Nodes that share one address need ports of their own."""
    names = ["node-manager-port", "object-manager-port", "metrics-export-port"]
    names += ["dashboard-agent-grpc-port", "runtime-env-agent-port", "dashboard-agent-listen-port"]
    options = [f"--{name}={first + index}" for index, name in enumerate(names)]
    workers = first + len(names)
    last = first + _PORTS_A_NODE - 1
    return [*options, f"--min-worker-port={workers}", f"--max-worker-port={last}"]


class Cluster:
    """Nodes of one Ray, each a process of ours, that ask for a token.

    They share loopback, with ports of their own, or each has a place in a network. Jobs need the
    head's dashboard, which takes more of a small machine than a node does.
    """

    def __init__(
        self, folder: Path, network: Network | None = None, with_dashboard: bool = True
    ) -> None:
        self.folder = folder
        self.network = network
        self.with_dashboard = with_dashboard
        self.places: list[Place] = []
        self.ports = free_ports()
        self.processes: list[subprocess.Popen[bytes]] = []
        token = folder / "token"
        token.write_text("0123456789abcdef" * 4)
        self.environment = {
            # What a Ray of this process has set there is not for these nodes.
            **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            **FEW_IDLE,
            # The end of a test is no notice.
            "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
        }

    @property
    def gcs(self) -> str:
        return f"{self.places[0].address}:{self.ports}"

    @property
    def dashboard(self) -> str:
        return f"http://{self.places[0].address}:{self.ports + 1}"

    def start(self, node: NodeType) -> None:
        index = len(self.processes)
        first = self.ports + _PORTS_A_NODE * index + 10
        place = self.network.add() if self.network else Place()
        self.places.append(place)
        options = [f"--address={self.gcs}", f"--node-ip-address={place.address}"]
        if index == 0:
            options = [
                "--head", f"--node-ip-address={place.address}", f"--port={self.ports}",
                f"--dashboard-host={place.address}", f"--dashboard-port={self.ports + 1}",
                f"--ray-client-server-port={self.ports + 2}", f"--temp-dir={self.folder}",
                f"--include-dashboard={self.with_dashboard}",
            ]  # fmt: skip
        command = [
            *place.prefix, BIN / "ray", "start", "--block", "--disable-usage-stats", *options,
            f"--num-cpus={node.cpus}", f"--num-gpus={node.gpus}", "--object-store-memory=200000000",
            f"--resources={json.dumps(node.resources)}", *port_options(first),
            # A run's driver takes no logs, and each of these processes weighs as much as a node.
            "--include-log-monitor=False",
        ]  # fmt: skip
        self.processes.append(self._started(command, index, first))
        if index == 0 and self.with_dashboard:
            self.wait(self.ports + 1, index)

    def _started(self, command: list[Any], index: int, port: int) -> subprocess.Popen[bytes]:
        """A node that is up; Ray gives it half a minute, which a busy machine may exceed."""
        for _ in range(_TRIES):
            with self.log(index).open("wb") as log:
                process = subprocess.Popen(
                    command, env=self.environment, stdout=log, stderr=log, start_new_session=True
                )
            # Not the next one before this one listens: two at once may choose the same name for
            # their sockets.
            while process.poll() is None:
                if _UP in self.log(index).read_bytes() and answers(
                    port, self.places[index].address
                ):
                    return process
                time.sleep(0.2)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        raise AssertionError(self.log(index).read_text())

    def need_agents(self) -> None:
        """Wait until each node answers its probes, which is seconds after it takes work."""
        for index, agent in enumerate(self.agents):
            self.wait(agent, index)

    def log(self, index: int) -> Path:
        return self.folder / f"node-{index}.log"

    def wait(self, port: int, index: int) -> None:
        """Wait until a node listens on a port."""
        deadline = time.monotonic() + 240
        while not answers(port, self.places[index].address):
            assert self.processes[index].poll() is None, self.log(index).read_text()
            assert time.monotonic() < deadline, f"nothing listens on port {port}"
            time.sleep(0.2)

    @property
    def agents(self) -> list[int]:
        """The port of each node's agent."""
        return [self.ports + _PORTS_A_NODE * i + 15 for i in range(len(self.processes))]

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=20)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def cluster_of(types: list[NodeType]) -> Iterator[Cluster]:
    # Not a folder of pytest's: the paths of Ray's sockets may have 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="tagscribe-"))
    cluster = Cluster(folder)
    try:
        for node in types:
            cluster.start(node)
        cluster.need_agents()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
