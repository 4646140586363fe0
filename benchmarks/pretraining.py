"""How fast pre-training is: under Ray Train and under torchrun, in one process and in two.

The same model, data and global batch in turns, every second turn backwards. A step's time is the
median of a turn's reports, without the first 40 steps, while Ray Train still starts actors of its
own; a ratio is the median over the turns, each of which compares its own. `ray_over_torchrun` is
that of as many processes as leave a core to Ray's own, so one on two cores; with two, which fill
them, it is `ray_over_torchrun_all_cores`. Then the loader alone. Steps of large models on a GPU are
measured by `benchmarks.gpu_proof`.

    python -m benchmarks.pretraining [--turns 3] [--steps 160]

Prints tables and ends in one line of JSON.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from curation import console, table
from curation.schema import PAIR_SCHEMA
from curation.storage.files import Storage
from curation.synth.corpus import read_corpus_truth, write_corpus
from training import run_folder
from training.config.data import LoaderConfig
from training.config.pretrain import PretrainConfig
from training.data import loader_benchmark
from training.data.table_index import TableIndex
from training.demo import small_pretrain_config
from training.tracking import read_metrics

CLIPS = 320
BATCH = 32
LOG_EVERY = 5
START_UP_STEPS = 40
LAUNCHERS = ("torchrun", "Ray Train")
WAYS = [(launcher, processes) for processes in (1, 2) for launcher in LAUNCHERS]
Way = tuple[str, int]
BIN = Path(sys.executable).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--steps", type=int, default=160, help="of each turn")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        uri = table_of(folder)
        turns = []
        for turn in range(options.turns):
            order = WAYS if turn % 2 == 0 else WAYS[::-1]
            turns.append(
                {
                    way: trained(
                        config_of(f"{folder}/run-{turn}-{number}", uri, options.steps, way),
                        way,
                        f"{folder}/{turn}-{number}.yaml",
                    )
                    for number, way in enumerate(order)
                }
            )
        figures = report_turns(turns)
        figures |= loader_alone(uri)
    print(json.dumps(figures))


def table_of(folder: str) -> str:
    """A table of true captions over a procedural corpus."""
    write_corpus(f"{folder}/corpus", CLIPS, 5, workers=os.cpu_count() or 1)
    truth = read_corpus_truth(f"{folder}/corpus")
    rows = [
        {
            "clip_id": name,
            "caption": truth[name].captions[0],
            "clap_score": 0.0,
            "log_prob": 0.0,
            "rank": 1,
            "tags": [],
            "guidance": [],
            "captioner": "truth",
            "scorer": "none",
            "uri": str(next(Path(folder, "corpus", "audio").glob(f"{name}.*"))),
            "start_s": 0.0,
            "end_s": truth[name].duration_s,
        }
        for name in sorted(truth)
    ]
    uri = f"{folder}/table"
    table.commit_table(
        Storage(), uri, PAIR_SCHEMA, pa.Table.from_pylist(rows, PAIR_SCHEMA).to_batches, {}
    )
    return uri


def config_of(run: str, uri: str, steps: int, way: Way) -> PretrainConfig:
    config = small_pretrain_config(run, [uri], max(1, steps // (CLIPS // BATCH))).model_dump(
        mode="json"
    )
    config["saving"] |= {"log_every_steps": LOG_EVERY, "checkpoint_every_steps": 10**6}
    launcher, processes = way
    if launcher == "Ray Train":
        config["launch"] = {"cluster": "ray", "workers": processes, "cpus_per_worker": 1}
    return PretrainConfig.model_validate(config)


def trained(config: PretrainConfig, way: Way, path: str) -> list[dict[str, Any]]:
    """Train by the command line, one thread a process; the reports after start-up."""
    Path(path).write_text(yaml.safe_dump(config.model_dump(mode="json")))
    launcher, processes = way
    torchrun = [BIN / "torchrun", "--standalone", f"--nproc-per-node={processes}"]
    command = [BIN / "tagscribe-train", "pretrain", path, "--quiet"]
    command = [*torchrun, *command] if launcher == "torchrun" else command
    # What Ray gives a worker of one CPU, and torchrun each process.
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    lines = read_metrics(Storage(), run_folder.metrics_uri(config.run))
    return lines[START_UP_STEPS // LOG_EVERY :]


def report_turns(turns: list[dict[Way, list[dict[str, Any]]]]) -> dict[str, Any]:
    step_s = [
        {
            way: statistics.median(BATCH / line["samples_per_s"] for line in lines)
            for way, lines in turn.items()
        }
        for turn in turns
    ]
    wait = {
        way: statistics.median(line["data_wait"] for turn in turns for line in turn[way])
        for way in WAYS
    }
    mean_s = {way: statistics.mean(each[way] for each in step_s) for way in WAYS}

    def ratio(way: Way, other: Way) -> float:
        return statistics.median(each[way] / each[other] for each in step_s)

    def ray_over_torchrun(processes: int) -> float:
        return ratio(("Ray Train", processes), ("torchrun", processes))

    console.print_table(
        f"a step of {BATCH} clips, one thread a process",
        ["", "processes", "ms a step", "clips/s", "waits for data"],
        [
            [
                launcher,
                str(processes),
                f"{1000 * mean_s[launcher, processes]:.1f}",
                f"{BATCH / mean_s[launcher, processes]:.1f}",
                f"{wait[launcher, processes]:.1%}",
            ]
            for launcher, processes in WAYS
        ],
    )
    leaves_a_core = 2 if (os.cpu_count() or 1) > 2 else 1
    return {
        "ray_over_torchrun": ray_over_torchrun(leaves_a_core),
        "ray_over_torchrun_processes": leaves_a_core,
        "ray_over_torchrun_all_cores": ray_over_torchrun(2),
        "two_over_one": ratio(("torchrun", 1), ("torchrun", 2)),
        "step_ms": {f"{name}, {n}": 1000 * seconds for (name, n), seconds in mean_s.items()},
        "data_wait": {f"{name}, {n}": share for (name, n), share in wait.items()},
    }


def loader_alone(uri: str) -> dict[str, Any]:
    rows = loader_benchmark.measure_loader_speed(
        TableIndex.open(Storage(), uri), LoaderConfig(), BATCH, 16_000, 30, (0, 1, 2)
    )
    console.print_table(
        "the loader alone",
        ["decoders", "clips/s", "MB/s", "first batch, s"],
        [
            [r.workers, f"{r.clips_per_s:.0f}", f"{r.mb_per_s:.1f}", f"{r.first_batch_s:.1f}"]
            for r in rows
        ],
    )
    return {"loader_clips_per_s": {str(row.workers): row.clips_per_s for row in rows}}


if __name__ == "__main__":
    main()
