"""The renewal of docs/results.md from a result."""

import copy
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import results
from benchmarks.gpu.measurements import FULL_RESULT, MEASUREMENTS
from tests.support.paths import REPOSITORY

PAGE = f"# Results\n\n{results.BEGIN}\nold\n{results.END}\n\nWhat columns mean.\n"
FIGURES = {
    "clips_per_s": 1234.56,
    "tokens_per_s": 98765.4,
    "model_flop_utilisation": 0.4321,
    "peak_format": "bf16",
    "peak_tflops": 989.4,
    "gpu_busy_share": 0.87,
    "cpu_cores_to_feed": 9.87,
    "batch_clips": 64,
    "gpu_memory_gib": 76.54,
}
MACHINE = {
    "gpu": "NVIDIA H200",
    "gpu_memory_gib": 139.8,
    "driver": "580.1",
    "cuda": "13.0",
    "torch": "2.12.1",
    "cpu": "EPYC",
    "cpu_cores": 16,
    "date": "2026-12-01T00:00:00+00:00",
    "commit": "abc",
}


@pytest.fixture
def result() -> dict[str, Any]:
    """One measurement that succeeded, one that failed; the others were not run."""
    entries = {
        "reference": {"figures": dict(FIGURES), "failed": None},
        "cnn14": {"figures": None, "failed": "OutOfMemoryError: no | memory\nmore of it"},
    }
    return {
        "size": "full",
        "machine": dict(MACHINE),
        "seconds": 600.0,
        "parts": {"captioner": entries},
    }


def test_the_page_shows_the_newest_result() -> None:
    path = REPOSITORY / FULL_RESULT
    page = (REPOSITORY / results.DOCS).read_text()
    assert results.renew_table(page, results.read_full_result(path)) == page


def test_without_a_result_no_figure_is_measured() -> None:
    page = results.renew_table(PAGE, None)
    for each in MEASUREMENTS:
        [row] = [line for line in page.splitlines() if line.startswith(f"| {each.label} |")]
        assert {cell.strip() for cell in row.split("|")[2:-1]} == {"not measured"}
    assert page.startswith("# Results\n")
    assert page.endswith("What columns mean.\n")
    assert "old" not in page


def test_measured_figures_stand_in_the_table(result: dict[str, Any]) -> None:
    lines = results.renew_table(PAGE, result).splitlines()
    row = f"| {MEASUREMENTS[0].label} | 1,234.6 | 98,765 | 43.2% | 87% | 9.9 | 64 | 76.5 |"
    assert row in lines
    [machine] = [line for line in lines if line.startswith("Machine: ")]
    for text in ("NVIDIA H200", "580.1", "2026-12-01", "989.4 in bf16", "10.0 minutes"):
        assert text in machine


def test_a_failure_stands_in_its_row(result: dict[str, Any]) -> None:
    [row] = [line for line in results.format_result(result).splitlines() if "failed" in line]
    assert row.startswith(
        f"| {MEASUREMENTS[1].label}; failed: OutOfMemoryError: no / memory | not measured |"
    )


def test_training_is_shown_by_its_samples(result: dict[str, Any]) -> None:
    figures = copy.deepcopy(FIGURES)
    figures["samples_per_s"] = figures.pop("clips_per_s")
    del figures["tokens_per_s"]
    result["parts"]["training"] = {"cnn14_bert": {"figures": figures, "failed": None}}
    assert "bf16 | 1,234.6 |  | 43.2% |" in results.format_result(result)


def test_renewed_twice_the_page_is_the_same(result: dict[str, Any]) -> None:
    once = results.renew_table(PAGE, result)
    assert results.renew_table(once, result) == once


def run_results(monkeypatch: pytest.MonkeyPatch, result_file: Path, page: Path) -> None:
    command = ["results", "--json", str(result_file), "--docs", str(page)]
    monkeypatch.setattr(sys, "argv", command)
    results.main()


def test_the_command_renews_a_page(
    result: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gpu_proof.json").write_text(json.dumps(result))
    (tmp_path / "page.md").write_text(PAGE)
    run_results(monkeypatch, tmp_path / "gpu_proof.json", tmp_path / "page.md")
    assert (tmp_path / "page.md").read_text() == results.renew_table(PAGE, result)


def test_a_toy_result_is_refused(
    result: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "toy.json").write_text(json.dumps({**result, "size": "toy"}))
    (tmp_path / "page.md").write_text(PAGE)
    with pytest.raises(SystemExit, match="a result of toy size"):
        run_results(monkeypatch, tmp_path / "toy.json", tmp_path / "page.md")
    assert (tmp_path / "page.md").read_text() == PAGE


def test_a_page_without_markers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "page.md").write_text("# Results\n")
    with pytest.raises(SystemExit, match="gpu-proof: begin"):
        run_results(monkeypatch, tmp_path / "none.json", tmp_path / "page.md")
