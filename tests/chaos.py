"""Injects failures into runs at seeded random moments, and checks that results do not change.

The test cluster is a head and three workers on loopback. Audio and evidence are on the RADOS
gateway, behind a proxy that breaks some requests. Each seed chooses the moments and the order in
which an actor, a worker node, the driver, the head and the gcs_server of a head are killed, a
worker takes memory until Ray's memory monitor kills it, and the gateway is stopped for ten seconds.

    python -m tests.chaos [--seeds 20] [--first-seed 0] [--local] [--network] [--out docs/chaos.md]

With `--local` the workers are processes of this machine; worker and driver are killed, a worker
grows until the kernel kills it (needs root), and the gateway is stopped.
With `--network` (root) each node has its own network namespace. One node is then also disconnected
for 15 s, longer than Ray waits for it, while its processes continue. The command prints a line for
each seed, and fails at the first run whose evidence or table differs.
"""

import argparse
import os
import random
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import s3fs

from curation import table
from curation.config.run import RunConfig
from curation.ops import verify
from curation.ops.status import read_status
from curation.run import evidence
from curation.run.config_file import parse_run_config
from curation.run.layout import RunFolder, evidence_uri, table_uri
from curation.select import apply
from curation.storage.files import Storage
from curation.synth.corpus import write_corpus
from tests.chaos_stages import WORKERS, ClusterStage, LocalStage, Outcome
from tests.support import in_process
from tests.support.fault_proxy import Rates, disturbing
from tests.support.memory_limit import can_be_limited
from tests.support.network import Network, network
from tests.support.rados_gateway import Gateway, gateway
from tests.support.runs import write_yaml

FAULTS = ("worker", "node", "driver", "head", "gcs", "memory", "storage")
# Memory is limited by root only.
LOCAL_FAULTS = ("worker", "driver", *(["memory"] if can_be_limited() else []), "storage")
RATES = Rates(slow_down=0.03, reset=0.02, lost=0.01, cut=0.02, stall=0.003)
CLIPS, SHARD_CLIPS = 240, 4
SHARDS = CLIPS // SHARD_CLIPS
OUTAGE_S = 10.0
_LEGEND = """Every run has the same result as the undisturbed run: the rows of the evidence and
the pairs of the table are equal. `worker at 12` means that a worker was killed when 12 of the run's
60 shards were done. *requests broken* counts the requests that the proxy answered with 503, reset,
truncated or stalled, and those that it passed on without returning the response. *starts* counts
the starts of the command; restarts of workers are not counted."""
_PAIR_COLUMNS = ["clip_id", "caption", "clap_score", "log_prob", "rank"]


