"""Opens the model of a checkpoint, or writes it as a model directory."""

from typing import Any

from curation.errors import InputError
from curation.models.caption_tokenizer import CaptionTokenizer
from curation.models.networks.towers import TrainableTowers
from curation.storage.files import Storage
from training import checkpoints, pretrain_model, run_folder


def export_model(
    storage: Storage, run: str, out: str, checkpoint: str | None = None
) -> dict[str, Any]:
    """Write the model of a checkpoint, by default the newest, as a model directory.

    The weights are the averaged ones if the training keeps them. Returns the checkpoint's progress.

    Raises InputError if the run has no checkpoint yet.
    """
    pair, tokenizer, progress = load_checkpoint_model(storage, run, checkpoint)
    pretrain_model.save_pretrain_model(storage, pair, tokenizer, out)
    record = run_folder.read_training_record(storage, run)
    assert record is not None
    run_folder.write_model_lineage(
        storage, out, record, {"step": progress["step"], "figures": progress["figures"]}
    )
    return progress


def load_checkpoint_model(
    storage: Storage, run: str, checkpoint: str | None = None
) -> tuple[TrainableTowers, CaptionTokenizer, dict[str, Any]]:
    """Load the model of a checkpoint, the tokenizer, and the checkpoint's progress.

    Raises InputError if the run has no checkpoint yet.
    """
    found = list(checkpoints.list_checkpoints(storage, run_folder.checkpoints_uri(run)).values())
    if not found and checkpoint is None:
        raise InputError(f"{run}: no checkpoint yet; run tagscribe-train pretrain to its end")
    state = checkpoints.read_checkpoint(storage, checkpoint or found[-1])
    pair, tokenizer = pretrain_model.open_pretrain_model(storage, run_folder.initial_model_uri(run))
    weights = checkpoints.module_state(state, "averaged")
    prefix = "module.pair." if weights else "pair."
    weights = weights or checkpoints.module_state(state, "objective")
    pair.load_state_dict(
        {k.removeprefix(prefix): t for k, t in weights.items() if k.startswith(prefix)}
    )
    return pair, tokenizer, state.progress
