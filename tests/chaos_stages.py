"""Where a disturbed run is played: a command on this machine, or on a cluster of its own.

A stage starts the command and what it runs on, kills parts of them, and starts again what is gone.
"""

import os
import random
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.fake_workers import GROW_FILE
from tests.support.memory_limit import memory_limit
from tests.support.network import Network
from tests.support.nodes import Cluster, NodeType
from tests.support.processes import RUN_WITH_WORKER, find_descendants, kill_tree

WORKERS = 3
CUT_S = 15.0
_MOST_STARTS = 12
_DEADLINE_S = 600.0
# A worker grows by this much until the kernel kills it, or the machine until Ray kills a worker.
_GROWTH_BYTES = 1 << 30
_PRESSURE_BYTES = 5 << 30
# A lost process is noticed in seconds; by default it takes Ray a quarter of a minute and more.
_NOTICE_SOON = {
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "5",
}


@dataclass
class Outcome:
    """What a seed did to its run, and what that cost."""

    seed: int | None
    elapsed_s: float = 0.0
    starts: int = 0
    struck: list[str] = field(default_factory=list)
    requests: dict[str, int] = field(default_factory=dict)


class LocalStage:
    """A command whose workers are processes of this machine."""

    def __init__(
        self, path: Path, endpoint: str, outcome: Outcome, done: Callable[[], bool]
    ) -> None:
        """
        Args:
            path: the run.yaml.
            endpoint: URL of the S3 server.
            outcome: where starts are counted.
            done: whether all shards have evidence.
        """
        self.outcome = outcome
        self._done = done
        self._path = path
        self._grow_file = path.with_name("grow")
        self._endpoint = endpoint
        self._deadline = time.monotonic() + _DEADLINE_S
        self._driver: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._start_driver()

    def stop(self) -> None:
        if self._driver:
            kill_tree(self._driver.pid)
            self._driver.wait()

    def exhaust_memory(self) -> None:
        """Let a worker grow until the kernel kills it, by a limit of its own."""
        with memory_limit(_GROWTH_BYTES) as group:
            worker = self._let_grow(str(group))
            self.wait_until(lambda: not psutil.pid_exists(worker))

    def _let_grow(self, group: str) -> int:
        """Request of the next worker that takes a shard to grow; returns its process id."""
        self._grow_file.write_text(group)
        pattern = f"{self._grow_file.name}-*"
        self.wait_until(lambda: any(self._grow_file.parent.glob(pattern)))
        [taken] = self._grow_file.parent.glob(pattern)
        taken.unlink()
        return int(taken.name.rpartition("-")[2])

    def wait_until(self, reached: Callable[[], bool]) -> None:
        """Wait, and start the command again where it failed meanwhile."""
        while not reached():
            assert self._driver is not None
            code = self._driver.poll()
            assert code != 0, "the run ended before all faults had struck: give it more clips"
            if code is not None:
                self._start_driver()
            self._need_time()
            time.sleep(0.2)

    def to_the_end(self) -> None:
        """Start the command again as often as it fails."""
        assert self._driver is not None
        while self._driver.wait(timeout=_DEADLINE_S) != 0:
            self._need_time()
            self._start_driver()

    def kill_worker(self, rng: random.Random) -> None:
        """Kill a worker process; sorted, so that the seed alone chooses."""
        self.wait_until(lambda: bool(self._workers()))
        rng.choice(sorted(self._workers(), key=lambda worker: worker.pid)).kill()

    def kill_driver(self) -> None:
        """Kill the driver alone: its workers must end by themselves."""
        assert self._driver is not None
        workers = self._workers()
        self._driver.kill()
        self._driver.wait()
        _, alive = psutil.wait_procs(workers, timeout=30)
        assert not alive, "workers outlive their driver"
        self._start_driver()

    def _workers(self) -> list[psutil.Process]:
        assert self._driver is not None
        return find_descendants(self._driver.pid, lambda title: "processes.worker_main" in title)

    def _start_driver(self) -> None:
        self.outcome.starts += 1
        assert self.outcome.starts <= _MOST_STARTS, f"started too often:\n{self._last_log()}"
        log = self._path.with_name(f"driver-{self.outcome.starts}.log").open("wb")
        self._driver = subprocess.Popen(
            [*self._prefix(), *RUN_WITH_WORKER, "GrowingWorker", "run", self._path],
            env=self._environment(),
            stdout=log,
            stderr=log,
        )

    def _prefix(self) -> list[str]:
        return []

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self._for_workers()}

    def _for_workers(self) -> dict[str, str]:
        return {"AWS_ENDPOINT_URL": self._endpoint, GROW_FILE: str(self._grow_file)}

    def _need_time(self) -> None:
        assert time.monotonic() < self._deadline, f"no end in sight:\n{self._last_log()}"

    def _last_log(self) -> str:
        logs = sorted(self._path.parent.glob("driver-*.log"), key=lambda log: log.stat().st_mtime)
        return "\n".join(log.read_text()[-3000:] for log in logs[-2:])


