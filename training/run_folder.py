"""A training's folder: where its files are, its record, and the lineage of its models.

pretrain.json             configuration, tables and versions, what they were made from
start/                    the model as training begins: sizes, tokenizer, first weights
checkpoints/              step-*.safetensors, the newest few
metrics.jsonl             a line a logged step; on object storage a folder, as validation.jsonl
validation.jsonl          a line an evaluation of a checkpoint
tensorboard/              the figures of metrics.jsonl for TensorBoard
ray/                      Ray Train's own notes, of a training under Ray in a local folder
model/                    the result: weights, tokenizer, lineage.json
"""

import json
from collections.abc import Mapping
from typing import Any

from curation.errors import InputError
from curation.run.code_version import read_code_version
from curation.run.record import list_differences, read_package_versions
from curation.storage.files import Storage
from curation.uris import join_uri
from training.config.pretrain import PretrainConfig
from training.data.table_index import TableIndex

FORMAT = 1
LINEAGE = "lineage.json"


def initial_model_uri(folder: str) -> str:
    return join_uri(folder, "start")


def checkpoints_uri(folder: str) -> str:
    return join_uri(folder, "checkpoints")


def metrics_uri(folder: str) -> str:
    return join_uri(folder, "metrics.jsonl")


def validation_uri(folder: str) -> str:
    return join_uri(folder, "validation.jsonl")


def model_uri(folder: str) -> str:
    return join_uri(folder, "model")


def open_training_tables(config: PretrainConfig) -> TableIndex:
    """Open the training tables. A resumed run uses the table versions of its first start.

    Raises InputError naming the settings, if the folder belongs to a training with other settings.
    """
    storage = Storage(config.storage)
    record = read_training_record(storage, config.run)
    if record is None:
        return TableIndex.concat(
            [TableIndex.open(storage, table.uri, table.version) for table in config.data.tables]
        )
    _check_same_training(config, record)
    return TableIndex.concat(
        [TableIndex.open(storage, each["uri"], each["version"]) for each in record["tables"]]
    )


def read_training_record(storage: Storage, folder: str) -> dict[str, Any] | None:
    """Read pretrain.json. Returns None if the folder has no training yet."""
    uri = join_uri(folder, "pretrain.json")
    try:
        record: dict[str, Any] = json.loads(storage.read_bytes(uri))
    except FileNotFoundError:
        return None
    if record.get("format") != FORMAT:
        raise InputError(f"{uri}: format {record.get('format')!r}, this version reads {FORMAT}")
    return record


def write_training_record(config: PretrainConfig, pairs: TableIndex) -> None:
    """Create pretrain.json; an existing file is not replaced."""
    record = {
        "format": FORMAT,
        "config": config.model_dump(mode="json"),
        "tables": pairs.tables,
        "versions": read_package_versions(),
    }
    Storage(config.storage).put_new(join_uri(config.run, "pretrain.json"), _json(record))


def write_model_lineage(
    storage: Storage, folder: str, record: Mapping[str, Any], progress: Mapping[str, Any]
) -> None:
    """Write the origin and the training progress of a model to the folder of its weights."""
    lineage = {key: record[key] for key in ("tables", "config", "versions")}
    lineage["code"] = read_code_version()
    storage.put(join_uri(folder, LINEAGE), _json({**lineage, **progress}))


def read_model_lineage(storage: Storage, model: str) -> dict[str, Any]:
    """Read the lineage of a model. Raises InputError if the model has no lineage.json."""
    uri = join_uri(model, LINEAGE)
    try:
        lineage: dict[str, Any] = json.loads(storage.read_bytes(uri))
    except FileNotFoundError as error:
        raise InputError(
            f"{model}: no {LINEAGE}; expected the model/ of a run of tagscribe-train pretrain"
        ) from error
    except ValueError as error:
        raise InputError(f"{uri}: not JSON: {error}; copy the model again") from error
    return lineage


def _check_same_training(config: PretrainConfig, record: Mapping[str, Any]) -> None:
    before = PretrainConfig.model_validate(record["config"]).result_settings()
    differing = [
        f"{key}: {there!r} there, {here!r} here"
        for key, there, here in list_differences(before, config.result_settings())
    ]
    if differing:
        raise InputError(
            f"{config.run} belongs to another training: {'; '.join(differing)}. Name another "
            "folder under run:, or use the configuration in its pretrain.json"
        )


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
