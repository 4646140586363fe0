"""The commands of tagscribe-train: from a table to an evaluated model, and back into curation."""

import json
from pathlib import Path

import pytest
import yaml

from curation import table
from curation.models.scorers.build import build_scorer
from curation.run import layout as curation_run
from curation.run.config_file import parse_run_config
from curation.select import apply
from curation.storage.files import Storage
from curation.synth.corpus import write_corpus
from tests.support.paths import REPOSITORY
from tests.support.runs import corpus_run
from tests.training.test_pretrain import TINY
from training import cli
from training.config import config_file
from training.config.pretrain import PretrainConfig


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """Run the command line; its exit code."""
    monkeypatch.setattr("sys.argv", ["tagscribe-train", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def curated(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run of the engine over 40 clips; the folder."""
    from curation.engine import driver
    from curation.run import catalog_plan

    folder = tmp_path_factory.mktemp("curated")
    write_corpus(str(folder / "corpus"), clips=40, seed=77)
    config = corpus_run(folder / "corpus", folder / "run", select={"top_fraction": 0.8})
    catalog_plan.create_plan(config)
    driver.annotate_run(config, lambda done, total: None)
    apply.select_pairs(config)
    return config.run


def settings(folder: Path, curated: str, **changes: object) -> Path:
    path = folder / "pretrain.yaml"
    values = {
        **TINY,
        "run": str(folder / "pretrained"),
        "data": {"tables": [curation_run.table_uri(curated)], "workers": 0, "crop_s": 2.0},
        **changes,
    }
    path.write_text(yaml.safe_dump(values))
    return path


def test_from_a_table_to_the_next_rounds_scorer(
    curated: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = settings(tmp_path, curated)
    assert call(monkeypatch, "pretrain", path, "--quiet") == 0
    model = tmp_path / "pretrained" / "model"
    assert call(monkeypatch, "show", model) == 0
    output = capsys.readouterr().out
    policy = table.read_newest_version(Storage(), curation_run.table_uri(curated))
    assert policy is not None
    assert f"{curation_run.table_uri(curated)} version {policy.version}" in output
    for word in ("top_fraction", "captioner", "scorer", "tagscribe"):
        assert word in output
    scorer = build_scorer(parse_run_config({
        "run": "unused",
        "catalog": {"kind": "folder", "audio": "unused"},
        "scorer": {"kind": "clap", "model": str(model)},
    }, "test").scorer)  # fmt: skip
    scorer.setup()
    assert scorer.embed_text(["a dog"]).shape == (1, 8)


def test_evaluate_writes_what_it_measured(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "esc10.json"
    arguments = ("--dataset", "esc10", "--data", shared_data / "esc10", "--split", "3")
    assert call(monkeypatch, "evaluate", "reference", *arguments, "--out", out, "--quiet") == 0
    result = json.loads(out.read_text())
    assert (result["clips"], result["split"], result["missing"]) == (80, "3", 0)
    assert result["figures"]["ensemble"]["accuracy"] > 0.3  # chance is 0.1


def test_a_checkpoint_is_exported_while_training_goes_on(
    curated: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = settings(tmp_path, curated)
    assert call(monkeypatch, "export", tmp_path / "pretrained", tmp_path / "early") == 1
    assert "no checkpoint yet" in capsys.readouterr().err
    assert call(monkeypatch, "pretrain", path, "--quiet") == 0
    first = min((tmp_path / "pretrained" / "checkpoints").iterdir())
    out = tmp_path / "exported"
    options = ("--checkpoint", first)
    assert call(monkeypatch, "export", tmp_path / "pretrained", out, *options) == 0
    assert str(int(first.stem.removeprefix("step-"))) in capsys.readouterr().out
    assert call(monkeypatch, "show", out) == 0


def test_checkpoints_are_validated_beside_the_training(
    curated: str, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validation = [{"dataset": "esc10", "data": str(shared_data / "esc10"), "split": "3"}]
    path = settings(tmp_path, curated, validation=validation)
    assert call(monkeypatch, "pretrain", path, "--quiet") == 0
    lines = (tmp_path / "pretrained" / "validation.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    # The first is begun while the training goes on; the last is always evaluated.
    assert len(records) >= 2
    assert records[-1]["step"] == max(line["step"] for line in records) > records[0]["step"]
    for line in records:
        assert line["dataset"] == "esc10" and line["clips"] == 80
        assert 0 <= line["figures"]["ensemble"]["accuracy"] <= 1


def test_the_loader_alone_is_timed(
    curated: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = settings(tmp_path, curated)
    assert call(monkeypatch, "bench-loader", path, "--workers", "0,1", "--batches", "3") == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(figures) == {"clips_per_s_0", "clips_per_s_1"}
    assert min(figures.values()) > 0


def test_the_printed_configuration_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "config") == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert PretrainConfig.model_validate(printed).run.endswith("/runs/pretrain")


@pytest.mark.parametrize("name", ["pretrain", "blat", "clap"])
def test_examples_are_configurations(name: str) -> None:
    path = str(REPOSITORY / "examples" / f"{name}.yaml")
    config = config_file.validate_training_config(
        path, config_file.read_training_yaml(path), PretrainConfig
    )
    assert config.data.tables


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedul": {}}, "unknown key 'schedul'; did you mean 'schedule'?"),
        ({"data": {"tables": ["/nowhere"]}}, "/nowhere: no curated table here"),
        ({"saving": {"trackers": ["wandb"]}}, "wandb is not installed; pip install wandb"),
    ],
)
def test_bad_configurations_are_errors_of_one_line(
    curated: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, object],
    message: str,
) -> None:
    assert call(monkeypatch, "pretrain", settings(tmp_path, curated, **changes), "--quiet") == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
