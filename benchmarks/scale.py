"""The engine at AudioSet's size and with hundreds of GPUs, by simulation: models that only wait.

Three questions. How long and how large is planning 2,041,789 clips? Are 64 GPUs, and 256 with eight
to a process, kept busy by the engine's own graph? How long does `tagscribe status` take on a
finished run of that size? A simulated GPU is a logical GPU of Ray's; its captioner and its scorer
sleep for as long as a large model would compute, and everything else is real: plan, Ray Data graph,
workers, decoding of a short sound, evidence, driver.

Busy is the time that models waited, over GPUs times the time from the beginning of the first shard
to the end of the last: the tail, in which some GPUs have no shard left, is in it; loading is not.

What a clip needs of a CPU (reading, decoding, measuring, evidence) is done for real, and all
simulated GPUs share the cores of this machine for it: so all of them together ask for `--rate`
clips a second, and the more GPUs there are, the slower each one's models.

    python -m benchmarks.scale [--clips 2041789] [--gpus 64] [--many 256] [--rate 64]
"""

import argparse
import json
import multiprocessing
import os
import queue
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import soundfile

from curation import console, table
from curation.annotate import metrics
from curation.annotate.workers import FusedWorker
from curation.config.run import RunConfig
from curation.run import driver_state, footer_cache, layout, plan
from curation.run import evidence as run_evidence
from curation.run.config_file import parse_run_config
from curation.run.layout import RunFolder
from curation.run.record import require_run_record
from curation.schema import EVIDENCE_SCHEMA, PAIR_SCHEMA
from curation.storage.files import Storage
from curation.tags import ontology
from tests.fakes import WaitingCaptionerConfig, WaitingScorerConfig

AUDIOSET_CLIPS = 2_041_789
RATE_HZ = 8000
SOUND_S = 0.25
BATCH_CLIPS = 16
GPUS_A_PROCESS = 8


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        planned = measure_plan(Path(folder), options)
        finished = measure_status(Path(folder), options)
    simulated = {
        gpus: in_a_process_of_its_own(load(gpus, a_process, options))
        for gpus, a_process in ((options.gpus, 1), (options.many, GPUS_A_PROCESS))
        if gpus
    }
    report(options, planned, finished, simulated)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=AUDIOSET_CLIPS)
    parser.add_argument("--files", type=int, default=20_000, help="of the clips, in the folder")
    parser.add_argument("--gpus", type=int, default=64, help="simulated, a process each; 0: none")
    parser.add_argument("--many", type=int, default=256, help="simulated, eight a process; 0: none")
    parser.add_argument("--rate", type=float, default=64, help="clips a second, all GPUs together")
    # AudioSet is 3,988 shards of 512 clips: 16 for each of 256 GPUs.
    parser.add_argument("--shards-a-gpu", type=int, default=16)
    parser.add_argument("--shard-s", type=float, default=64, help="model seconds a shard")
    return parser.parse_args()


@dataclass(frozen=True)
class Load:
    """What simulated GPUs have to do: so many shards of so many clips, `clip_s` seconds each."""

    gpus: int
    a_process: int
    shards: int
    shard_clips: int
    clip_s: float


def load(gpus: int, a_process: int, options: argparse.Namespace) -> Load:
    clip_s = gpus / options.rate
    shard_clips = max(1, round(options.shard_s / clip_s))
    return Load(gpus, a_process, gpus * options.shards_a_gpu, shard_clips, clip_s)


# --- planning


