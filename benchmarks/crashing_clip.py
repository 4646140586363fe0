"""What one clip that kills its worker costs a run, under each executor.

The same clips are annotated with and without a sound at which the decoder aborts, in turns, so that
a machine that slows down slows both. The clip must come out as one error row, and no other.

    python -m benchmarks.crashing_clip [--clips 2000] [--actors 2] [--cluster local ray]
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from curation import console
from curation.engine import driver
from curation.run import catalog_plan
from curation.run.config_file import parse_run_config
from curation.synth.corpus import write_corpus
from tests.fake_workers import ABORTING_SOUND, AbortingWorker


def main() -> None:
    options = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus"
        write_corpus(str(corpus), options.clips, 5, workers=os.cpu_count() or 1, progress=True)
        sounds = sorted((corpus / "audio").iterdir())
        victim = sounds[len(sounds) // 3]
        whole = victim.read_bytes()
        seconds: dict[str, tuple[float, float]] = {}
        for cluster in options.cluster:
            calm_s = annotate(folder, f"calm-{cluster}", options, cluster, errors={})
            victim.write_bytes(ABORTING_SOUND)
            crashing = {"worker/killed_worker": 1}
            crashing_s = annotate(folder, f"crash-{cluster}", options, cluster, errors=crashing)
            victim.write_bytes(whole)
            seconds[cluster] = calm_s, crashing_s
    report(options, seconds)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--actors", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--cluster", nargs="+", choices=["local", "ray"], default=["local", "ray"])
    return parser.parse_args()


def annotate(
    folder: str, name: str, options: argparse.Namespace, cluster: str, errors: dict[str, int]
) -> float:
    """Seconds that annotating all clips takes; they must end with these errors."""
    settings = {
        "run": f"{folder}/{name}",
        "cluster": cluster,
        "catalog": {
            "kind": "audioset",
            "segments": f"{folder}/corpus/segments_noisy.csv",
            "audio": f"{folder}/corpus/audio",
        },
        "annotate": {"actors": options.actors},
    }
    config = parse_run_config(settings, name)
    catalog_plan.create_plan(config)
    started_s = time.perf_counter()
    with console.show_progress(name, "clips") as update:
        counts = driver.annotate_run(config, update, AbortingWorker)
    elapsed_s = time.perf_counter() - started_s
    assert counts.errors == errors, counts
    assert counts.clips == options.clips
    return elapsed_s


def report(options: argparse.Namespace, seconds: dict[str, tuple[float, float]]) -> None:
    rows = [
        [f"cluster: {cluster}", f"{calm_s:.1f}", f"{crashing_s:.1f}", f"{crashing_s - calm_s:.1f}"]
        for cluster, (calm_s, crashing_s) in seconds.items()
    ]
    columns = ["", "without s", "with s", "cost s"]
    console.print_table(
        f"One clip of {options.clips} kills its worker, {options.actors} workers", columns, rows
    )
    costs = {
        f"{cluster}_cost_s": round(after - calm, 1) for cluster, (calm, after) in seconds.items()
    }
    print(json.dumps({**costs, "clips": options.clips, "actors": options.actors}))


if __name__ == "__main__":
    main()
