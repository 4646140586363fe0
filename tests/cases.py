"""Runs the inputs that failed once, each by the command of its README, and prints a table.

A case is a folder with an input, `run.yaml` and a README that holds the command; some have a
`make.sh` for what Git and archives cannot carry. Each runs in a copy. What should come is stated
here by name; a case that is not known here is run, and fails only by a traceback.

    python -m tests.cases ../shared/cases [--only wav_ ogg_]
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from curation import console
from curation.run import layout
from tests.support.paths import REPOSITORY

TIMEOUT_S = 300.0
MAX_DURATION_S = 10.0  # run.yaml's default of audio.max_duration_s
TOLERANCE_S = 0.06  # two frames of MP3: the delay and padding that encoders add


@dataclass(frozen=True)
class CaseResult:
    """What a case's command left: its exit code and output, the plan, and the evidence."""

    exit_code: int
    output: str
    planned: list[dict[str, Any]]
    rows: list[dict[str, Any]]

    @property
    def found(self) -> list[str]:
        return sorted(row["clip_id"] for row in self.planned if row["uri"])

    def is_one_line_error(self, *words: str) -> bool:
        """Whether the command failed with an error of its own that has these words."""
        lines = [line for line in self.output.splitlines() if line.startswith("tagscribe: ")]
        return self.exit_code == 1 and len(lines) == 1 and all(word in lines[0] for word in words)


Check = Callable[[CaseResult], bool]


def whole_sound(end_s: float, begin_s: float = 0.0) -> Check:
    """One clip, ok, the central ten seconds of a sound between these times."""

    def check(result: CaseResult) -> bool:
        if [row["outcome"] for row in result.rows] != ["ok"]:
            return False
        (row,) = result.rows
        centred = abs(row["start_s"] + row["end_s"] - begin_s - end_s) < TOLERANCE_S
        length_s = min(end_s - begin_s, MAX_DURATION_S)
        return centred and abs(row["duration_s"] - length_s) < TOLERANCE_S

    return check


def finds(*clips: str) -> Check:
    """The plan holds exactly these clips, with audio."""
    return lambda result: result.exit_code == 0 and result.found == sorted(clips)


def finds_count(count: int) -> Check:
    return lambda result: result.exit_code == 0 and len(result.found) == count


def fails_with(*words: str) -> Check:
    """The command fails with one line that has these words."""
    return lambda result: result.is_one_line_error(*words)


def either(*checks: Check) -> Check:
    return lambda result: any(check(result) for check in checks)


def names_bad_file(result: CaseResult) -> bool:
    """The other clip is planned, and the output or the plan names the file."""
    named = "caf" in result.output or any("caf" in row["clip_id"] for row in result.planned)
    return result.exit_code == 0 and "ok" in result.found and named


CHECKS: dict[str, Check] = {
    "extension_not_known": either(finds("x", "y"), lambda result: ".aifc" in result.output),
    "flac_joined": whole_sound(13.0),
    "folder_link_loop": either(finds("x"), fails_with("link")),
    "long_tmpdir": either(lambda result: result.exit_code == 0, fails_with("TMPDIR")),
    "mp3_art_before_cbr": whole_sound(13.1),
    "mp3_joined": whole_sound(13.0),
    "mp3_vbr_no_xing": whole_sound(13.1),
    "mp3_xing_half_frames": whole_sound(13.0),
    "name_not_utf8": names_bad_file,
    "name_with_leading_space": finds_count(2),
    "name_with_leading_space_untagged": finds_count(2),
    "ogg_chained": whole_sound(13.0),
    "ogg_no_eos_flag": whole_sound(13.0),
    "parquet_by_polars": finds_count(2),
    "parquet_int_labels": fails_with("d.parquet", "row"),
    "same_name_two_formats": finds_count(2),
    "segments_row_twice": fails_with("twice"),
    "tar_dots_in_names": either(fails_with("dot"), lambda result: "22.05" in result.found),
    "wav_gsm610": whole_sound(13.0),
    "wav_size_0": whole_sound(3.747),
    "wav_size_7fffff9b": whole_sound(3.747),
    "wav_size_fffffffe": whole_sound(3.747),
    "wav_size_plus_16": whole_sound(3.747),
    "webm_sound_begins_late": whole_sound(7.0, 1.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=Path)
    parser.add_argument("--only", nargs="+", default=[""], help="beginnings of names")
    options = parser.parse_args()
    chosen = [
        folder
        for folder in sorted(options.cases.iterdir())
        if (folder / "README.md").is_file() and folder.name.startswith(tuple(options.only))
    ]
    table, failed = [], 0
    for folder in chosen:
        result = run_case(folder)
        verdict = judge_case(folder.name, result)
        failed += verdict == "FAILS"
        table.append([folder.name, verdict, describe_result(result)])
        print(*table[-1], sep="  ", file=sys.stderr)
    console.print_table(f"{len(table)} cases, {failed} fail", ["case", "", "came"], table)
    sys.exit(1 if failed or not table else 0)


def judge_case(name: str, result: CaseResult) -> str:
    """Right, wrong, or not known here."""
    if "Traceback (most recent call last)" in result.output:
        return "FAILS"
    if name not in CHECKS:
        return "no check"
    return "as expected" if CHECKS[name](result) else "FAILS"


def run_case(source: Path) -> CaseResult:
    """Copy a case, run its command in the copy, and collect what it left."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "copy"  # not the case's name, which may hold words of CHECKS
        shutil.copytree(source, folder)
        for path in [folder, *folder.rglob("*")]:  # the inputs are read only
            path.chmod(0o755 if path.is_dir() else 0o644)
        if (folder / "make.sh").exists():
            subprocess.run(["sh", "make.sh"], cwd=folder, check=True)
        done = subprocess.run(
            ["bash", "-c", read_command(source)],
            cwd=folder,
            env={
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "PYTHONPATH": str(REPOSITORY),
                "COLUMNS": "1000",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            errors="surrogateescape",
            timeout=TIMEOUT_S,
        )
        run = str(folder / "run")
        return CaseResult(
            done.returncode,
            done.stdout,
            read_rows(layout.plan_uri(run)),
            read_rows(layout.evidence_uri(run)),
        )


def read_command(folder: Path) -> str:
    """The command of a case's README, without the change of folder and the display of a row."""
    text = (folder / "README.md").read_text()
    found = re.search(r"Command:\s+cd \S+ && (.+)", text)
    assert found, f"{folder}/README.md states no command"
    return found[1].split(" && tagscribe show")[0].strip()


def read_rows(folder: str) -> list[dict[str, Any]]:
    return [row for path in sorted(Path(folder).glob("*.parquet")) for row in _read(path)]


def _read(path: Path) -> list[dict[str, Any]]:
    return pq.ParquetFile(path).read().to_pylist()


def describe_result(result: CaseResult) -> str:
    """One line: the clips' outcomes, or the plan, or the error."""
    if result.rows:
        return "; ".join(
            f"{row['clip_id']!r} {row['error']['type']}: {row['error']['message']}"
            if row["error"]
            else f"{row['clip_id']!r} {row['outcome']} {row['start_s']:.2f} to {row['end_s']:.2f} s"
            for row in result.rows
        )
    last = result.output.strip().splitlines()[-1:] or ["no output"]
    if result.exit_code:
        return f"exit {result.exit_code}: {last[0]}"
    return f"found {result.found} of {len(result.planned)} planned"


if __name__ == "__main__":
    main()