class Scene:
    """A bucket with a corpus, and the undisturbed run that all others are compared with."""

    def __init__(self, server: Gateway, actors: int = WORKERS, cluster: str = "auto") -> None:
        """`cluster`: auto, a cluster that a stage starts; local, processes of this machine."""
        self.server = server
        self.actors = actors
        self.cluster = cluster
        self.bucket = f"s3://{uuid.uuid4().hex}"
        files = s3fs.S3FileSystem()
        files.mkdir(self.bucket)
        with tempfile.TemporaryDirectory() as folder:
            write_corpus(f"{folder}/corpus", CLIPS, 17, workers=os.cpu_count() or 1)
            files.put(f"{folder}/corpus", f"{self.bucket}/", recursive=True)
        self.undisturbed = self.config("undisturbed")
        in_process.annotate_in_process(self.undisturbed)
        apply.select_pairs(self.undisturbed)
        need_sound(self.undisturbed)

    def config(self, name: str) -> RunConfig:
        corpus = f"{self.bucket}/corpus"
        return parse_run_config(
            {
                "run": f"{self.bucket}/runs/{name}",
                "cluster": self.cluster,
                "storage": {"timeout_s": 3, "read_retry_timeout_s": 60},
                "catalog": {
                    "kind": "audioset",
                    "segments": f"{corpus}/segments_noisy.csv",
                    "audio": f"{corpus}/audio",
                },
                "annotate": {
                    "shard_clips": SHARD_CLIPS,
                    "actors": self.actors,
                    "wait_for_nodes_s": 60,
                },
                "select": {"top_fraction": 0.5},
            },
            "chaos",
        )

    def play(
        self, seed: int | None, faults: Sequence[str] = FAULTS, network: Network | None = None
    ) -> Outcome:
        """A disturbed run, or with no seed a calm one; fails where it comes out otherwise.

        Its nodes share loopback, or have places in a network, where one can also be cut off.
        """
        config = self.config(f"seed-{seed}-{uuid.uuid4().hex[:6]}")
        outcome = self._played(config, seed, faults, network)
        need_sound(config)
        assert evidence_of(config).equals(evidence_of(self.undisturbed)), f"seed {seed}: evidence"
        assert pairs_of(config).equals(pairs_of(self.undisturbed)), f"seed {seed}: table"
        return outcome

    def _played(
        self,
        config: RunConfig,
        seed: int | None,
        faults: Sequence[str],
        network: Network | None,
    ) -> Outcome:
        outcome = Outcome(seed)
        with ExitStack() as stack:
            rates = Rates() if seed is None else RATES
            host = network.host if network else "127.0.0.1"
            proxy = stack.enter_context(
                disturbing(self.server.url, rates, seed or 0, stall_s=5.0, host=host)
            )
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
            path = write_yaml(config, folder)
            all_done = partial(_are_done, config, SHARDS)
            if self.cluster == "local":
                stage = LocalStage(path, proxy.url, outcome, all_done)
            else:
                watched = "memory" in faults
                stage = ClusterStage(path, proxy.url, outcome, all_done, network, watched)
            stack.callback(stage.stop)
            begun = time.monotonic()
            stage.start()
            if seed is not None:
                self._strike_all(config, stage, faults, random.Random(seed))
            stage.to_the_end()
            outcome.elapsed_s = time.monotonic() - begun
            outcome.requests = dict(proxy.counts())
        return outcome

    def _strike_all(
        self, config: RunConfig, stage: LocalStage, faults: Sequence[str], rng: random.Random
    ) -> None:
        """Every fault once, when so many shards are done and a moment later."""
        order = rng.sample(faults, len(faults))
        moments = sorted(rng.sample(range(SHARDS // 2), len(order)))
        strikes: dict[str, Callable[[], None]] = {
            "worker": lambda: stage.kill_worker(rng),
            "driver": stage.kill_driver,
            "memory": stage.exhaust_memory,
            "storage": self._outage,
        }
        if isinstance(stage, ClusterStage):
            strikes |= {
                "node": partial(stage.kill_node, rng),
                "cable": partial(stage.cut_node_off, rng),
                "head": stage.kill_head,
                "gcs": stage.kill_gcs,
            }
        for fault, moment in zip(order, moments, strict=True):
            stage.wait_until(partial(_are_done, config, moment))
            time.sleep(rng.uniform(0.0, 1.0))
            strikes[fault]()
            stage.outcome.struck.append(f"{fault} at {moment}")

    def _outage(self) -> None:
        self.server.stop()
        time.sleep(OUTAGE_S)
        self.server.start()


def _are_done(config: RunConfig, shards: int) -> bool:
    return len(evidence.list_done_shards(RunFolder.from_config(config))) >= shards


def need_sound(config: RunConfig) -> None:
    """No promise broken, no clip failed, and no file in evidence/ but the plan's."""
    assert verify.verify_run(RunFolder.from_config(config)) == []
    assert read_status(RunFolder.from_config(config)).counts.errors == {}
    shards = evidence.list_done_shards(RunFolder.from_config(config))
    names = [file.uri.rsplit("/", 1)[1] for file in Storage().list_files(evidence_uri(config.run))]
    assert names == [f"shard-{shard:05d}.parquet" for shard in shards]


def evidence_of(config: RunConfig) -> pa.Table:
    return pa.concat_tables(
        evidence.read_evidence_shards(
            RunFolder.from_config(config), evidence.list_done_shards(RunFolder.from_config(config))
        )
    )


def pairs_of(config: RunConfig) -> pa.Table:
    return table.read_pairs(Storage(), table_uri(config.run), columns=_PAIR_COLUMNS)


def line(outcome: Outcome, calm: Outcome) -> list[str]:
    """A row of the table: seed, faults in order, requests broken, starts, seconds, seconds lost."""
    broken = sum(n for kind, n in outcome.requests.items() if kind in vars(RATES))
    return [
        "none" if outcome.seed is None else str(outcome.seed),
        ", ".join(outcome.struck) or "none",
        f"{broken} of {outcome.requests.get('requests', 0)}",
        str(outcome.starts),
        f"{outcome.elapsed_s:.0f}",
        f"{outcome.elapsed_s - calm.elapsed_s:.0f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--local", action="store_true", help="processes of this machine, no Ray")
    parser.add_argument("--network", action="store_true", help="nodes in network namespaces")
    parser.add_argument("--out", type=Path, help="a Markdown table of the results")
    options = parser.parse_args()
    columns = ["seed", "killed, at so many shards done", "requests broken", "starts", "s", "s lost"]
    rows: list[Any] = [columns, ["---"] * len(columns)]
    with gateway("chaos-secret") as server:
        os.environ |= server.environment
        scene = Scene(server, cluster="local" if options.local else "auto")
        calm = scene.play(None)
        rows.append(line(calm, calm))
        print(*rows[-1], sep=" | ", flush=True)
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            with network() if options.network else nullcontext() as net:
                faults = LOCAL_FAULTS if options.local else FAULTS
                faults = (*faults, "cable") if net else faults
                rows.append(line(scene.play(seed, faults, net), calm))
            print(*rows[-1], sep=" | ", flush=True)
            if options.out:  # after each, as they take an hour together
                table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
                options.out.write_text(f"# Chaos\n\n{__doc__}\n{table}\n\n{_LEGEND}\n")
    print(f"{options.seeds} of {options.seeds} disturbed runs equal the undisturbed one")


if __name__ == "__main__":
    sys.exit(main())
