"""Each format has a number (docs/formats.md): those that are read are opened, others are refused.

`tests/data/run_format_<n>` is a small run folder made by `python -m tests.support.example_run`.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from curation import table
from curation.cli.main import app
from curation.errors import FormatError, InputError
from curation.publish.destination import FACTS_FILE, PUBLISHED_FORMAT
from curation.publish.published_dataset import read_dataset_facts
from curation.run import evidence, layout
from curation.run.code_version import read_code_version
from curation.run.layout import RunFolder
from curation.run.record import (
    READ_RUN_FORMATS,
    RUN_FORMAT,
    check_same_run,
    require_run_record,
)
from curation.run.resolve import recorded_config
from curation.select import apply
from curation.storage.files import Storage
from tests.support.paths import REPOSITORY

DATA = REPOSITORY / "tests" / "data"
CLIPS = 4


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The example of the present format as its owner has it."""
    return copy_example(RUN_FORMAT, tmp_path)


def copy_example(number: int, folder: Path) -> Path:
    """The example run of a format, and beside it its run.yaml."""
    run = folder / "run"
    shutil.copytree(DATA / f"run_format_{number}", run)
    config = json.loads((run / "run.json").read_text())["config"]
    (folder / "run.yaml").write_text(yaml.safe_dump({**config, "run": str(run)}))
    return run


def tagscribe(command: str, run: Path, *arguments: object) -> str:
    """What a command prints of a run that is given by its YAML."""
    yaml_file = run.parent / "run.yaml"
    result = CliRunner().invoke(app, [command, str(yaml_file), *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("number", READ_RUN_FORMATS)
def test_a_run_is_opened_by_its_folder(number: int, tmp_path: Path) -> None:
    run = copy_example(number, tmp_path)
    (run.parent / "run.yaml").unlink()
    for command in ("status", "verify", "show"):
        assert CliRunner().invoke(app, [command, str(run)]).exit_code == 0


def test_a_key_of_run_json_that_was_added_later_is_ignored(run: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "added_later": 1}))
    assert require_run_record(RunFolder(str(run))).clips == CLIPS


@pytest.mark.parametrize("number", READ_RUN_FORMATS)
def test_a_run_is_opened_by_every_command(number: int, tmp_path: Path) -> None:
    run = copy_example(number, tmp_path)
    clip_id = evidence.read_evidence_shard(RunFolder(str(run)), 0)["clip_id"][0].as_py()
    assert f"clips   {CLIPS} of {CLIPS}" in tagscribe("status", run)
    assert tagscribe("verify", run) == "plan, evidence and table agree\n"
    assert "│       0 │     4 │" in tagscribe("show", run)
    assert tagscribe("show", run, clip_id).split()[:2] == ["clip_id", clip_id]
    assert f"holds {CLIPS} pairs" in tagscribe("select", run, "--quiet")
    tagscribe("report", run, "--out", run.parent / "report.html", "--quiet")
    assert (run.parent / "report.html").stat().st_size > 10_000
    tagscribe("publish", run, "--to", run.parent / "dataset", "--quiet")
    assert read_dataset_facts(Storage(), str(run.parent / "dataset"))["format"] == PUBLISHED_FORMAT


@pytest.mark.parametrize("number", READ_RUN_FORMATS)
def test_the_example_does_not_name_the_machine_that_made_it(number: int) -> None:
    example = DATA / f"run_format_{number}"
    for file in example.rglob("*"):
        assert not file.is_file() or b"/home/" not in file.read_bytes(), file
    assert "/work/" not in (example / "run.json").read_text()


def test_a_shard_of_format_3_has_the_size_that_its_configuration_gives(tmp_path: Path) -> None:
    folder = RunFolder(str(copy_example(3, tmp_path)))
    record = require_run_record(folder)
    assert (record.format, record.shards, record.shard_clips) == (3, 1, CLIPS)
    config = recorded_config(folder, record)
    unnamed = config.annotate.model_copy(update={"shard_clips": "auto"})
    for annotate in (config.annotate, unnamed):
        here = config.model_copy(update={"annotate": annotate})
        check_same_run(folder, record, here, record.models)


def test_a_shard_of_this_format_has_the_size_that_its_plan_chose(run: Path) -> None:
    record = require_run_record(RunFolder(str(run)))
    assert record.config["annotate"]["shard_clips"] == "auto"
    assert (record.shards, record.shard_clips) == (2, 2)


def test_every_format_stands_in_its_files(run: Path) -> None:
    metadata = pq.read_metadata(layout.shard_uri(str(run), 0)).metadata
    assert metadata[evidence.FORMAT_KEY] == str(evidence.EVIDENCE_FORMAT).encode()
    commit = table.open_table(Storage(), layout.table_uri(str(run))).history(1)[0]
    assert commit[table.FORMAT_KEY] == str(table.TABLE_FORMAT)
    assert require_run_record(RunFolder(str(run))).format == RUN_FORMAT


