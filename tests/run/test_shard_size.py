"""The size of a shard: by the number of clips where the YAML says auto, and held by the plan."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from curation.cli.main import app
from curation.config.annotate import AnnotateConfig
from curation.config.run import RunConfig
from curation.errors import InputError
from curation.run import catalog_plan, plan
from curation.run.config_file import parse_run_config
from curation.run.layout import RunFolder
from curation.run.record import check_same_run, require_run_record
from curation.run.shard_size import MAX_SHARD_CLIPS, choose_shard_clips, resolve_shard_clips

COUNTS = [*range(1, 5000), *(int(count) for count in np.geomspace(5000, 2e8, 500))]
SIZES = [choose_shard_clips(count) for count in COUNTS]


def shards_of(clips: int) -> int:
    return -(-clips // choose_shard_clips(clips))


def test_a_shard_grows_with_the_clips_within_its_bounds() -> None:
    assert sorted(SIZES) == SIZES
    assert (SIZES[0], SIZES[-1]) == (1, MAX_SHARD_CLIPS)


def test_shards_are_never_larger_than_the_catalog() -> None:
    assert all(size <= clips for clips, size in zip(COUNTS, SIZES, strict=True))


def test_larger_shards_are_of_whole_batches() -> None:
    assert all(size % 16 == 0 for size in SIZES if size >= 16)


def test_small_runs_have_work_for_every_worker() -> None:
    assert all(shards_of(clips) >= 2 for clips in range(2, 17))
    assert all(shards_of(clips) >= 8 for clips in range(64, 5000))
    assert all(shards_of(clips) >= 32 for clips in range(500, 5000))


def test_large_runs_have_few_files() -> None:
    assert [shards_of(clips) for clips in (20_000, 200_000, 2_000_000)] == [313, 962, 3907]


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({}, 8),
        ({"shard_clips": "auto"}, 8),
        ({"shard_clips": 7}, 7),
        ({"model_memory": "offload"}, MAX_SHARD_CLIPS),
        ({"model_memory": "offload", "shard_clips": 7}, 7),
    ],
)
def test_the_number_of_the_yaml_goes_first(section: dict, expected: int) -> None:
    assert resolve_shard_clips(AnnotateConfig(**section), 100) == expected


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """A folder of ten files that are listed and never read."""
    folder = tmp_path / "sounds"
    folder.mkdir()
    for number in range(10):
        (folder / f"{number}.wav").touch()
    return folder


def run_of(sounds: Path, **annotate: object) -> RunConfig:
    catalog = {"kind": "folder", "audio": str(sounds)}
    run = str(sounds.parent / "run")
    return parse_run_config({"run": run, "catalog": catalog, "annotate": annotate}, "test")


def test_the_plan_holds_the_number_that_it_chose(sounds: Path) -> None:
    config = run_of(sounds)
    planned, _ = catalog_plan.create_plan(config)
    record = require_run_record(RunFolder.from_config(config))
    assert (planned.shards, planned.shard_clips) == (2, 5)
    assert plan.plan_from_record(record) == planned
    assert record.config["annotate"]["shard_clips"] == "auto"
    clips = [plan.read_plan_shard(RunFolder.from_config(config), n)["clip_id"] for n in range(2)]
    assert [len(each) for each in clips] == [5, 5]


def test_tagscribe_plan_prints_it(sounds: Path) -> None:
    path = sounds.parent / "run.yaml"
    path.write_text(yaml.safe_dump(run_of(sounds).model_dump(mode="json")))
    printed = CliRunner().invoke(app, ["plan", str(path), "--sample", "0"])
    assert "2 shards of up to 5 clips" in printed.stdout


@pytest.mark.parametrize("first", ["auto", 5])
@pytest.mark.parametrize("then", ["auto", 5])
def test_a_run_goes_on_with_the_number_of_its_plan(
    sounds: Path, first: object, then: object
) -> None:
    planned, _ = catalog_plan.create_plan(run_of(sounds, shard_clips=first))
    assert catalog_plan.create_plan(run_of(sounds, shard_clips=then))[0] == planned


def test_auto_goes_on_with_a_number_that_it_would_not_choose(sounds: Path) -> None:
    catalog_plan.create_plan(run_of(sounds, shard_clips=3))
    assert catalog_plan.create_plan(run_of(sounds))[0].shard_clips == 3


@pytest.mark.parametrize(("first", "there"), [("auto", 5), (3, 3)])
def test_another_number_than_the_plans_is_refused(sounds: Path, first: object, there: int) -> None:
    catalog_plan.create_plan(run_of(sounds, shard_clips=first))
    other = run_of(sounds, shard_clips=4)
    with pytest.raises(InputError, match=f"annotate.shard_clips: {there} there, 4 here"):
        catalog_plan.create_plan(other)
    folder = RunFolder.from_config(other)
    record = require_run_record(folder)
    with pytest.raises(InputError, match="belongs to another run"):
        check_same_run(folder, record, other, record.models)


def test_a_catalog_that_has_grown_is_refused_with_the_number_of_its_plan(sounds: Path) -> None:
    catalog_plan.create_plan(run_of(sounds))
    for number in range(90):
        (sounds / f"more{number}.wav").touch()
    with pytest.raises(InputError, match="the plan of another listing: 10 clips"):
        catalog_plan.create_plan(run_of(sounds))
