"""The GPU proof at toy size, end to end without Ray, and what it does where something fails."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from benchmarks import gpu_proof
from benchmarks.gpu.measurements import MEASUREMENTS, Measurement
from tests.support.paths import REPOSITORY

# Python runs it at the start of each process, of those that others start too.
NO_RAY = """
import sys

class NoRay:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "ray":
            raise ModuleNotFoundError(f"{name} is not installed")

sys.meta_path.insert(0, NoRay())
"""
CAPTIONERS = {"reference", "cnn14", "audio_llm"}


class ToyRun(NamedTuple):
    """The program's end, and the file that it wrote."""

    process: subprocess.CompletedProcess[str]
    result: dict[str, Any]

    def figures(self) -> dict[str, dict[str, Any]]:
        """By measurement."""
        parts = self.result["parts"].values()
        return {name: entry["figures"] for part in parts for name, entry in part.items()}


@pytest.fixture(scope="module")
def without_ray(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process in which Ray is not installed."""
    folder = tmp_path_factory.mktemp("hook")
    (folder / "sitecustomize.py").write_text(NO_RAY)
    one_thread = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    return {**os.environ, **one_thread, "PYTHONPATH": f"{folder}{os.pathsep}{REPOSITORY}"}


@pytest.fixture(scope="module")
def toy(without_ray: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> ToyRun:
    out = tmp_path_factory.mktemp("toy") / "results" / "toy.json"
    command = ["-m", "benchmarks.gpu_proof", "--size", "toy", "--device", "cpu", "--out", str(out)]
    process = subprocess.run(
        [sys.executable, *command],
        cwd=REPOSITORY,
        env=without_ray,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert out.exists(), process.stderr
    return ToyRun(process, json.loads(out.read_text()))


def test_the_hook_refuses_ray(without_ray: dict[str, str]) -> None:
    process = subprocess.run(
        [sys.executable, "-c", "import ray"], env=without_ray, capture_output=True, text=True
    )
    assert "ray is not installed" in process.stderr


def test_every_measurement_succeeds_without_ray(toy: ToyRun) -> None:
    assert toy.process.returncode == 0, toy.process.stderr
    assert toy.result["failed"] == []
    assert set(toy.figures()) == {each.name for each in MEASUREMENTS}


def test_the_figures_of_each_measurement(toy: ToyRun) -> None:
    for name, figures in toy.figures().items():
        training = name in ("cnn14_bert", "htsat_roberta")
        assert figures["samples_per_s" if training else "clips_per_s"] > 0
        assert ("tokens_per_s" in figures) == (name in CAPTIONERS)
        assert figures["gflop_per_clip"] > 0
        assert figures["decode_cpu_ms_per_clip"] > 0
        assert figures["cpu_cores_to_feed"] > figures["loop_cpu_cores"] > 0


def test_what_needs_a_gpu_is_missing_with_its_reason(toy: ToyRun) -> None:
    assert toy.result["machine"]["gpu"] is None
    for figures in toy.figures().values():
        missing = {key for key, value in figures.items() if value is None}
        assert missing == {
            "gpu_busy_share",
            "gpu_memory_gib",
            "model_flop_utilisation",
            "peak_tflops",
        }
        assert figures["missing"] == dict.fromkeys(missing, "no GPU")


def test_every_candidate_of_the_language_model_is_as_long_as_it_may_be(toy: ToyRun) -> None:
    figures = toy.figures()["audio_llm"]
    tokens_a_clip = figures["tokens_per_s"] / figures["clips_per_s"]
    assert tokens_a_clip == pytest.approx(4 * 6, rel=0.2)


def test_the_program_says_what_it_does_and_ends_in_its_result(toy: ToyRun) -> None:
    assert toy.process.stderr.startswith("8 measurements at toy size")
    assert json.loads(toy.process.stdout.splitlines()[-1]) == toy.result
    machine = toy.result["machine"]
    assert {"torch", "driver", "date", "cpu_cores"} <= set(machine)
    assert toy.result["flop_source"].startswith("torch.utils.flop_counter")


def test_the_whole_fits_into_25_minutes() -> None:
    # Beside the measurements, torch is loaded once for the machine's description.
    assert sum(each.limit_s for each in MEASUREMENTS) <= 23 * 60


@pytest.fixture
def run_main(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Any, dict[str, Any]]]:
    """Runs the program over measurements, of all parts; its exit status, and its result."""

    def run(
        measurements: Sequence[Measurement], size: str, *options: str
    ) -> tuple[Any, dict[str, Any]]:
        out = tmp_path / "out.json"
        command = ["gpu_proof", "--size", size, "--device", "cpu", "--out", str(out), *options]
        monkeypatch.setattr(sys, "argv", command)
        monkeypatch.setattr(gpu_proof, "MEASUREMENTS", measurements)
        with pytest.raises(SystemExit) as ended:
            gpu_proof.main()
        return ended.value.code, json.loads(out.read_text()) if out.exists() else {}

    return run


def test_a_failure_is_recorded_and_the_others_go_on(run_main: Any) -> None:
    names = (("yamnet", "yamnet"), ("yamnet", "absent"), ("measurements", "absent_too"))
    status, result = run_main([Measurement(part, name, "", 600) for part, name in names], "toy")
    assert status == 1
    assert result["failed"] == ["yamnet.absent", "measurements.absent_too"]
    assert result["parts"]["yamnet"]["yamnet"]["figures"]["clips_per_s"] > 0
    for part, name in names[1:]:
        entry = result["parts"][part][name]
        assert entry["figures"] is None
        assert entry["failed"].startswith("AttributeError: ")
        assert name in entry["failed"]


def test_full_size_without_a_gpu_measures_nothing(run_main: Any) -> None:
    status, result = run_main(MEASUREMENTS, "full")
    assert status.startswith("no GPU at hand")
    assert result == {}


def test_parts_are_added_to_those_of_the_same_machine(
    toy: ToyRun, tmp_path: Path, run_main: Any
) -> None:
    out = tmp_path / "out.json"
    out.write_text(json.dumps(toy.result))
    absent = Measurement("yamnet", "yamnet_absent", "", 600)
    status, result = run_main([absent], "toy", "--add")
    assert status == 1
    assert result["failed"] == ["yamnet.yamnet_absent"]
    assert result["parts"]["training"] == toy.result["parts"]["training"]
    assert result["parts"]["yamnet"]["yamnet"] == toy.result["parts"]["yamnet"]["yamnet"]
    assert result["seconds"] > toy.result["seconds"]

    other = {**toy.result, "machine": {**toy.result["machine"], "gpu": "NVIDIA L4"}}
    out.write_text(json.dumps(other))
    status, result = run_main([absent], "toy", "--add")
    assert "measured with GPU NVIDIA L4, now it is None" in status
    assert result == other
