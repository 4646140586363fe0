"""What the size of a shard costs: idle workers at the end of a run, files, and time a clip.

Idle share: simulated. Workers take the next shard when they are free, as in the engine; a clip
takes one unit of time, with a standard deviation of a half. The share is that of all workers' time
from the beginning to the last shard's end, the mean of 20 runs; it is given for the rule of
`annotate.shard_clips: auto`, for shards of 512 always, and for 64 shards always.

Time a clip: measured. One worker of placement fused, in this process, takes the same procedural
clips through the reference models in shards of several sizes, in turns; processor time.

    python -m benchmarks.shard_size [--clips 192] [--rounds 3]

Prints tables.
"""

import argparse
import heapq
import tempfile
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch

from curation import console
from curation.annotate import metrics
from curation.annotate.task import Task
from curation.annotate.workers import FusedWorker
from curation.run import catalog_plan
from curation.run.config_file import parse_run_config
from curation.run.shard_size import MAX_SHARD_CLIPS, SMALL_SHARD_CLIPS, choose_shard_clips
from curation.synth.corpus import write_corpus

COUNTS = (10, 100, 500, 2_000, 20_000, 200_000, 2_000_000)
WORKERS = (2, 8, 64)
SIZES = (1, 2, 4, 8, 16, 32, 64, 192)
DRAWS = 20
CLIP_DEVIATION = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=192)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rules: dict[str, Callable[[int], int]] = {
        "auto": choose_shard_clips,
        "512 always": lambda _: MAX_SHARD_CLIPS,
        "64 shards": lambda clips: min(max(-(-clips // 64), SMALL_SHARD_CLIPS), MAX_SHARD_CLIPS),
    }
    for name, rule in rules.items():
        columns = ["clips", "clips a shard", "files", *(f"idle of {n}" for n in WORKERS)]
        console.print_table(name, columns, [_simulate_row(clips, rule(clips)) for clips in COUNTS])
    console.print_table(
        f"{options.clips} clips by one worker",
        ["clips a shard", "ms a clip"],
        [[str(size), f"{ms:.1f}"] for size, ms in _measure_sizes(options).items()],
    )


def _simulate_row(clips: int, shard_clips: int) -> list[str]:
    shards = -(-clips // shard_clips)
    idle = [f"{simulate_idle_share(clips, shard_clips, workers):.1%}" for workers in WORKERS]
    return [f"{clips:,}", str(shard_clips), f"{shards:,}", *idle]


def simulate_idle_share(clips: int, shard_clips: int, workers: int) -> float:
    """Share of the workers' time in which they have no shard left."""
    generator = np.random.default_rng(0)
    sizes = np.full(-(-clips // shard_clips), shard_clips)
    sizes[-1] = clips - shard_clips * (len(sizes) - 1)
    shape = 1 / CLIP_DEVIATION**2  # of the gamma distribution of a clip's time
    shares = []
    for _ in range(DRAWS):
        seconds = generator.gamma(sizes * shape, 1 / shape)
        ends = [0.0] * workers
        for each in seconds:
            heapq.heapreplace(ends, ends[0] + each)
        shares.append(1 - seconds.sum() / (workers * max(ends)))
    return float(np.mean(shares))


def _measure_sizes(options: argparse.Namespace) -> dict[int, float]:
    """Processor time a clip in milliseconds, by the size of a shard."""
    torch.set_num_threads(1)
    measured: dict[int, list[float]] = {size: [] for size in SIZES}
    with tempfile.TemporaryDirectory() as folder:
        write_corpus(f"{folder}/corpus", options.clips, seed=3)
        _annotate(folder, "warm_up", options.clips)
        for turn in range(options.rounds):
            for size in SIZES:
                seconds = _annotate(folder, f"{size}_{turn}", size)
                measured[size].append(1000 * seconds / options.clips)
    return {size: median(times) for size, times in measured.items()}


def _annotate(folder: str, name: str, shard_clips: int) -> float:
    """Processor time of a worker that annotates the corpus in a run of its own."""
    config = parse_run_config(
        {
            "run": f"{folder}/{name}",
            "catalog": {
                "kind": "audioset",
                "segments": f"{folder}/corpus/segments_noisy.csv",
                "audio": f"{folder}/corpus/audio",
            },
            "annotate": {"shard_clips": shard_clips},
        },
        "benchmarks/shard_size.py",
    )
    planned, _ = catalog_plan.create_plan(config)
    worker = FusedWorker(config, metrics.InMemoryMeter)
    begun_s = time.process_time()
    for shard in range(planned.shards):
        row = worker({"task": Task(shard, planned.shard_size(shard)).to_json()})
        assert not row["error"], row["error"]
    return time.process_time() - begun_s


if __name__ == "__main__":
    main()
