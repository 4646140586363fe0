"""Evaluates one checkpoint during the training, in a separate process or Ray task.

Each evaluation adds a line to validation.jsonl in the run's folder.
"""

import json
import sys
import tempfile
from collections.abc import Sequence

import torch

from curation.models.scorers.dual_encoder import DualEncoderScorer
from curation.storage.append import append_line
from curation.storage.files import Storage
from curation.storage.settings import StorageConfig
from training import run_folder
from training.config.pretrain import ValidationConfig
from training.evaluate.evaluation import evaluate_on_dataset
from training.export import export_model


def validate_checkpoint(
    storage: Storage, run: str, checkpoint: str, datasets: Sequence[ValidationConfig]
) -> None:
    """Evaluate a checkpoint on the configured data sets, and append the figures."""
    # Beside a training on the same cores, and in no hurry.
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        step = export_model(storage, run, folder, checkpoint)["step"]
        scorer = DualEncoderScorer(folder, device="cpu")
        for each in datasets:
            result = evaluate_on_dataset(
                storage, scorer, each.dataset, each.data, each.split, quiet=True
            )
            summary = {key: result[key] for key in ("dataset", "split", "clips", "figures")}
            line = json.dumps({"step": step, **summary}) + "\n"
            append_line(storage, run_folder.validation_uri(run), line.encode())


if __name__ == "__main__":
    uri, newest, settings, *sections = sys.argv[1:]
    validate_checkpoint(
        Storage(StorageConfig.model_validate_json(settings)),
        uri,
        newest,
        [ValidationConfig.model_validate_json(section) for section in sections],
    )
