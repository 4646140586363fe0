"""Evaluates one checkpoint beside the training, called by `launch` as a process of its own.

A line an evaluation goes to validation.jsonl in the run's folder.
"""

import json
import sys
import tempfile

import torch

from curation.errors import InputError
from curation.models.scorers.dual_encoder import DualEncoderScorer
from curation.storage.files import Storage
from curation.storage.settings import StorageConfig
from training import run_folder
from training.config.pretrain import PretrainConfig
from training.evaluate.evaluation import evaluate_on_dataset
from training.export import export_model


def validate_checkpoint(storage: Storage, run: str, checkpoint: str) -> None:
    """Evaluate a checkpoint on every data set of the run's `validation` section."""
    record = run_folder.read_training_record(storage, run)
    if record is None:
        raise InputError(f"{run}: no training here (no pretrain.json)")
    config = PretrainConfig.model_validate(record["config"])
    # Beside a training on the same cores, and in no hurry.
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        step = export_model(storage, run, folder, checkpoint)["step"]
        scorer = DualEncoderScorer(folder, device="cpu")
        for each in config.validation:
            result = evaluate_on_dataset(
                storage, scorer, each.dataset, each.data, each.split, quiet=True
            )
            summary = {key: result[key] for key in ("dataset", "split", "clips", "figures")}
            _append(storage, run_folder.validation_uri(run), {"step": step, **summary})


def _append(storage: Storage, uri: str, line: dict[str, object]) -> None:
    before = storage.read_bytes(uri) if storage.exists(uri) else b""
    storage.put(uri, before + (json.dumps(line) + "\n").encode())


if __name__ == "__main__":
    settings = StorageConfig.model_validate_json(sys.argv[3])
    validate_checkpoint(Storage(settings), *sys.argv[1:3])
