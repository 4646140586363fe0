"""The engine against a bare loop over the same models, batches and threads, as whole commands.

The bare loop (`benchmarks/common/bare_loop.py`) is what a user would write without the engine. All
go through the same clips, take turns, so that a machine that slows down slows each, and must write
the same rows. *steady* is the speed while every worker has a shard; *whole* is the command,
`tagscribe run` with planning and selection; *ten clips* is a whole command too. A ratio is the
median over the turns, each turn's engine against the same turn's bare loop.

    python -m benchmarks.engine [--clips 2000] [--rounds 2] [--actors 2] [--cluster local ray]
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.common.process_tree import CommandCost, measure_command
from benchmarks.common.shard_times import measure_steady_rate, read_shard_times
from curation import console
from curation.run import evidence
from curation.run.layout import RunFolder
from curation.run.plan import plan_from_record
from curation.run.record import require_run_record
from curation.synth.corpus import write_corpus

BARE = "bare loop"
FEW_CLIPS = 10


@dataclass(frozen=True)
class Measured:
    """One command: what it cost as a whole, and its steady state in clips a second."""

    cost: CommandCost
    clips_s: float
    startup_s: float  # from the command's start to the first shard's
    shard_clips: int


def main() -> None:
    options = parse_arguments()
    many, few = measure_all(options)
    print_report(options, many, few)
    print(json.dumps(build_figures(options, many, few)))


def measure_all(
    options: argparse.Namespace,
) -> tuple[dict[str, list[Measured]], dict[str, list[Measured]]]:
    """All turns over many clips and over few, by what ran them."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus"
        write_corpus(str(corpus), options.clips, 5, workers=os.cpu_count() or 1, progress=True)
        many: dict[str, list[Measured]] = {}
        few: dict[str, list[Measured]] = {}
        for turn in range(options.rounds):
            run_turn(folder, f"many{turn}", options, options.clips, many)
            run_turn(folder, f"few{turn}", options, FEW_CLIPS, few)
    return many, few


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=2, help="turns of each, alternating")
    parser.add_argument("--actors", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--shard-clips", type=int, help="by default as the plan chooses")
    parser.add_argument("--cluster", nargs="+", choices=["local", "ray"], default=["local", "ray"])
    return parser.parse_args()


def run_turn(
    folder: str, name: str, options: argparse.Namespace, clips: int, results: dict
) -> None:
    """The engine under each executor, then the bare loop over its shards; rows must be equal."""
    for cluster in options.cluster:
        measured = run_engine(write_yaml(folder, f"{name}-{cluster}", options, clips, cluster))
        results.setdefault(cluster, []).append(measured)
    path = write_yaml(folder, f"{name}-bare", options, clips, "local")
    shard_clips = results[options.cluster[0]][-1].shard_clips
    results.setdefault(BARE, []).append(run_bare(path, shard_clips, options.actors))
    for cluster in options.cluster:
        require_same_rows(Path(folder) / f"{name}-{cluster}", Path(folder) / f"{name}-bare")


def write_yaml(
    folder: str, name: str, options: argparse.Namespace, clips: int, cluster: str
) -> Path:
    """The configuration of a run over the first `clips` segments of the corpus."""
    segments = Path(folder) / f"{name}.csv"
    lines = (Path(folder) / "corpus" / "segments_noisy.csv").read_text().splitlines(keepends=True)
    segments.write_text("".join(lines[: 3 + clips]))
    settings = {
        "run": f"{folder}/{name}",
        "cluster": cluster,
        "catalog": {
            "kind": "audioset",
            "segments": str(segments),
            "audio": f"{folder}/corpus/audio",
        },
        "annotate": {
            "actors": options.actors,
            "shard_clips": min(clips, options.shard_clips) if options.shard_clips else "auto",
        },
        "select": {"top_fraction": 0.5},
    }
    path = Path(folder) / f"{name}.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def run_engine(path: Path) -> Measured:
    """`tagscribe run` of a YAML."""
    started_s = time.time()
    command = [str(Path(sys.executable).parent / "tagscribe"), "run", str(path), "--quiet"]
    cost = measure_command(command)
    run = RunFolder(str(path.with_suffix("")))
    plan = plan_from_record(require_run_record(run))
    times = read_shard_times(run)
    return measure(cost, times, started_s, plan.clips, plan.shard_clips)


def run_bare(path: Path, shard_clips: int, workers: int) -> Measured:
    """The bare loop over the clips of a YAML."""
    started_s = time.time()
    command = [sys.executable, "-m", "benchmarks.common.bare_loop", str(path)]
    options = ["--shard-clips", str(shard_clips), "--workers", str(workers)]
    cost = measure_command([*command, *options])
    rows = sum(table.num_rows for table in read_rows(path.with_suffix("")))
    return measure(cost, json.loads(cost.stdout), started_s, rows, shard_clips)


def measure(
    cost: CommandCost,
    times: Sequence[tuple[float, float]],
    started_s: float,
    clips: int,
    shard_clips: int,
) -> Measured:
    startup_s = min(start for start, _ in times) - started_s
    return Measured(cost, measure_steady_rate(times, clips), startup_s, shard_clips)


def read_rows(folder: Path) -> list:
    run = RunFolder(str(folder))
    return list(evidence.read_evidence_shards(run, evidence.list_done_shards(run)))


def require_same_rows(engine: Path, bare: Path) -> None:
    """Both did the same work: their evidence is equal, row for row, bit for bit."""
    expected, found = read_rows(bare), read_rows(engine)
    assert len(expected) == len(found)
    for shard, (one, other) in enumerate(zip(expected, found, strict=True)):
        assert one.equals(other), f"{engine.name}, shard {shard}"


def print_report(
    options: argparse.Namespace, many: dict[str, list[Measured]], few: dict[str, list[Measured]]
) -> None:
    """The table of the turns' medians."""
    rows = []
    for name in [BARE, *options.cluster]:
        rows.append(
            [
                name if name == BARE else f"engine, cluster: {name}",
                f"{median_of(many[name], 'clips_s'):.1f}",
                f"{median_of(many[name], 'startup_s'):.1f}",
                f"{median_wall(many[name]):.1f}",
                f"{median_wall(few[name]):.1f}",
                f"{1000 * median_cpu(many[name]) / options.clips:.1f}",
                f"{max(each.cost.peak_mb for each in many[name]):.0f}",
            ]
        )
    console.print_table(
        f"{options.clips} clips, {options.actors} workers, {options.rounds} turns each",
        ["", "steady clips/s", "start-up s", "whole s", "ten clips s", "CPU ms a clip", "peak MB"],
        rows,
    )


def build_figures(
    options: argparse.Namespace, many: dict[str, list[Measured]], few: dict[str, list[Measured]]
) -> dict[str, float]:
    """The figures by their names in the line of JSON."""
    result: dict[str, float] = {"clips": options.clips, "actors": options.actors}
    for name in options.cluster:
        prefix = "" if name == "local" else f"{name}_"
        result |= {
            f"{prefix}{key}": value
            for key, value in compare(many, few, name, options.clips).items()
        }
    result["bare_clips_s"] = round(median_of(many[BARE], "clips_s"), 1)
    result["bare_startup_s"] = round(median_of(many[BARE], "startup_s"), 1)
    result["bare_peak_mb"] = round(max(each.cost.peak_mb for each in many[BARE]))
    result["bare_peak_rss_mb"] = round(max(each.cost.peak_rss_mb for each in many[BARE]))
    return result


def compare(
    many: dict[str, list[Measured]], few: dict[str, list[Measured]], name: str, clips: int
) -> dict[str, float]:
    """Ratios of an executor to the bare loop: above 1 is faster for `ratio`, slower elsewhere."""
    return {
        "ratio": median_ratio(many[name], many[BARE], lambda each: each.clips_s),
        "whole_ratio": median_ratio(many[name], many[BARE], lambda each: each.cost.wall_s),
        "first_result": median_ratio(few[name], few[BARE], lambda each: each.cost.wall_s),
        "engine_clips_s": round(median_of(many[name], "clips_s"), 1),
        "engine_startup_s": round(median_of(many[name], "startup_s"), 1),
        "cpu_ms_clip": round(1000 * median_cpu(many[name]) / clips, 1),
        "peak_mb": round(max(each.cost.peak_mb for each in many[name])),
        "peak_rss_mb": round(max(each.cost.peak_rss_mb for each in many[name])),
    }


def median_ratio(
    engine: Sequence[Measured], bare: Sequence[Measured], value: Callable[[Measured], float]
) -> float:
    """The median over the turns of the engine's value divided by the bare loop's."""
    turns = zip(engine, bare, strict=True)
    return round(statistics.median(value(one) / value(other) for one, other in turns), 3)


def median_of(measured: Sequence[Measured], field: str) -> float:
    return statistics.median(getattr(each, field) for each in measured)


def median_wall(measured: Sequence[Measured]) -> float:
    return statistics.median(each.cost.wall_s for each in measured)


def median_cpu(measured: Sequence[Measured]) -> float:
    return statistics.median(each.cost.cpu_s for each in measured)


if __name__ == "__main__":
    main()