def measure_plan(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """`tagscribe plan` on a segment list of AudioSet's size: seconds, and peak memory in GB."""
    write_segments(folder, options.clips, options.files)
    catalog = {
        "kind": "audioset",
        "segments": str(folder / "segments.csv"),
        "audio": str(folder / "audio"),
    }
    (folder / "run.yaml").write_text(json.dumps({"run": str(folder / "run"), "catalog": catalog}))
    begun_s = time.perf_counter()
    process = subprocess.Popen(tagscribe("plan", folder / "run.yaml", "--sample", 0))
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, "planning failed"
    return {"plan_s": time.perf_counter() - begun_s, "plan_gb": usage.ru_maxrss * 1024 / 1e9}


def write_segments(folder: Path, clips: int, files: int) -> None:
    """A segment list as AudioSet publishes it, and empty audio files for the first `files` ids."""
    chance = random.Random(1)
    mids = ontology.labelled_mids()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    audio = folder / "audio"
    audio.mkdir()
    with (folder / "segments.csv").open("w") as out:
        out.write("# Segments csv\n# num_ytids=...\n# YTID, start_seconds, end_seconds, labels\n")
        for index in range(clips):
            # The number stands in the id, so that no two are equal; chance spreads them.
            ytid = "".join(chance.choices(alphabet, k=6)) + _digits(index, alphabet)
            start = chance.randrange(0, 600)
            labels = ",".join(chance.sample(mids, chance.choice((1, 2, 2, 3))))
            out.write(f'{ytid}, {start}.000, {start + 10}.000, "{labels}"\n')
            if index < files:
                (audio / f"{ytid}.flac").touch()


def _digits(number: int, alphabet: str) -> str:
    return "".join(alphabet[number >> shift & 63] for shift in (24, 18, 12, 6, 0))


def tagscribe(*arguments: object) -> list[str]:
    """A command line of this very checkout."""
    start = "from curation.cli.main import main; main()"
    return [sys.executable, "-c", start, *map(str, arguments)]


# --- status


def measure_status(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """`tagscribe status` on the planned run, finished: with its progress/, and without."""
    run_uri = str(folder / "run")
    finish(run_uri)
    with_progress = time_status(run_uri, options.clips)
    shutil.rmtree(layout.progress_uri(run_uri))
    return {"status_s": with_progress, "status_footers_s": time_status(run_uri, options.clips)}


def time_status(run_uri: str, clips: int) -> float:
    begun_s = time.perf_counter()
    finished = subprocess.run(
        tagscribe("status", run_uri, "--json"), stdout=subprocess.PIPE, check=True
    )
    spent_s = time.perf_counter() - begun_s
    answer = json.loads(finished.stdout)
    assert answer["complete"] and answer["clips_done"] == clips and answer["rate"] > 0
    return spent_s


def finish(run_uri: str) -> None:
    """Leave what a finished run leaves, but for the rows: its evidence files hold footers alone."""
    planned = plan.plan_from_record(require_run_record(RunFolder(run_uri)))
    evidence = Path(layout.evidence_uri(run_uri))
    evidence.mkdir()
    chance = random.Random(2)
    for shard in range(planned.shards):
        clips = planned.shard_size(shard)
        failed = chance.randrange(1 + clips // 4)
        scores = sorted(chance.choices(range(-10, 70), k=clips - failed))
        begun_s = 1.7e9 + shard // 64 * 600.0 + chance.random()
        span = run_evidence.WorkSpan(
            "fused", f"{shard % 64:012x}", begun_s, begun_s + chance.uniform(550, 600)
        )
        counts = {
            "ok": clips - failed,
            "errors": {"catalog/missing": failed},
            "best_scores": {score: scores.count(score) for score in set(scores)},
        }
        footer = {
            run_evidence.COUNTS_KEY: json.dumps(counts).encode(),
            run_evidence.WORK_KEY: json.dumps({"spans": [span]}).encode(),
        }
        rows = EVIDENCE_SCHEMA.empty_table().replace_schema_metadata(footer)
        pq.write_table(rows, layout.shard_uri(run_uri, shard))
    footer_cache.FooterCacheWriter(RunFolder(run_uri), planned.shards, []).write_full_parts(
        run_evidence.list_evidence_files(RunFolder(run_uri))
    )
    with driver_state.record_driver_state(RunFolder(run_uri)):
        pass
    table.commit_table(
        Storage(), layout.table_uri(run_uri), PAIR_SCHEMA, list, {"shards": planned.shards}
    )


# --- simulated GPUs


class SeveralGpus:
    """A process that stands for several GPUs: an engine's worker for each, two shards at a time."""

    def __init__(self, config: RunConfig, make_meter: metrics.MeterFactory) -> None:
        gpus = [FusedWorker(config, make_meter) for _ in range(GPUS_A_PROCESS)]
        self._free: queue.SimpleQueue[FusedWorker] = queue.SimpleQueue()
        for gpu in gpus * 2:
            self._free.put(gpu)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        gpu = self._free.get()
        try:
            return gpu(row)
        finally:
            self._free.put(gpu)


def in_a_process_of_its_own(todo: Load) -> dict[str, float]:
    """So that the driver's memory is the driver's."""
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[dict[str, float]] = context.Queue()
    driver = context.Process(target=simulate, args=(todo, results))
    driver.start()
    result = results.get(timeout=3600)
    driver.join()
    return result


def simulate(todo: Load, results: "multiprocessing.Queue[dict[str, float]]") -> None:
    """Annotate on simulated GPUs: how busy they were, and the driver's memory early and late."""
    import ray
    from ray.data import DataContext

    from curation.engine import driver
    from curation.run import catalog_plan

    # What the driver is and shows nothing of: see curation/cluster/session.py.
    os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_BACKEND_LOG_LEVEL": "fatal"}
    with tempfile.TemporaryDirectory() as folder:
        config = waiting_run(Path(folder), todo)
        catalog_plan.create_plan(config)
        ray.init(
            address="local",
            num_cpus=todo.gpus // todo.a_process + 1,
            num_gpus=todo.gpus,
            include_dashboard=False,
            object_store_memory=1 << 28,
            log_to_driver=False,
            _node_ip_address="127.0.0.1",
        )
        # All GPUs begin together, as loading is not what is measured.
        DataContext.get_current().wait_for_min_actors_s = 1800
        memory = Memory()
        worker = SeveralGpus if todo.a_process > 1 else FusedWorker
        counts = driver.annotate_run(config, memory.record_peak, worker)
        ray.shutdown()
        assert counts.ok == todo.shards * todo.shard_clips, counts
        footers = footer_cache.read_footers(
            RunFolder.from_config(config),
            run_evidence.list_evidence_files(RunFolder.from_config(config)),
        ).values()
        spans = [span for footer in footers for span in footer.spans]
    wall_s = max(span.ended_s for span in spans) - min(span.started_s for span in spans)
    results.put(
        {
            "busy": counts.ok * todo.clip_s / (todo.gpus * wall_s),
            "clip_s": todo.clip_s,
            "wall_s": wall_s,
            "clips_s": counts.ok / wall_s,
            "processes": len({span.worker for span in spans}),
            "driver_mb_early": memory.early_mb,
            "driver_mb_late": memory.late_mb,
        }
    )


def waiting_run(folder: Path, todo: Load) -> RunConfig:
    """A run over one short sound, listed as often as there are clips, by models that wait."""
    sounds = folder / "sounds"
    sounds.mkdir()
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, int(SOUND_S * RATE_HZ))
    soundfile.write(sounds / "noise.wav", noise, RATE_HZ)
    clips = todo.shards * todo.shard_clips
    rows = "".join(f"noise.wav,clip{index:07d},Dog;Rain\n" for index in range(clips))
    (folder / "clips.csv").write_text("file,id,tags\n" + rows)
    config = parse_run_config(
        {
            "run": str(folder / "run"),
            "catalog": {
                "kind": "folder",
                "audio": str(sounds),
                "metadata": str(folder / "clips.csv"),
                "id": "id",
            },
            "annotate": {
                "shard_clips": todo.shard_clips,
                "batch_seconds": BATCH_CLIPS * SOUND_S,
                "gpus_per_actor": todo.a_process,
            },
        },
        "scale",
    )
    return config.model_copy(
        update={
            "captioner": WaitingCaptionerConfig(clip_s=0.8 * todo.clip_s),
            "scorer": WaitingScorerConfig(clip_s=0.2 * todo.clip_s),
        }
    )


class Memory:
    """The driver's resident memory: the most up to a quarter of the clips, and the most after."""

    def __init__(self) -> None:
        self.early_mb = 0.0
        self.late_mb = 0.0
        self._lock = threading.Lock()

    def record_peak(self, done: int, total: int) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        mb = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
        with self._lock:
            if done <= total / 4:
                self.early_mb = max(self.early_mb, mb)
            else:
                self.late_mb = max(self.late_mb, mb)


def report(
    options: argparse.Namespace,
    planned: dict[str, float],
    finished: dict[str, float],
    simulated: dict[int, dict[str, float]],
) -> None:
    console.print_table(
        f"{options.clips:,} clips",
        ["", "seconds", "GB"],
        [
            ["plan", f"{planned['plan_s']:.1f}", f"{planned['plan_gb']:.2f}"],
            ["status", f"{finished['status_s']:.2f}", ""],
            ["status, from the footers alone", f"{finished['status_footers_s']:.2f}", ""],
        ],
    )
    console.print_table(
        f"{options.shards_a_gpu} shards a GPU of {options.shard_s:g} s each",
        ["GPUs", "processes", "s a clip", "busy", "clips/s", "driver MB, early", "late"],
        [
            [
                gpus,
                each["processes"],
                f"{each['clip_s']:g}",
                f"{each['busy']:.3f}",
                f"{each['clips_s']:.0f}",
                f"{each['driver_mb_early']:.0f}",
                f"{each['driver_mb_late']:.0f}",
            ]
            for gpus, each in simulated.items()
        ],
    )
    figures = {**planned, **finished, "clips": options.clips}
    for gpus, each in simulated.items():
        figures |= {f"{name}_{gpus}": value for name, value in each.items()}
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    # Workers know this module by its name, so it must not be __main__ that they are handed.
    from benchmarks import scale

    scale.main()