class ClusterStage(LocalStage):
    """A cluster on loopback or in a network, and the command that runs on it."""

    def __init__(
        self,
        path: Path,
        endpoint: str,
        outcome: Outcome,
        done: Callable[[], bool],
        network: Network | None,
        watches_memory: bool,
    ) -> None:
        """`watches_memory`: Ray kills workers when they have taken so much that it shows."""
        super().__init__(path, endpoint, outcome, done)
        self._network = network
        self._watches_memory = watches_memory
        self._cluster: Cluster | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def start(self) -> None:
        # Not beside the YAML: the paths of Ray's sockets may have 107 characters.
        self._folder = tempfile.TemporaryDirectory(prefix="ts-", ignore_cleanup_errors=True)
        self._cluster = Cluster(Path(self._folder.name), self._network, with_dashboard=False)
        self._cluster.environment |= {**_NOTICE_SOON, **self._for_workers()}
        if self._watches_memory:
            memory = psutil.virtual_memory()
            assert memory.available > 2 * _PRESSURE_BYTES, "other processes hold the memory"
            threshold = (memory.total - memory.available + _PRESSURE_BYTES) / memory.total
            self._cluster.environment["RAY_memory_usage_threshold"] = f"{min(threshold, 0.95):.3f}"
        self._cluster.start(NodeType("head", 1))
        for _ in range(WORKERS):
            self._cluster.start(NodeType("worker", 2))
        super().start()

    def stop(self) -> None:
        super().stop()
        if self._cluster:
            for node in self._cluster.processes:
                kill_tree(node.pid)
                node.wait()
        if self._folder:
            self._folder.cleanup()

    def kill_driver(self) -> None:
        assert self._driver is not None
        kill_tree(self._driver.pid)
        self._driver.wait()
        self._start_driver()

    def kill_node(self, rng: random.Random) -> None:
        """A worker node with actors goes, and another one comes."""
        assert self._cluster is not None
        workers = self._cluster.processes[1:]
        self.wait_until(lambda: any(map(_actors_of, workers)))
        gone = rng.choice([node for node in workers if _actors_of(node)] or workers)
        kill_tree(gone.pid)
        gone.wait()
        self._cluster.start(NodeType("worker", 2))

    def cut_node_off(self, rng: random.Random) -> None:
        """A worker node's cable is pulled, and put back when the cluster has given the node up.

        What it was doing it may still end, and write beside the worker that was given its shard.
        """
        assert self._cluster is not None and self._network is not None
        place = rng.choice(self._cluster.places[1:])
        self._network.cut(place)
        time.sleep(CUT_S)
        self._network.join(place)

    def exhaust_memory(self) -> None:
        """Let a worker grow until the memory monitors of Ray, whose nodes share one machine, act.

        Each of them kills the actor that it has started last.
        """
        worker = self._let_grow("")
        self.wait_until(lambda: not psutil.pid_exists(worker))

    def kill_gcs(self) -> None:
        """The control service alone dies; its head and the other nodes follow it."""
        assert self._cluster is not None
        head = self._cluster.processes[0]
        [service] = find_descendants(head.pid, lambda title: "gcs_server" in title.split()[0])
        service.kill()
        head.wait(timeout=60)
        self._start_anew()

    def kill_head(self) -> None:
        """All is lost with it; another cluster is started, and the command on that."""
        assert self._cluster is not None
        head = self._cluster.processes[0]
        kill_tree(head.pid)
        head.wait()
        self._start_anew()

    def _start_anew(self) -> None:
        assert self._driver is not None
        with suppress(subprocess.TimeoutExpired):
            code = self._driver.wait(timeout=60)
            assert code != 0 or self._done(), "a run without its head said that all is done"
        self.stop()
        self.start()

    def _workers(self) -> list[psutil.Process]:
        assert self._cluster is not None
        return [actor for node in self._cluster.processes for actor in _actors_of(node)]

    def _prefix(self) -> list[str]:
        assert self._cluster is not None
        return list(self._cluster.places[0].prefix)

    def _environment(self) -> dict[str, str]:
        assert self._cluster is not None
        return self._cluster.environment | {"RAY_ADDRESS": self._cluster.gcs}


def _actors_of(node: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return find_descendants(
        node.pid, lambda title: title.startswith("ray::") and "SupervisedWorker" in title
    )
