"""A model's weights are found in one file or in several, hashed whole, and never unpickled."""

import json
import subprocess
from pathlib import Path

import pytest

from curation.errors import InputError
from curation.models import files

SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What there is beside the weights."""
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    return tmp_path


def write_index(folder: Path, weight_map: object) -> None:
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))


def write_shards(folder: Path) -> None:
    # The index names them as often as they hold weights, and in the order of those.
    write_index(folder, {"b": SHARDS[1], "a": SHARDS[0], "c": SHARDS[1]})
    for name in SHARDS:
        (folder / name).write_bytes(name.encode())


def test_weights_in_several_files_are_found_and_hashed_in_the_order_of_their_names(
    folder: Path,
) -> None:
    write_shards(folder)
    assert files.locate_model(str(folder), None, "clap") == folder
    both = subprocess.check_output(f"cat {' '.join(SHARDS)} | sha256sum", shell=True, cwd=folder)
    assert files.hash_weights(folder) == both.decode().split()[0]


def test_one_file_goes_before_an_index(folder: Path) -> None:
    write_shards(folder)
    (folder / "model.safetensors").write_bytes(b"one")
    assert files.list_weight_files(folder) == [folder / "model.safetensors"]


def test_a_file_that_the_index_names_and_is_not_there_is_refused(folder: Path) -> None:
    write_shards(folder)
    (folder / SHARDS[1]).unlink()
    with pytest.raises(InputError, match=f"{folder.name}: {SHARDS[1]} missing"):
        files.locate_model(str(folder), None, "clap")


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        ({}, "names no files; expected the safetensors files beside it"),
        ({"a": "../model.safetensors"}, "names ../model.safetensors; expected"),
        ({"a": "pytorch_model-1.bin"}, "names pytorch_model-1.bin; expected"),
        ({"a": 1}, "not an index of weights"),
        (["a"], "not an index of weights"),
    ],
)
def test_an_index_of_anything_else_is_refused(
    folder: Path, weight_map: object, message: str
) -> None:
    write_index(folder, weight_map)
    with pytest.raises(InputError, match=f"index.json: .*{message}"):
        files.locate_model(str(folder), None, "clap")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "pytorch_model.bin.index.json"])
def test_pickled_weights_are_refused(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"")
    with pytest.raises(InputError, match="the weights are pickled.*expected model.safetensors"):
        files.locate_model(str(folder), None, "clap")
