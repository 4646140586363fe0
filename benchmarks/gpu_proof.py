"""What one GPU does with every model that the engine and the trainer use, in under 25 minutes.

Captioners (the reference model, CNN14 at its published size, an audio-language model of 7B),
scorers (CLAP, PE-AV), YAMNet, and training (CNN14 with BERT, HTSAT with RoBERTa); all but the first
with random weights, so nothing is downloaded. Ray is not used and need not be installed. Figures:
clips, tokens and samples a second, the share of the GPU's peak (model FLOP utilisation), the share
of time in which it is busy, and the CPU cores that keep it fed. A measurement that fails, or takes
too long, is recorded with its reason, and the others go on; the exit status is then 1.

    python -m benchmarks.gpu_proof [--size toy|full] [--parts captioner,scorers] [--out FILE.json]
        [--add]

`full` needs a GPU. `toy` takes tiny models through the same code in about a minute, on a GPU or on
a CPU; its figures mean nothing. With `--add` the parts are added to those that the file has of the
same GPU and code, so that they can be measured one after the other. Prints a table and ends in one
line of JSON; `python -m benchmarks.results` writes the table of a full size's file into
docs/results.md.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.gpu.measurements import (
    FLOP_SOURCE,
    FULL_RESULT,
    MEASUREMENTS,
    PEAK_SOURCE,
    Measurement,
    Setting,
)
from benchmarks.gpu.table import COLUMNS, NOT_MEASURED, format_rows
from benchmarks.gpu.worker import Outcome, Worker
from curation import console

FORMAT = 1
DEFAULT_OUT = {"full": FULL_RESULT, "toy": "runs/gpu_proof_toy.json"}
MACHINE_LIMIT_S = 120.0


def main() -> None:
    options = parse_options()
    setting = Setting(options.size, options.device)
    measurements = [each for each in MEASUREMENTS if each.part in options.parts]
    limit_s = sum(each.limit_s for each in measurements)
    print_line(
        f"{len(measurements)} measurements at {setting.size} size, {limit_s / 60:.0f} minutes at "
        "most; loading torch"
    )
    worker = Worker()
    try:
        result = begin_result(worker, setting)
        if options.add:
            add_earlier_parts(result, Path(options.out))
        run_measurements(worker, setting, measurements, result, Path(options.out))
    finally:
        worker.close()
    console.print_table(
        f"{setting.size} size, on {result['machine']['gpu'] or 'the CPU'}",
        ["", *COLUMNS],
        [
            [each.name, *("-" if cell == NOT_MEASURED else cell for cell in cells)]
            for each, cells in format_rows(result)
            if each.part in result["parts"]
        ],
    )
    print(json.dumps(result))
    sys.exit(1 if result["failed"] else 0)


def parse_options() -> argparse.Namespace:
    known = list(dict.fromkeys(each.part for each in MEASUREMENTS))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=("toy", "full"), default="full")
    parser.add_argument("--parts", default=",".join(known), help="names with commas between")
    parser.add_argument("--device", default="auto", help="cuda:1, cpu; auto: a GPU if there is one")
    parser.add_argument("--out", help="the JSON file; by default " + str(DEFAULT_OUT))
    parser.add_argument("--add", action="store_true", help="to the parts that the file has")
    options = parser.parse_args()
    options.parts = options.parts.split(",")
    if unknown := set(options.parts) - set(known):
        parser.error(f"--parts: {', '.join(sorted(unknown))} unknown; known: {', '.join(known)}")
    options.out = options.out or DEFAULT_OUT[options.size]
    return options


def begin_result(worker: Worker, setting: Setting) -> dict[str, Any]:
    """The result without measurements. Exits where the machine cannot be measured on."""
    outcome = worker.call(
        "benchmarks.gpu.machine:describe_machine", setting, limit_s=MACHINE_LIMIT_S
    )
    if outcome.failed:
        sys.exit(f"no measurement is possible here: {outcome.failed}")
    machine = outcome.value
    if setting.is_full and machine["gpu"] is None:
        sys.exit(
            "no GPU at hand, so nothing is measured; --size toy (make gpu-proof SIZE=toy) takes "
            "tiny models through the same code on a CPU"
        )
    return {
        "format": FORMAT,
        "size": setting.size,
        "command": f"make gpu-proof SIZE={setting.size}",
        "machine": machine,
        "flop_source": FLOP_SOURCE,
        "peak_source": PEAK_SOURCE,
        "seconds": 0.0,
        "failed": [],
        "parts": {},
    }


def add_earlier_parts(result: dict[str, Any], out: Path) -> None:
    """Take over the parts of a result's file, where there is one.

    Exits where they are of another size, GPU or commit.
    """
    if not out.exists():
        return
    earlier = json.loads(out.read_text())
    for name, now, then in (
        ("size", result["size"], earlier["size"]),
        ("GPU", result["machine"]["gpu"], earlier["machine"]["gpu"]),
        ("commit", result["machine"]["commit"], earlier["machine"]["commit"]),
    ):
        if now != then:
            sys.exit(f"{out}: measured with {name} {then}, now it is {now}: measure all parts anew")
    result["parts"], result["seconds"] = earlier["parts"], earlier["seconds"]


def run_measurements(
    worker: Worker,
    setting: Setting,
    measurements: list[Measurement],
    result: dict[str, Any],
    out: Path,
) -> None:
    """Fill the result, and write it to its file after each measurement."""
    begun_s = time.monotonic() - result["seconds"]
    for number, each in enumerate(measurements, start=1):
        print_line(f"{number} of {len(measurements)}: {each.label}; {each.limit_s} s at most")
        outcome = worker.call(
            each.function,
            setting,
            limit_s=each.limit_s,
            on_wait=lambda seconds: print_line(f"    {seconds:.0f} s"),
        )
        result["parts"].setdefault(each.part, {})[each.name] = to_entry(outcome)
        if outcome.failed:
            print_line(f"    failed: {outcome.failed}")
        result["failed"] = list_failed(result)
        result["seconds"] = time.monotonic() - begun_s
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result, indent=1) + "\n")


def list_failed(result: dict[str, Any]) -> list[str]:
    return [
        f"{part}.{name}"
        for part, entries in result["parts"].items()
        for name, entry in entries.items()
        if entry["failed"]
    ]


def to_entry(outcome: Outcome) -> dict[str, Any]:
    return {"seconds": outcome.seconds, "failed": outcome.failed, "figures": outcome.value}


def print_line(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
