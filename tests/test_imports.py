"""Heavy packages are imported by what needs them only: not for a plan, nor for built-in models.

Each import would be paid for by every command and every worker.
"""

import subprocess
import sys
from pathlib import Path

import soundfile

from curation.synth.mixing import render_clip

RUN = """
run: {folder}/run
catalog: {{kind: folder, audio: {folder}/audio}}
"""

PLAN = """
import sys
import curation.cli.main
from curation.run.catalog_plan import create_plan
from curation.run.config_file import read_run_config
config = read_run_config(sys.argv[1])
planned, _ = create_plan(config)
"""

ANNOTATE = """
from curation.annotate import metrics
from curation.annotate.task import Task
from curation.annotate.workers import FusedWorker
worker = FusedWorker(config, metrics.InMemoryMeter)
for shard in range(planned.shards):
    row = worker({"task": Task(shard, planned.shard_size(shard)).to_json()})
    assert not row["error"], row["error"]
"""

DEFER_PANDAS = """
from curation.processes.pandas_import import defer_pandas
defer_pandas()
"""

PLAN_BY_COMMAND = """
import sys
from curation.cli.main import main
sys.argv = ["tagscribe", "plan", sys.argv[1], "--sample", "0"]
try:
    main()
except SystemExit as ended:
    assert not ended.code
"""

USE_PANDAS = """
import pyarrow as pa
table = pa.table({"a": [1.5, None]})
assert pa.Table.from_pandas(table.to_pandas()).equals(table)
"""

PRINT_MODULES = """
print(*sys.modules)
"""

NOT_FOR_A_PLAN = {"torch", "transformers", "ray", "scipy", "sklearn", "matplotlib", "torchaudio"}
NOT_FOR_BUILT_IN_MODELS = {
    "transformers",
    "sentence_transformers",
    "ray",
    "scipy",
    "sklearn",
    "matplotlib",
    "sympy",
    "torchaudio",
    "torch._dynamo",
    "torch._inductor",
}


def imported(program: str, folder: Path) -> set[str]:
    """The modules that a program has imported at its end; it plans a run of two clips."""
    (folder / "audio").mkdir()
    for index in range(2):
        samples, _ = render_clip(5, index, 16_000)
        soundfile.write(folder / "audio" / f"{index}.wav", samples, 16_000)
    (folder / "run.yaml").write_text(RUN.format(folder=folder))
    command = [sys.executable, "-c", program + PRINT_MODULES, folder / "run.yaml"]
    return set(subprocess.check_output(command, text=True).split())


def test_a_plan_needs_no_models(tmp_path: Path) -> None:
    modules = imported(PLAN, tmp_path)
    assert "curation.run.catalog_plan" in modules
    assert not NOT_FOR_A_PLAN & modules


def test_built_in_models_need_no_transformers(tmp_path: Path) -> None:
    modules = imported(PLAN + ANNOTATE, tmp_path)
    assert {"torch", "curation.models.networks.dual_encoder"} <= modules
    assert not NOT_FOR_BUILT_IN_MODELS & modules


def test_commands_import_no_pandas(tmp_path: Path) -> None:
    modules = imported(PLAN_BY_COMMAND, tmp_path)
    assert "curation.run.catalog_plan" in modules
    assert "pandas" not in modules


def test_workers_import_pandas_only_where_it_is_used(tmp_path: Path) -> None:
    (tmp_path / "unused").mkdir()
    (tmp_path / "used").mkdir()
    assert "pandas" not in imported(DEFER_PANDAS + PLAN + ANNOTATE, tmp_path / "unused")
    assert "pandas" in imported(DEFER_PANDAS + PLAN + USE_PANDAS, tmp_path / "used")
