"""Clips a second of the engine against a bare loop over the same models, batches and threads.

The bare loop is what a user would write without the engine: as many plain processes as the engine
has actors, each with the models loaded, going through its share of the same shards. Both are timed
from the first shard's beginning to the last one's end; start-up is reported apart. They take turns,
so that a machine that slows down slows both.

    python -m benchmarks.engine [--clips 2000] [--rounds 2] [--actors 2]
"""

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path

import torch

from curation import console
from curation.annotate import load, tagging
from curation.annotate.batching import BatchCutter
from curation.annotate.captioning import caption_clips
from curation.annotate.clip import AnnotatedClip, parse_planned_clips
from curation.annotate.rows import build_evidence_table
from curation.annotate.scoring import score_clips
from curation.annotate.task import Task
from curation.annotate.workers import FusedWorker
from curation.cluster import graph, pools, recovery
from curation.cluster.session import ray_session
from curation.config.run import RunConfig
from curation.models.captioners.build import build_captioner
from curation.models.scorers.build import build_scorer
from curation.run import catalog_plan, evidence, plan
from curation.run.config_file import parse_run_config
from curation.run.layout import RunFolder
from curation.run.record import require_run_record
from curation.synth.corpus import write_corpus


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus"
        write_corpus(str(corpus), options.clips, 5, workers=os.cpu_count() or 1, progress=True)
        # The smaller run comes first: the driver's peak memory only ever rises.
        small = engine_run(planned_run(folder, "small", options, clips=options.clips // 4))
        bare, engine = [], []
        for turn in range(options.rounds):
            bare.append(bare_loop(planned_run(folder, f"bare{turn}", options)))
            engine.append(engine_run(planned_run(folder, f"engine{turn}", options)))
            same_evidence(folder, turn)
    report(options, bare, engine, small)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=2, help="turns of each, alternating")
    parser.add_argument("--actors", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--shard-clips", type=int, default=100)
    return parser.parse_args()


def planned_run(
    folder: str, name: str, options: argparse.Namespace, clips: int | None = None
) -> RunConfig:
    """A planned run over the corpus, or over its first `clips` segments."""
    segments = Path(folder) / "corpus" / "segments_noisy.csv"
    if clips:
        lines = segments.read_text().splitlines(keepends=True)
        segments = Path(folder) / f"{name}.csv"
        segments.write_text("".join(lines[: 3 + clips]))
    config = parse_run_config(
        {
            "run": f"{folder}/{name}",
            "catalog": {
                "kind": "audioset",
                "segments": str(segments),
                "audio": f"{folder}/corpus/audio",
            },
            "annotate": {"shard_clips": options.shard_clips, "actors": options.actors},
        },
        name,
    )
    catalog_plan.create_plan(config)
    return config


class Timing(dict[str, float]):
    """`work_s`: first shard's beginning to last one's end; `startup_s`: call to first shard."""


def timing(called_s: float, spans: list[tuple[float, float]], **more: float) -> Timing:
    first = min(started for started, _ in spans)
    last = max(ended for _, ended in spans)
    return Timing(startup_s=first - called_s, work_s=last - first, **more)


def bare_loop(config: RunConfig) -> Timing:
    """Plain processes over the same shards, without Ray."""
    planned = plan.plan_from_record(require_run_record(RunFolder.from_config(config)))
    workers = min(int(config.annotate.actors), planned.shards)
    # As Ray does for its actors; else the decoding threads start OpenMP threads of their own.
    os.environ["OMP_NUM_THREADS"] = str(config.annotate.model_threads)
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(workers)
    shards: multiprocessing.Queue[int] = context.Queue()
    for shard in range(planned.shards):
        shards.put(shard)
    spans: multiprocessing.Queue[tuple[float, float]] = context.Queue()
    called_s = time.time()
    processes = [
        context.Process(target=bare_worker, args=(config, shards, ready, spans))
        for _ in range(workers)
    ]
    for process in processes:
        process.start()
    results = [spans.get(timeout=3600) for _ in range(planned.shards)]
    for process in processes:
        process.join()
    return timing(called_s, results)


def bare_worker(
    config: RunConfig,
    shards: "multiprocessing.Queue[int]",
    ready: Barrier,
    spans: "multiprocessing.Queue[tuple[float, float]]",
) -> None:
    """The loop itself: decode ahead with threads, caption, score, write."""
    torch.set_num_threads(config.annotate.model_threads)
    captioner, scorer = build_captioner(config.captioner), build_scorer(config.scorer)
    captioner.setup()
    scorer.setup()
    rates = tuple(sorted({captioner.sample_rate_hz, scorer.sample_rate_hz}))
    settings = load.DecodeSettings(config.audio, rates)
    run = RunFolder.from_config(config)
    loader = load.AudioLoader(settings, run.storage, config.annotate.decode_threads)
    cutter = BatchCutter(captioner.sample_rate_hz, config.annotate.batch_seconds)

    def annotate(batch: list[AnnotatedClip]) -> list[AnnotatedClip]:
        least = config.captioner.min_confidence
        guided = [tagging.add_guidance(clip, least) for clip in batch]
        return score_clips(scorer, caption_clips(captioner, guided, config.seed))

    ready.wait()
    while True:
        try:
            shard = shards.get(timeout=0.2)
        except Exception:  # queue.Empty: all shards are taken
            return
        started_s = time.time()
        planned = parse_planned_clips(plan.read_plan_shard(run, shard))
        clips: list[AnnotatedClip] = []
        for loaded in load.load_chunks_ahead(planned, loader):
            chunk = cutter.cut(loaded).map_batches(annotate)
            clips += [clip.without_audio() for clip in chunk.clips]
            del loaded, chunk
        evidence.write_evidence_shard(run, shard, build_evidence_table(clips))
        spans.put((started_s, time.time()))


def engine_run(config: RunConfig, worker: type[FusedWorker] = FusedWorker) -> Timing:
    """The engine over the same shards; its Ray is started and stopped within."""
    planned = plan.plan_from_record(require_run_record(RunFolder.from_config(config)))
    called_s = time.time()
    with ray_session("local", pools.count_cpus_needed(config.annotate)):
        tasks = [Task(n, 0, planned.shard_size(n)) for n in range(planned.shards)]
        results = list(graph.run_tasks(config, tasks, recovery.LIMITS, worker))
        store_mb = object_store_mb()
    failed = [result.error for result in results if result.error]
    assert not failed and len(results) == planned.shards, failed
    spans = [(result.started_s, result.ended_s) for result in results]
    driver_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return timing(called_s, spans, store_mb=store_mb, driver_mb=driver_mb)


def object_store_mb() -> float:
    """Object store pages touched so far, in MB: the shared memory of this run's raylet."""
    for status in Path("/proc").glob("[0-9]*/status"):
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        if fields["Name"].strip() == "raylet" and int(fields["PPid"]) == os.getpid():
            return int(fields["RssShmem"].split()[0]) / 1024
    raise RuntimeError("no raylet among the children of this process")


def same_evidence(folder: str, turn: int) -> None:
    """Engine and bare loop did the same work: their evidence is equal, row for row."""
    bare, engine = f"{folder}/bare{turn}", f"{folder}/engine{turn}"
    shards = evidence.list_done_shards(RunFolder(bare))
    assert shards == evidence.list_done_shards(RunFolder(engine))
    for shard in shards:
        assert evidence.read_evidence_shard(RunFolder(bare), shard).equals(
            evidence.read_evidence_shard(RunFolder(engine), shard)
        ), shard


def report(
    options: argparse.Namespace, bare: list[Timing], engine: list[Timing], small: Timing
) -> None:
    bare_rate = options.clips / statistics.median(each["work_s"] for each in bare)
    engine_rate = options.clips / statistics.median(each["work_s"] for each in engine)
    rows = [
        ["bare loop", f"{bare_rate:.1f}", f"{bare[-1]['startup_s']:.1f}", "", ""],
        [
            "engine",
            f"{engine_rate:.1f}",
            f"{engine[-1]['startup_s']:.1f}",
            f"{engine[0]['driver_mb']:.0f}",
            f"{engine[-1]['store_mb']:.2f}",
        ],
        [
            f"engine, {options.clips // 4} clips",
            f"{options.clips // 4 / small['work_s']:.1f}",
            f"{small['startup_s']:.1f}",
            f"{small['driver_mb']:.0f}",
            f"{small['store_mb']:.2f}",
        ],
    ]
    console.print_table(
        f"{options.clips} clips, {options.actors} workers, {options.rounds} turns each",
        ["", "clips/s", "start-up s", "driver MB", "object store MB"],
        rows,
    )
    print(
        json.dumps(
            {
                "ratio": round(engine_rate / bare_rate, 3),
                "engine_clips_s": round(engine_rate, 1),
                "bare_clips_s": round(bare_rate, 1),
                "engine_startup_s": round(engine[-1]["startup_s"], 1),
                "bare_startup_s": round(bare[-1]["startup_s"], 1),
                "driver_mb": round(engine[0]["driver_mb"]),
                "driver_mb_quarter": round(small["driver_mb"]),
                "store_mb": round(engine[-1]["store_mb"], 2),
                "store_mb_quarter": round(small["store_mb"], 2),
                "clips": options.clips,
                "actors": options.actors,
            }
        )
    )


if __name__ == "__main__":
    main()
