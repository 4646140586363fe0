"""What a clip costs in each stage of a worker: CPU time of one process with one model thread.

CPU time, so that other work on the machine counts less than it does in wall time; it still shares
caches and clock with it, so compare runs that took turns.

    python -m benchmarks.common.stage_costs [--clips 1000] [--shard-clips 250]
"""

import argparse
import json
import os
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

# Before torch is imported, which starts a thread a core; as Ray does for its actors.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from curation import console
from curation.annotate import load, metrics, pipeline, workers
from curation.annotate.task import Task
from curation.config.run import RunConfig
from curation.run import catalog_plan
from curation.run.config_file import parse_run_config
from curation.synth.corpus import write_corpus

# By the methods of a captioner and a scorer; a method within another one is counted once.
_CAPTIONER = {
    "compute_features": "log-mel",
    "encode": "captioner encoder",
    "encode_features": "captioner encoder",
    "caption": "writing",
    "write": "writing",
}
_SCORER = {
    "compute_features": "log-mel",
    "embed_audio": "audio embedding",
    "embed_features": "audio embedding",
    "embed_text": "text embedding",
}
STAGES = (
    "read",
    "decode",
    "log-mel",
    "captioner encoder",
    "writing",
    "audio embedding",
    "text embedding",
    "rows and evidence",
    "other",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--shard-clips", type=int, default=250)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_corpus(f"{folder}/corpus", options.clips, 5, workers=os.cpu_count() or 1)
        costs = measure_stage_costs(corpus_config(folder, options.shard_clips))
    console.print_table(
        f"CPU of a clip, built-in models, {options.clips} clips",
        ["stage", "ms"],
        [[stage, f"{ms:.2f}"] for stage, ms in costs.items()],
    )
    print(json.dumps({stage: round(ms, 2) for stage, ms in costs.items()}))


def corpus_config(folder: str, shard_clips: int) -> RunConfig:
    """A run with the built-in models over the procedural corpus in `folder`/corpus."""
    catalog = {
        "kind": "audioset",
        "segments": f"{folder}/corpus/segments_noisy.csv",
        "audio": f"{folder}/corpus/audio",
    }
    annotate = {"shard_clips": shard_clips}
    return parse_run_config(
        {"run": f"{folder}/run", "catalog": catalog, "annotate": annotate}, "stage costs"
    )


def measure_stage_costs(config: RunConfig) -> dict[str, float]:
    """Milliseconds of CPU a clip, by stage of STAGES and in all under "total".

    The run is planned and annotated in this process by the worker of placement fused. Its first
    shard warms up and is not counted, so it needs two or more.
    """
    planned, _ = catalog_plan.create_plan(config)
    worker = workers.FusedWorker(config, metrics.InMemoryMeter)
    first, *counted = [Task(shard, planned.shard_size(shard)) for shard in range(planned.shards)]
    annotate_shard(worker, first)
    clock = StageClock()
    with clock.timed_stages(worker):
        started_s = time.process_time()
        for task in counted:
            annotate_shard(worker, task)
        total_s = time.process_time() - started_s
    spent = {**clock.spent_s, "other": total_s - sum(clock.spent_s.values()), "total": total_s}
    clips = sum(task.clip_count for task in counted)
    return {stage: 1e3 * spent.get(stage, 0.0) / clips for stage in (*STAGES, "total")}


def annotate_shard(worker: workers.FusedWorker, task: Task) -> None:
    error = worker({"task": task.to_json()})["error"]
    assert not error, error


class StageClock:
    """CPU seconds of functions by the stage that they belong to, without functions within them."""

    def __init__(self) -> None:
        self.spent_s: defaultdict[str, float] = defaultdict(float)
        self._lock = threading.Lock()
        # For each function that this thread is in: the seconds of timed functions within it.
        self._local = threading.local()

    @contextmanager
    def timed_stages(self, worker: workers.FusedWorker) -> Iterator[None]:
        """Time the stages of a worker within a `with` block."""
        adapters = worker.models.adapters
        functions: list[tuple[Any, str, str]] = [
            (load, "read_clip", "read"),
            (load, "decode_clip", "decode"),
            (pipeline, "build_evidence_table", "rows and evidence"),
            (workers, "write_evidence", "rows and evidence"),
        ]
        for adapter, methods in ((adapters.captioner, _CAPTIONER), (adapters.scorer, _SCORER)):
            kind = type(adapter)
            functions += [(kind, name, methods[name]) for name in methods if hasattr(kind, name)]
        with ExitStack() as stack:
            for owner, name, stage in functions:
                original = getattr(owner, name)
                setattr(owner, name, self._timed(original, stage))
                stack.callback(setattr, owner, name, original)
            yield

    def _timed(self, function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            within: list[float] = self._local.__dict__.setdefault("within", [])
            within.append(0.0)
            started_s = time.thread_time()
            try:
                return function(*args, **options)
            finally:
                spent_s = time.thread_time() - started_s
                own_s = spent_s - within.pop()
                if within:
                    within[-1] += spent_s
                with self._lock:
                    self.spent_s[stage] += own_s

        return call


if __name__ == "__main__":
    main()
