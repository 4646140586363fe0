"""The one YAML: strict, explained, and clear about what is wrong with it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from curation.config.annotate import AnnotateConfig
from curation.config.policy import Policy
from curation.errors import InputError
from curation.run import config_file, config_reference

MINIMAL = {"run": "runs/x", "catalog": {"kind": "folder", "audio": "sounds"}}


def write_text_file(tmp_path: Path, text: str) -> str:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    return str(path)


def test_a_minimal_file_is_enough(tmp_path: Path) -> None:
    loaded = config_file.read_run_config(write_text_file(tmp_path, yaml.safe_dump(MINIMAL)))
    assert loaded.annotate.shard_clips == "auto"
    assert loaded.captioner.candidates == 4


def test_the_run_folder_is_made_absolute() -> None:
    assert Path(config_file.parse_run_config(MINIMAL, "test").run) == Path.cwd() / "runs/x"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"anotate": {}}, "unknown key 'anotate'; did you mean 'annotate'"),
        ({"annotate": {"shard_clip": 3}}, "'annotate.shard_clip'; did you mean 'shard_clips'"),
        ({"annotate": {"pools": {"scorer": 1}}}, "did you mean 'scorers'"),
        ({"catalog": {"kind": "folder", "audoi": "x"}}, "did you mean 'audio'"),
        ({"catalog": {"kind": "tape"}}, "catalog"),
        (
            {"annotate": {"shard_clips": 0}},
            "annotate.shard_clips: .*0: expected 1 or more",
        ),
        (
            {"select": {"top_fraction": 0.5, "min_score": 0.1}},
            "min_score or top_fraction, not both",
        ),
        ({"run": None}, "run: "),
    ],
)
def test_a_mistake_is_named_with_what_was_expected(change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        config_file.parse_run_config({**MINIMAL, **change}, "run.yaml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere.yaml: no such file"):
        config_file.read_run_config(str(tmp_path / "nowhere.yaml"))


@pytest.mark.parametrize("text", ["run: [", "- a\n- b\n", ""])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="run.yaml: "):
        config_file.read_run_config(write_text_file(tmp_path, text))


def test_the_documentation_is_itself_a_valid_file() -> None:
    text = config_reference.format_config_reference().replace("<required>", "somewhere")
    documented = yaml.safe_load(text)
    loaded = config_file.parse_run_config(documented, "document")
    assert loaded.annotate == AnnotateConfig()
    assert loaded.select == Policy()


def test_the_documentation_explains_every_key() -> None:
    lines = config_reference.format_config_reference().splitlines()
    for key, before in zip(lines[1:], lines, strict=False):
        if not key.lstrip().startswith("#"):
            assert before.lstrip().startswith("#"), f"{key!r} is not explained"


def test_where_the_work_runs_does_not_change_what_it_says() -> None:
    base = config_file.parse_run_config(MINIMAL, "a")
    placed = config_file.parse_run_config(
        {
            **MINIMAL,
            "run": "elsewhere",
            "annotate": {"placement": "separate", "actors": 3, "decode_threads": 5},
            "select": {"top_fraction": 0.1},
        },
        "b",
    )
    assert placed.evidence_settings() == base.evidence_settings()
    seeded = config_file.parse_run_config({**MINIMAL, "seed": 7}, "c")
    assert seeded.evidence_settings() != base.evidence_settings()


def test_the_built_in_captioner_takes_larger_batches() -> None:
    def batch_seconds(**sections: Any) -> float:
        return config_file.parse_run_config({**MINIMAL, **sections}, "a").batch_seconds

    other = {"kind": "encoder_decoder", "model": "owner/name", "revision": "0" * 40}
    assert batch_seconds() == 640
    assert batch_seconds(captioner=other) == 160
    assert batch_seconds(annotate={"batch_seconds": 20}) == 20
    assert batch_seconds(captioner=other, annotate={"batch_seconds": 320.5}) == 320.5


def test_a_chosen_budget_is_recorded_as_the_one_that_it_is() -> None:
    chosen, given = (
        config_file.parse_run_config({**MINIMAL, "annotate": annotate}, "a").evidence_settings()
        for annotate in ({}, {"batch_seconds": 640})
    )
    assert chosen == given
    with pytest.raises(InputError, match="batch_seconds"):
        config_file.parse_run_config({**MINIMAL, "annotate": {"batch_seconds": 0}}, "a")