def test_every_format_names_the_code_that_wrote_it(run: Path) -> None:
    recorded = [
        require_run_record(RunFolder(str(run))).versions,
        footer(run).code,
        lineage(run)["code"],
    ]
    assert all(len(code["curation_sha256"]) == 64 for code in recorded)


@pytest.mark.parametrize("number", [READ_RUN_FORMATS[0] - 1, RUN_FORMAT + 1, None])
@pytest.mark.parametrize("command", ["status", "verify", "show", "report", "select"])
def test_a_run_of_another_format_is_refused_with_what_to_do(
    run: Path, command: str, number: int | None
) -> None:
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "format": number, "added_later": 1}))
    expected = rf"format {number}, this version reads 3, 4 and 5; .*tagscribe run RUN.YAML"
    with pytest.raises(FormatError, match=expected):
        tagscribe(command, run)


@pytest.mark.parametrize("number", ["0", "2"])
@pytest.mark.parametrize("command", ["verify", "select", "report"])
def test_evidence_of_another_format_is_refused_with_what_to_do(
    run: Path, command: str, number: str
) -> None:
    shutil.rmtree(run / "progress")
    change_footer(run, lambda metadata: {**metadata, evidence.FORMAT_KEY: number.encode()})
    expected = rf"shard-00000.parquet: format {number}, this version reads 1; .*RUN.YAML"
    with pytest.raises(FormatError, match=expected):
        tagscribe(command, run)


def test_evidence_without_a_number_has_the_first_format(run: Path) -> None:
    def without(metadata: dict[bytes, bytes]) -> dict[bytes, bytes]:
        return {key: value for key, value in metadata.items() if key == evidence.COUNTS_KEY}

    change_footer(run, without)
    assert evidence.read_evidence_shard(RunFolder(str(run)), 0).num_rows == CLIPS // 2
    assert footer(run).code == {}


@pytest.mark.parametrize("command", ["status", "verify", "show", "select", "report"])
def test_a_table_of_another_format_is_refused_with_what_to_do(run: Path, command: str) -> None:
    log = run / "table" / "_delta_log" / f"{0:020}.json"
    log.write_text(log.read_text().replace('"tagscribe.format":"1"', '"tagscribe.format":"2"'))
    expected = r"version 0: format 2, this version reads 1; .*tagscribe select RUN.YAML"
    with pytest.raises(FormatError, match=expected):
        tagscribe(command, run)


@pytest.mark.parametrize("number", [PUBLISHED_FORMAT - 1, PUBLISHED_FORMAT + 1])
def test_a_published_dataset_of_another_format_is_refused(tmp_path: Path, number: int) -> None:
    (tmp_path / FACTS_FILE).write_text(json.dumps({"claim": {"format": number}}))
    with pytest.raises(InputError, match=f"format {number}, this version reads {PUBLISHED_FORMAT}"):
        read_dataset_facts(Storage(), str(tmp_path))


def test_each_shard_names_the_code_that_wrote_it(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = evidence.read_evidence_shard(RunFolder(str(run)), 0)
    other = {"commit": "0" * 40, "curation_sha256": "1" * 64}
    monkeypatch.setattr(evidence, "read_code_version", lambda: other)
    evidence.write_evidence_shard(RunFolder(str(run)), 2, rows)
    codes = [each.code for each in (footer(run, 0), footer(run, 2))]
    assert codes[1] == other != codes[0]


def test_other_code_alone_makes_no_new_version(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(run / "table")
    tagscribe("select", run, "--quiet")
    assert lineage(run)["code"] == read_code_version()
    monkeypatch.setattr(apply, "read_code_version", lambda: {"curation_sha256": "0" * 64})
    tagscribe("select", run, "--quiet")
    assert len(table.list_table_versions(Storage(), layout.table_uri(str(run)))) == 1
    assert lineage(run)["code"] == read_code_version()


def footer(run: Path, shard: int = 0) -> evidence.ShardFooter:
    file = evidence.list_evidence_files(RunFolder(str(run)))[shard]
    return evidence.ShardFooter.parse(*evidence.read_footer_metadata(Storage(), [file])[0])


def lineage(run: Path) -> dict[str, object]:
    version = table.read_newest_version(Storage(), layout.table_uri(str(run)))
    assert version is not None
    return version.lineage


def change_footer(run: Path, change: Callable[[dict[bytes, bytes]], dict[bytes, bytes]]) -> None:
    """Write the example's shard again, with other metadata."""
    uri = layout.shard_uri(str(run), 0)
    rows = pq.read_table(uri)
    pq.write_table(rows.replace_schema_metadata(change(dict(rows.schema.metadata))), uri)
