"""Compares what two revisions of this repository write for the same input.

Each revision runs the demo at seed 1 (three runs) and the ESC-10 example, in processes of its own
and with the packages of this environment. The rows of evidence, decisions and table must be equal,
in order: every caption, float, tag and reason, and the stage and kind of each error.
`renamed.json` maps the names of the older revision to those of the newer one. Not compared: the
wording of messages,
`run.json`, lineage, hashes (an Ogg file gets a random serial number) and Parquet footers.

    python -m tests.compare_revisions OLD [NEW]
"""

import argparse
import io
import json
import math
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from deltalake import DeltaTable

from tests.support.paths import REPOSITORY

RENAMED = json.loads((Path(__file__).parent / "renamed.json").read_text())
RUNS = ("demo", "demo/compare/none", "demo/compare/true", "esc10")
TABLE_ORDER = ("clip_id", "rank")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", help="revision before the change, such as HEAD~20")
    parser.add_argument("new", nargs="?", help="revision after it; without: the working tree")
    parser.add_argument("--seed", type=int, default=1, help="seed of the demo's corpus")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        old = run_revision(options.old, Path(folder) / "old", options.seed)
        new = run_revision(options.new, Path(folder) / "new", options.seed)
        runs = [run for run in RUNS if (old / run).is_dir()]
        differences = [line for run in runs for line in compare_runs(old / run, new / run)]
        counts = {run: len(read_evidence(old / run)) for run in runs}
    for line in differences[:50]:
        print(line)
    skipped = [run for run in RUNS if run not in runs]
    print(f"clips compared: {counts}" + (f"; not run, no recordings: {skipped}" if skipped else ""))
    print(f"{len(differences)} differences")
    sys.exit(1 if differences else 0)


def run_revision(revision: str | None, folder: Path, seed: int) -> Path:
    """Run the demo and the ESC-10 example with the code of a revision; the folder of the runs."""
    source, runs = folder / "source", folder / "runs"
    runs.mkdir(parents=True)
    if revision is None:
        source = REPOSITORY
    else:
        archive = subprocess.run(
            ["git", "-C", REPOSITORY, "archive", revision], check=True, capture_output=True
        ).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(source, filter="data")
    call(source, "demo", "--out", runs / "demo", "--seed", seed, "--quiet")
    recordings = REPOSITORY / "../shared/data/esc10"
    if recordings.is_dir():
        example = (source / "examples/esc10.yaml").read_text()
        example = example.replace("../shared/data/esc10", str(recordings.resolve()))
        yaml = folder / "esc10.yaml"
        yaml.write_text(re.sub(r"(?m)^run: .*$", f"run: {runs / 'esc10'}", example))
        call(source, "run", yaml, "--quiet")
    return runs


def call(source: Path, *arguments: object) -> None:
    """The `tagscribe` command of the code in `source`."""
    entry = re.search(r'(?m)^tagscribe = "([\w.]+):main"$', (source / "pyproject.toml").read_text())
    assert entry, f"{source}/pyproject.toml names no tagscribe command"
    code = f"from {entry[1]} import main; main()"
    subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=source,
        env={**os.environ, "PYTHONPATH": str(source)},
        check=True,
        stdout=subprocess.DEVNULL,
    )


def compare_runs(old: Path, new: Path) -> Iterator[str]:
    """A line for each difference between two run folders."""
    for part, read in (
        ("evidence", read_evidence),
        ("decisions", read_decisions),
        ("table", read_table),
    ):
        before = [renamed(row) for row in read(old)]
        after = read(new)
        if not before:
            yield f"{old.name} {part}: the older revision wrote no rows"
        if len(before) != len(after):
            yield f"{old.name} {part}: {len(before)} rows became {len(after)}"
        for number, (row, other) in enumerate(zip(before, after, strict=False)):
            yield from differences(row, other, f"{old.name} {part} row {number}")


def read_evidence(run: Path) -> list[dict[str, Any]]:
    """The rows of a run's evidence, in the order of its shards, without what is exempt."""
    rows = read_rows(run, sorted((run / "evidence").glob("*.parquet")))
    for row in rows:
        row.pop("audio_sha256")
        if row["error"]:
            row["error"].pop("message")
    return rows


def read_decisions(run: Path) -> list[dict[str, Any]]:
    return read_rows(run, sorted((run / "decisions").glob("*.parquet")))


def read_table(run: Path) -> list[dict[str, Any]]:
    # The order of a Delta table's files is not defined.
    rows = read_rows(run, DeltaTable(run / "table").file_uris())
    return sorted(rows, key=lambda row: tuple(row[column] for column in TABLE_ORDER))


def read_rows(run: Path, files: list[Any]) -> list[dict[str, Any]]:
    """Rows of Parquet files, in which the folder of the runs is replaced by a fixed name."""
    root = str(run).removesuffix(run_name(run))
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    return [
        {
            name: value.replace(root, "RUNS/") if isinstance(value, str) else value
            for name, value in row.items()
        }
        for row in rows
    ]


def run_name(run: Path) -> str:
    return next(name for name in sorted(RUNS, key=len, reverse=True) if str(run).endswith(name))


def renamed(value: Any) -> Any:
    """A row of the older revision by the names of the newer one."""
    if isinstance(value, dict):
        return {RENAMED["columns"].get(name, name): renamed(each) for name, each in value.items()}
    return [renamed(each) for each in value] if isinstance(value, list) else value


def differences(old: Any, new: Any, place: str) -> Iterator[str]:
    """A line for each value that differs; floats are compared bit for bit."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys()):
            if name not in old or name not in new:
                yield f"{place}: {name} is only in the {'older' if name in old else 'newer'} one"
            else:
                yield from differences(old[name], new[name], f"{place}, {name}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (value, other) in enumerate(zip(old, new, strict=True)):
            yield from differences(value, other, f"{place}[{number}]")
    elif isinstance(old, float) and isinstance(new, float):
        if old != new and not (math.isnan(old) and math.isnan(new)):
            yield f"{place}: {old!r} became {new!r}"
    elif old != new or type(old) is not type(new):
        yield f"{place}: {old!r} became {new!r}"


if __name__ == "__main__":
    main()
