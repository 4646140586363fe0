"""The engine's figures in a few minutes, beside those of the last run, so that a slow-down shows.

Start-up, ratio to the bare loop, peak memory (`benchmarks.engine` over few clips, local processes),
and milliseconds of CPU a clip by stage (`benchmarks.common.stage_costs`). The figures of the last
run on this machine are in runs/bench/quick.json, and are replaced; `--keep` leaves them.

    python -m benchmarks.quick [--clips 600] [--keep]
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

from benchmarks import engine
from benchmarks.common.stage_costs import corpus_config, measure_stage_costs
from curation import console
from curation.run.code_version import format_code_version, read_code_version
from curation.synth.corpus import write_corpus

LAST = Path("runs/bench/quick.json")
# Figures that are better when they are higher; of all others lower is better.
HIGHER_IS_BETTER = {"ratio", "engine_clips_s", "bare_clips_s"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=600)
    parser.add_argument("--keep", action="store_true", help="keep the figures of the last run")
    options = parser.parse_args()
    figures = measure_figures(options.clips)
    last = json.loads(LAST.read_text()) if LAST.exists() else {"figures": {}}
    print_beside(last, figures)
    now = {"code": format_code_version(read_code_version()), "figures": figures}
    if not options.keep:
        LAST.parent.mkdir(parents=True, exist_ok=True)
        LAST.write_text(json.dumps(now, indent=2) + "\n")
    print(json.dumps(figures))


def measure_figures(clips: int) -> dict[str, float]:
    """The figures by name; those of stages are CPU milliseconds a clip."""
    settings = argparse.Namespace(
        clips=clips, rounds=1, actors=os.cpu_count() or 1, cluster=["local"], shard_clips=None
    )
    many, few = engine.measure_all(settings)
    figures = engine.build_figures(settings, many, few)
    with tempfile.TemporaryDirectory() as folder:
        write_corpus(f"{folder}/corpus", clips, 5, workers=os.cpu_count() or 1)
        costs = measure_stage_costs(corpus_config(folder, shard_clips=max(1, clips // 4)))
    return figures | {f"{stage} ms": round(cost, 2) for stage, cost in costs.items()}


def print_beside(last: dict, figures: dict[str, float]) -> None:
    """A table of last and new figures; a change for the worse of more than a tenth is marked."""
    rows = []
    for name, value in figures.items():
        before = last["figures"].get(name)
        rows.append(
            [name, "" if before is None else before, value, describe_change(name, before, value)]
        )
    code = last.get("code", "none")
    console.print_table(f"Last run: {code}", ["", "last", "now", "change"], rows)


def describe_change(name: str, before: float | None, now: float) -> str:
    """The relative change; marked where it is for the worse by more than a tenth."""
    if not before:
        return ""
    change = now / before - 1
    worse = -change if name in HIGHER_IS_BETTER else change
    return f"{change:+.0%}" + (" worse" if worse > 0.1 else "")


if __name__ == "__main__":
    main()
