"""How much longer a run takes on object storage than on local disk, over the same clips.

Catalog, run folder and table lie in a bucket of an S3 server on this machine, or on its disk. The
two take turns, so that a machine that slows down slows both. The server is Ceph's RADOS gateway
where it is installed, else moto's. Elsewhere it has machines of its own, here it shares the cores
of this one: so by default the workers leave a core free, and with `--actors` equal to the cores the
server's work is paid for by the engine.
Timed are plan, annotate from its first shard's beginning to its last one's end, and select; the
start of the workers is not. Each worker records the most that it ever held of audio read ahead.

    python -m benchmarks.storage [--clips 2000] [--rounds 2] [--actors 1]
"""

import argparse
import json
import os
import secrets
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import s3fs

from benchmarks.common.read_ahead_worker import (
    FOLDER_VARIABLE,
    ReadAheadWorker,
    read_peak_bytes,
)
from benchmarks.common.shard_times import read_shard_times
from curation import console
from curation.config.run import RunConfig
from curation.engine import driver
from curation.run import catalog_plan, evidence
from curation.run.config_file import parse_run_config
from curation.run.layout import RunFolder
from curation.select import apply
from curation.storage.files import Storage
from curation.synth.corpus import write_corpus
from tests.support.moto_server import moto_server
from tests.support.rados_gateway import PROGRAMS, gateway

MIB = 2**20


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as folder, server() as (name, environment):
        os.environ.update(environment)
        corpus = f"{folder}/corpus"
        write_corpus(corpus, options.clips, 5, workers=os.cpu_count() or 1, progress=True)
        s3fs.S3FileSystem().mkdir("bench")
        upload(corpus, "s3://bench/corpus")
        peaks = Path(folder) / "read-ahead"
        peaks.mkdir()
        os.environ[FOLDER_VARIABLE] = str(peaks)
        local, remote = [], []
        for turn in range(options.rounds):
            local.append(timed(configured(folder, f"run{turn}", options)))
            remote.append(timed(configured("s3://bench", f"run{turn}", options)))
            same_evidence(f"{folder}/run{turn}", f"s3://bench/run{turn}")
        report(options, name, local, remote, read_peak_bytes(peaks))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=2, help="turns of each, alternating")
    parser.add_argument("--actors", type=int, default=max(1, (os.cpu_count() or 1) - 1))
    parser.add_argument("--shard-clips", type=int, default=100)
    parser.add_argument("--read-ahead-mb", type=int, default=64)
    return parser.parse_args()


@contextmanager
def server() -> Iterator[tuple[str, dict[str, str]]]:
    """An S3 server's name, and what a client's environment holds to reach it."""
    secret = secrets.token_hex()
    if all(map(shutil.which, PROGRAMS)):
        with gateway(secret) as started:
            yield "radosgw", started.environment
    else:
        with moto_server() as url:
            yield (
                "moto",
                {
                    "AWS_ENDPOINT_URL": url,
                    "AWS_ACCESS_KEY_ID": "bench",
                    "AWS_SECRET_ACCESS_KEY": secret,
                    "AWS_DEFAULT_REGION": "us-east-1",
                },
            )


def upload(folder: str, uri: str) -> None:
    files = list(Storage().list_files(folder))
    with ThreadPoolExecutor(8) as threads:
        list(
            threads.map(
                lambda file: Storage().put(
                    uri + file.uri.removeprefix(folder), Storage().read_bytes(file.uri)
                ),
                files,
            )
        )


def configured(root: str, name: str, options: argparse.Namespace) -> RunConfig:
    return parse_run_config(
        {
            "run": f"{root}/{name}",
            "catalog": {
                "kind": "audioset",
                "segments": f"{root}/corpus/segments_noisy.csv",
                "audio": f"{root}/corpus/audio",
            },
            "storage": {"read_ahead_mb": options.read_ahead_mb},
            "annotate": {"shard_clips": options.shard_clips, "actors": options.actors},
            "select": {"top_fraction": 0.5},
        },
        name,
    )


def timed(config: RunConfig) -> dict[str, float]:
    """Seconds of each step of a run."""
    began = time.time()
    catalog_plan.create_plan(config)
    plan_s = time.time() - began
    driver.annotate_run(config, lambda done, total: None, ReadAheadWorker)
    times = read_shard_times(RunFolder.from_config(config))
    annotate_s = max(end for _, end in times) - min(start for start, _ in times)
    began = time.time()
    apply.select_pairs(config)
    select_s = time.time() - began
    return {
        "plan_s": plan_s,
        "annotate_s": annotate_s,
        "select_s": select_s,
        "all_s": plan_s + annotate_s + select_s,
    }


def same_evidence(local: str, remote: str) -> None:
    """Both did the same work: their evidence is equal, row for row, but for where the audio is."""
    shards = evidence.list_done_shards(RunFolder(local))
    assert shards == evidence.list_done_shards(RunFolder(remote))
    for shard in shards:
        here, there = (
            evidence.read_evidence_shard(RunFolder(run), shard).drop_columns("uri")
            for run in (local, remote)
        )
        assert here.equals(there), shard


def report(
    options: argparse.Namespace,
    server: str,
    local: list[dict[str, float]],
    remote: list[dict[str, float]],
    high_water: int,
) -> None:
    steps = list(local[0])
    taken = {
        name: {step: statistics.median(each[step] for each in runs) for step in steps}
        for name, runs in (("local disk", local), (server, remote))
    }
    console.print_table(
        f"{options.clips} clips, {options.actors} actors, {options.rounds} turns each; seconds",
        ["", *(step.removesuffix("_s") for step in steps)],
        [[name, *(f"{row[step]:.1f}" for step in steps)] for name, row in taken.items()],
    )
    budget = options.read_ahead_mb * MIB
    assert high_water <= budget, (high_water, budget)
    print(
        json.dumps(
            {
                "s3_over_local": round(taken[server]["all_s"] / taken["local disk"]["all_s"], 3),
                "local_s": round(taken["local disk"]["all_s"], 1),
                "s3_s": round(taken[server]["all_s"], 1),
                "read_ahead_mb": round(high_water / MIB, 1),
                "read_ahead_budget_mb": options.read_ahead_mb,
                "server": server,
                "clips": options.clips,
                "actors": options.actors,
            }
        )
    )


if __name__ == "__main__":
    main()
