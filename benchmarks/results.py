"""Writes measured results into docs/results.md: the table of the GPU proof.

    python -m benchmarks.results [--json FILE] [--docs FILE]

The table between the page's two markers is replaced by that of a full size's result
(benchmarks/results/gpu_proof.json); where there is no such file it says "not measured".
"""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.gpu.measurements import FULL_RESULT
from benchmarks.gpu.table import COLUMNS, NOT_MEASURED, find_entry, format_rows
from curation.errors import InputError

DOCS = "docs/results.md"
BEGIN, END = "<!-- gpu-proof: begin -->", "<!-- gpu-proof: end -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", default=FULL_RESULT)
    parser.add_argument("--docs", default=DOCS)
    options = parser.parse_args()
    page = Path(options.docs)
    try:
        page.write_text(renew_table(page.read_text(), read_full_result(Path(options.json))))
    except InputError as error:
        raise SystemExit(str(error)) from None


def read_full_result(path: Path) -> dict[str, Any] | None:
    """A result of `benchmarks.gpu_proof`; None where there is no file.

    Raises InputError for a result of toy size, whose figures mean nothing.
    """
    if not path.exists():
        return None
    result: dict[str, Any] = json.loads(path.read_text())
    if result["size"] != "full":
        raise InputError(
            f"{path}: a result of {result['size']} size, whose figures mean nothing; expected one "
            "of full size: make gpu-proof"
        )
    return result


def renew_table(page: str, result: dict[str, Any] | None) -> str:
    """The page with the result between its markers. Raises InputError where it has none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f"the page has no line {BEGIN!r} with {END!r} behind it; put them in")
    return f"{before}{BEGIN}\n\n{format_result(result)}\n\n{END}{after}"


def format_result(result: dict[str, Any] | None) -> str:
    """Where and when it was measured, and the table, as Markdown."""
    lines = [_format_machine(result), ""]
    lines += [_format_row(["", *COLUMNS]), _format_row(["---"] * (len(COLUMNS) + 1))]
    for measurement, cells in format_rows(result):
        failed = find_entry(result, measurement)["failed"]
        # The first line alone: a cell has no more.
        label = f"{measurement.label}; failed: {failed.splitlines()[0]}" if failed else ""
        lines.append(_format_row([label or measurement.label, *cells]))
    return "\n".join(lines)


def _format_machine(result: dict[str, Any] | None) -> str:
    if result is None:
        return f"Machine: {NOT_MEASURED}, as no GPU was at hand. Date: {NOT_MEASURED}."
    machine = result["machine"]
    measured = [each["figures"] for part in result["parts"].values() for each in part.values()]
    peaks = {each["peak_format"]: each["peak_tflops"] for each in measured if each}
    shown = ", ".join(
        f"{peak or 'not known'} in {number_format}" for number_format, peak in sorted(peaks.items())
    )
    return (
        f"Machine: {machine['gpu']} ({machine['gpu_memory_gib']} GiB), driver "
        f"{machine['driver'] or 'not known'}, CUDA {machine['cuda']}, torch {machine['torch']}, "
        f"{machine['cpu_cores']} cores of {machine['cpu']}. Date: {machine['date']}, commit "
        f"{machine['commit']}; {result['seconds'] / 60:.1f} minutes. Peak, TFLOPS: {shown}."
    )


def _format_row(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


if __name__ == "__main__":
    main()
