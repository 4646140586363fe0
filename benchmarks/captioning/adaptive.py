"""Adaptive drawing in turns with all candidates for all, by one worker, files to scores."""

import statistics
import time
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from curation import console
from curation.annotate import metrics
from curation.annotate.clip import AnnotatedClip, parse_planned_clips
from curation.annotate.scoring import best_score
from curation.annotate.workers import FusedWorker
from curation.config.run import AdaptiveConfig, RunConfig
from curation.run import plan
from curation.run.layout import RunFolder

YIELDS = (0.9, 0.7, 0.5)


class AdaptiveRun(NamedTuple):
    """A run's clips after all stages, and what that took."""

    clips: list[AnnotatedClip]
    seconds: float

    @property
    def candidates(self) -> float:
        """Captions kept a clip."""
        return statistics.mean(len(clip.candidates) for clip in self.clips)

    def accepted(self, score: float) -> set[str]:
        return {clip.clip_id for clip in self.clips if best_score(clip) >= score}


def against_fixed(config: RunConfig, rounds: int) -> dict[str, Any]:
    """Time adaptive drawing at every yield against all candidates for all, round by round."""
    rows = plan.read_plan_shard(RunFolder.from_config(config), 0)
    workers = {"fixed": FusedWorker(config, metrics.InMemoryMeter)}
    whole = run_worker(workers["fixed"], rows)
    best = [best_score(clip) for clip in whole.clips]
    scores = {f"{share:g}": float(np.quantile(best, 1 - share)) for share in YIELDS}
    for share, score in scores.items():
        adaptive = AdaptiveConfig(first=1, enough_score=score)
        workers[share] = FusedWorker(
            config.model_copy(update={"adaptive": adaptive}), metrics.InMemoryMeter
        )
        figures = run_worker(workers[share], rows)
        assert figures.accepted(score) == whole.accepted(score), share
    turns = [
        {name: run_worker(workers[name], rows) for name in order}
        for order in (list(workers)[:: 1 - 2 * (turn % 2)] for turn in range(rounds))
    ]
    return print_adaptive(turns)


def run_worker(worker: FusedWorker, rows: pa.Table) -> AdaptiveRun:
    begun_s = time.perf_counter()
    clips = worker.run(parse_planned_clips(rows))
    return AdaptiveRun(clips, time.perf_counter() - begun_s)


def print_adaptive(turns: list[dict[str, AdaptiveRun]]) -> dict[str, Any]:
    seconds = {name: statistics.median(turn[name].seconds for turn in turns) for name in turns[0]}
    speedup = {
        name: statistics.median(turn["fixed"].seconds / turn[name].seconds for turn in turns)
        for name in turns[0]
        if name != "fixed"
    }
    clips = len(turns[0]["fixed"].clips)
    console.print_table(
        "from files to scores, one worker; both accept the same clips",
        ["", "clips/s", "captions a clip", "times fixed"],
        [
            [
                name if name == "fixed" else f"adaptive, {name} accepted",
                f"{clips / seconds[name]:.1f}",
                f"{turns[0][name].candidates:.2f}",
                f"{speedup.get(name, 1.0):.2f}",
            ]
            for name in seconds
        ],
    )
    figures = {f"adaptive_speedup_at_{name}": round(each, 3) for name, each in speedup.items()}
    return {"adaptive_speedup": figures[f"adaptive_speedup_at_{YIELDS[0]:g}"], **figures}
