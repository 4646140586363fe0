"""The GPU proof's result as the cells of a table."""

from collections.abc import Callable
from typing import Any

from benchmarks.gpu.measurements import MEASUREMENTS, Measurement

NOT_MEASURED = "not measured"

Figures = dict[str, Any]


def _number(key: str, form: str) -> Callable[[Figures], str | None]:
    return lambda figures: None if figures.get(key) is None else format(figures[key], form)


def _speed(figures: Figures) -> str | None:
    return _number("clips_per_s", ",.1f")(figures) or _number("samples_per_s", ",.1f")(figures)


def _tokens(figures: Figures) -> str | None:
    # Of what writes nothing there is nothing to measure.
    return _number("tokens_per_s", ",.0f")(figures) or ""


COLUMNS: dict[str, Callable[[Figures], str | None]] = {
    "clips/s": _speed,
    "tokens/s": _tokens,
    "MFU": _number("model_flop_utilisation", ".1%"),
    "GPU busy": _number("gpu_busy_share", ".0%"),
    "CPU cores": _number("cpu_cores_to_feed", ",.1f"),
    "batch": _number("batch_clips", "d"),
    "GiB": _number("gpu_memory_gib", ".1f"),
}


def find_entry(result: dict[str, Any] | None, measurement: Measurement) -> dict[str, Any]:
    """What a result says of a measurement; nothing where it was not run, or there is no result."""
    entry = ((result or {}).get("parts", {}).get(measurement.part) or {}).get(measurement.name)
    return entry or {"figures": None, "failed": None}


def format_rows(result: dict[str, Any] | None) -> list[tuple[Measurement, list[str]]]:
    """Each measurement of the proof, and a cell for each of `COLUMNS`."""
    rows = []
    for each in MEASUREMENTS:
        figures = find_entry(result, each)["figures"]
        cells = [form(figures) if figures else None for form in COLUMNS.values()]
        rows.append((each, [NOT_MEASURED if cell is None else cell for cell in cells]))
    return rows
