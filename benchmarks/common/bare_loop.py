"""What a user would write without the engine: plain processes, each with the models, over shards.

It does the same work as the engine with the same batches and threads, and recovers from nothing:
lists the clips, decodes ahead, captions, scores, writes a file a shard, and keeps the better half.
"""

import argparse
import json
import multiprocessing
import os
import queue
import time
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curation.catalog.catalog import list_clips
from curation.config.run import RunConfig
from curation.run.config_file import read_run_config
from curation.run.layout import RunFolder

Shards = dict[int, tuple[int, int]]


@dataclass(frozen=True)
class BareSettings:
    """The run whose work is done, and how it is cut."""

    config: RunConfig
    shard_clips: int
    workers: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("yaml", help="the run.yaml whose work is done")
    parser.add_argument("--shard-clips", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    options = parser.parse_args()
    config = read_run_config(options.yaml)
    spans = run_bare_loop(BareSettings(config, options.shard_clips, options.workers))
    keep_better_half(config.run)
    print(json.dumps(spans))


def run_bare_loop(settings: BareSettings) -> list[tuple[float, float]]:
    """Write the evidence of all clips; start and end of each shard in Unix time."""
    config = settings.config
    clips = list_clips(RunFolder.from_config(config).storage, config.catalog).clips
    # As the engine does for its workers; else decoding threads start OpenMP threads of their own.
    os.environ["OMP_NUM_THREADS"] = str(config.annotate.model_threads)
    context = multiprocessing.get_context("spawn")
    shards: Any = context.Queue()
    spans: Any = context.Queue()
    count = -(-clips.num_rows // settings.shard_clips)
    for shard in range(count):
        shards.put((shard, clips.slice(shard * settings.shard_clips, settings.shard_clips)))
    processes = [
        context.Process(target=run_bare_worker, args=(config, shards, spans))
        for _ in range(min(settings.workers, count))
    ]
    for process in processes:
        process.start()
    results = [spans.get(timeout=3600) for _ in range(count)]
    for process in processes:
        process.join()
    return results


def run_bare_worker(config: RunConfig, shards: Any, spans: Any) -> None:
    """The loop itself: decode ahead with threads, caption, score, write."""
    import torch

    from curation.annotate import load, tagging
    from curation.annotate.batching import BatchCutter
    from curation.annotate.captioning import caption_clips
    from curation.annotate.clip import AnnotatedClip, parse_planned_clips
    from curation.annotate.rows import build_evidence_table
    from curation.annotate.scoring import score_clips
    from curation.models.captioners.build import build_captioner
    from curation.models.scorers.build import build_scorer
    from curation.run import evidence

    torch.set_num_threads(config.annotate.model_threads)
    captioner, scorer = build_captioner(config.captioner), build_scorer(config.scorer)
    captioner.setup()
    scorer.setup()
    rates = tuple(sorted({captioner.sample_rate_hz, scorer.sample_rate_hz}))
    settings = load.DecodeSettings(config.audio, rates)
    run = RunFolder.from_config(config)
    loader = load.AudioLoader(settings, run.storage, config.annotate.decode_threads)
    cutter = BatchCutter(captioner.sample_rate_hz, config.batch_seconds)

    def annotate(batch: list[AnnotatedClip]) -> list[AnnotatedClip]:
        least = config.captioner.min_confidence
        guided = [tagging.add_guidance(clip, least) for clip in batch]
        return score_clips(scorer, caption_clips(captioner, guided, config.seed))

    while True:
        try:
            shard, listed = shards.get(timeout=0.2)
        except queue.Empty:  # all shards are taken
            return
        started_s = time.time()
        clips: list[AnnotatedClip] = []
        for loaded in load.load_chunks_ahead(parse_planned_clips(listed), loader):
            chunk = cutter.cut(loaded).map_batches(annotate)
            clips += [clip.without_audio() for clip in chunk.clips]
            del loaded, chunk
        evidence.write_evidence_shard(run, shard, build_evidence_table(clips))
        spans.put((started_s, time.time()))


def keep_better_half(run: str) -> None:
    """Write the better half of the clips with their best captions to one Parquet file."""
    rows = pq.read_table(f"{run}/evidence", columns=["clip_id", "candidates"]).to_pylist()
    best = [
        {"clip_id": row["clip_id"], **max(row["candidates"], key=lambda each: each["clap_score"])}
        for row in rows
        if row["candidates"]
    ]
    best.sort(key=lambda pair: -pair["clap_score"])
    pq.write_table(pa.Table.from_pylist(best[: len(best) // 2]), f"{run}/pairs.parquet")


if __name__ == "__main__":
    main()
