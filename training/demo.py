"""Ends the demo: pre-trains a small model on the curated table, and evaluates it."""

import os

from curation import console, table
from curation.errors import InputError
from curation.models.scorers.dual_encoder import DualEncoderScorer
from curation.run.layout import table_uri
from curation.storage.files import Storage
from curation.uris import join_uri
from training import run_folder
from training.config.pretrain import PretrainConfig
from training.evaluate import procedural
from training.interrupts import TrainingStopped
from training.launch import launch_pretraining

HELD_OUT_CLIPS = 600


def pretrain_demo(folder: str, epochs: int, quiet: bool = False) -> None:
    """Pre-train on the table of a demo's run, and print the model's figures.

    Raises InputError if `folder` has no table.
    """
    uri = table_uri(folder)
    newest = table.read_newest_version(Storage(), uri)
    if newest is None:
        raise InputError(f"{folder}: no curated table here; run tagscribe demo first")
    config = small_pretrain_config(join_uri(folder, "pretrain"), [uri], epochs)
    Storage().delete_tree(config.run)
    console.stdout.print(
        f"Pre-training on the {newest.rows} pairs of {uri}, version {newest.version}"
    )
    try:
        launch_pretraining(config, quiet)
    except TrainingStopped as stopped:
        # Otherwise its message would promise that the same command resumes it.
        raise TrainingStopped(
            "stopped; the same command starts again", stopped.signal_number
        ) from None
    model = run_folder.model_uri(config.run)
    scorers = {"pre-trained here": DualEncoderScorer(model), "reference": DualEncoderScorer()}
    for scorer in scorers.values():
        scorer.setup()
    clips = procedural.render_held_out_clips(
        HELD_OUT_CLIPS, scorers["reference"].sample_rate_hz, os.cpu_count() or 1, not quiet
    )
    figures = {
        name: procedural.evaluate_on_held_out_clips(scorer, clips)
        for name, scorer in scorers.items()
    }
    mixes = sum(scene.relation != "single" for scene in clips.scenes)
    chance = {**procedural.CHANCE, "r@1": 1 / mixes, "r@10": 10 / mixes}
    console.print_table(
        f"{HELD_OUT_CLIPS} held-out clips: zero-shot accuracy, and retrieval among {mixes} mixes",
        ["", *chance],
        [
            [name, *(f"{of_model[column]:.3f}" for column in chance)]
            for name, of_model in {"chance": chance, **figures}.items()
        ],
    )
    console.stdout.print(
        f"The model: {model}; as the scorer of a run: {{kind: clap, model: {model}}}"
    )


def small_pretrain_config(
    run: str, tables: list[str], epochs: int, seed: int = 0
) -> PretrainConfig:
    """Configure a small training: half the reference's computation per clip, for a few cores.

    There is hardly any augmentation, because masked spectra make models from such short trainings
    worse.
    """
    return PretrainConfig.model_validate(
        {
            "run": run,
            "seed": seed,
            "data": {"tables": tables, "workers": 0, "cache_mb": 1000},
            "model": {"cnn": {"channels": [8, 16, 32, 64, 128]}},
            "schedule": {
                "epochs": epochs,
                "global_batch_size": 32,
                "learning_rate": 2e-3,
                "muon_learning_rate": 0.02,
            },
            "saving": {"log_every_steps": 20, "trackers": []},
        }
    )
