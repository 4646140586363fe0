"""Pre-training on a small table: it learns, resumes bit for bit, and fails clearly."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers.sentence_transformer.modules import Pooling
from transformers import ClapModel, ClapProcessor

from curation.errors import InputError, RunError
from curation.models.networks.load_towers import load_trainable_towers
from curation.models.scorers.dual_encoder import DualEncoderScorer
from curation.storage.files import Storage
from tests.models.networks.test_text_towers import sentence_encoder
from tests.models.scorers.test_clap import AUDIO, FRONT_END, TEXT, bytes_tokenizer
from tests.support.runs import write_yaml
from tests.training.tables import RATE_HZ, commit, pair_rows, write_wavs
from training import checkpoints, run_folder
from training.config.pretrain import PretrainConfig
from training.pretrain import pretrain
from training.tracking import read_metrics
from training.training_step import NonFiniteError
from training.validation_runner import SubprocessValidationRunner

CLIPS = 24
NAMES = ("one", "two", "three", "four", "five", "six", "seven", "eight")
TINY: dict[str, Any] = {
    "model": {
        "frontend": {
            "sample_rate_hz": RATE_HZ,
            "n_fft": 256,
            "window": 256,
            "hop": 128,
            "mels": 16,
            "high_hz": RATE_HZ / 2,
        },
        "cnn": {"channels": [4, 8]},
        "audio_layers": 1,
        "audio_dim": 16,
        "audio_heads": 2,
        "embed_dim": 8,
        "text": {"kind": "words", "dim": 16, "layers": 1, "heads": 2, "feed_forward": 16},
    },
    "schedule": {"epochs": 4, "global_batch_size": 6, "learning_rate": 0.01},
    "saving": {"log_every_steps": 1, "checkpoint_every_steps": 3, "trackers": []},
}
STEPS = 16


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("table")
    rows = pair_rows(write_tones(folder / "wavs"))
    for row in rows:
        row["caption"] = f"a tone called {NAMES[int(row['clip_id'][4:]) % len(NAMES)]}"
    return commit(str(folder / "table"), rows)


def write_tones(folder: Path) -> list[str]:
    """Tones of eight pitches, 0.5 to 1 s, with noise."""
    folder.mkdir()
    for clip in range(CLIPS):
        rng = np.random.default_rng(clip)
        time_s = np.arange(int(RATE_HZ * rng.uniform(0.5, 1.0))) / RATE_HZ
        tone = np.sin(2 * np.pi * 300 * 1.3 ** (clip % len(NAMES)) * time_s)
        sound = 0.3 * tone + rng.normal(0, 0.01, len(tone))
        soundfile.write(folder / f"{clip:03d}.wav", sound, RATE_HZ)
    return sorted(str(path) for path in folder.iterdir())


def config_of(table: str, run: Path | str, **sections: Any) -> PretrainConfig:
    values = {
        **TINY,
        "run": str(run),
        "data": {"tables": [table], "workers": 0},
        **{key: {**TINY.get(key, {}), **value} for key, value in sections.items()},
    }
    return PretrainConfig.model_validate(values)


def train(config: PretrainConfig) -> None:
    with SubprocessValidationRunner(config) as validation:
        pretrain(config, validation, lambda done, total: None)


def curve(run: Path | str) -> dict[int, float]:
    """The loss at each step."""
    lines = read_metrics(Storage(), run_folder.metrics_uri(str(run)))
    return {line["step"]: line["loss"] for line in lines}


def steps_saved(run: Path | str) -> list[int]:
    """The steps of the checkpoints that are there."""
    return list(checkpoints.list_checkpoints(Storage(), run_folder.checkpoints_uri(str(run))))


def assert_learnt(run: Path) -> None:
    """The mean loss of the last epoch, of four, is below that of the first."""
    losses = [loss for _, loss in sorted(curve(run).items())]
    assert np.mean(losses[-4:]) < np.mean(losses[:4]), losses


def cut_back(run: Path, step: int) -> None:
    """Leave a run as one that died after the checkpoint of `step`."""
    for later, uri in checkpoints.list_checkpoints(
        Storage(), run_folder.checkpoints_uri(str(run))
    ).items():
        if later > step:
            Storage().delete(uri)
    Storage().delete_tree(run_folder.model_uri(str(run)))


@pytest.fixture(scope="module")
def undisturbed(table: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    train(config_of(table, run, saving={"keep_checkpoints": 9}))
    return run


def test_the_loss_falls_below_chance_and_every_figure_is_reported(undisturbed: Path) -> None:
    lines = [json.loads(line) for line in (undisturbed / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    assert lines[-1]["loss"] < lines[-1]["loss_of_chance"] == pytest.approx(np.log(6))
    assert set(lines[0]) == {
        "step", "loss", "loss_of_chance", "logit_scale", "gradient_norm", "recall_at_1",
        "alignment", "uniformity", "learning_rate", "epoch", "samples_per_s", "data_wait",
        "clips_replaced", "steps_planned",
    }  # fmt: skip


def test_captions_that_are_all_equal_give_no_recall(tmp_path: Path) -> None:
    rows = pair_rows(write_tones(tmp_path / "wavs"))
    equal = commit(str(tmp_path / "table"), [{**row, "caption": "a tone"} for row in rows])
    train(config_of(equal, tmp_path / "run", schedule={"epochs": 1}))
    for line in read_metrics(Storage(), run_folder.metrics_uri(str(tmp_path / "run"))):
        assert "recall_at_1" not in line and line["loss"] == 0


def test_the_model_opens_as_a_scorer_and_shows_its_lineage(undisturbed: Path, table: str) -> None:
    scorer = DualEncoderScorer(str(undisturbed / "model"))
    scorer.setup()
    assert scorer.sample_rate_hz == RATE_HZ
    assert scorer.embed_text(["a tone"]).shape == (1, 8)
    lineage = run_folder.read_model_lineage(Storage(), str(undisturbed / "model"))
    assert lineage["step"] == STEPS
    assert lineage["tables"][0]["uri"] == table
    assert lineage["tables"][0]["version"] == 0
    assert lineage["versions"]["tagscribe"]
    assert len(lineage["code"]["curation_sha256"]) == 64


@pytest.mark.parametrize("step", [3, 6, 12])
def test_resumed_bit_for_bit_in_mid_epoch_and_in_a_later_one(
    undisturbed: Path, table: str, tmp_path: Path, step: int
) -> None:
    run = tmp_path / "run"
    config = config_of(table, run, saving={"keep_checkpoints": 9})
    train(config)
    cut_back(run, step)
    train(config)
    assert curve(run) == curve(undisturbed)
    ended = (run / "model" / "tagscribe.safetensors").read_bytes()
    assert ended == (undisturbed / "model" / "tagscribe.safetensors").read_bytes()


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_to_the_same_end(
    undisturbed: Path, table: str, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    settings = write_yaml(config_of(table, run, saving={"keep_checkpoints": 9}), tmp_path)
    command = [Path(sys.executable).parent / "tagscribe-train", "pretrain", settings, "--quiet"]
    killed = subprocess.Popen(command)
    deadline = time.monotonic() + 120
    while not checkpoints.list_checkpoints(Storage(), run_folder.checkpoints_uri(str(run))):
        assert killed.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (run / "model").exists()
    subprocess.run(command, check=True, timeout=120)
    assert curve(run) == curve(undisturbed)


@pytest.mark.slow
def test_in_one_process_ray_is_never_imported(table: str, tmp_path: Path) -> None:
    settings = write_yaml(config_of(table, tmp_path / "run", schedule={"epochs": 1}), tmp_path)
    code = (
        "import sys; from training.cli import app; "
        f"app(['pretrain', {str(settings)!r}, '--quiet'], standalone_mode=False); "
        "print('ray' in sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120
    )
    assert ended.stdout.splitlines()[-1:] == ["False"], ended.stderr


def test_chunks_change_rounding_alone(table: str, tmp_path: Path) -> None:
    """Of a model without batch norm's batch statistics: none of the audio tower's is trained."""
    frozen = {"channels": [4, 8]}
    whole, chunked = tmp_path / "whole", tmp_path / "chunked"
    train(config_of(table, whole, schedule={"epochs": 1}, model={"cnn": frozen}))
    train(
        config_of(
            table, chunked, schedule={"epochs": 1, "micro_batch_size": 6}, model={"cnn": frozen}
        )
    )
    assert curve(whole) == curve(chunked)
    halves = tmp_path / "halves"
    train(
        config_of(
            table, halves, schedule={"epochs": 1, "micro_batch_size": 3}, model={"cnn": frozen}
        )
    )
    # Batch norm sees three clips at a time: another loss, but one that is a number and near.
    assert curve(halves)[1] == pytest.approx(curve(whole)[1], rel=0.2)


def test_averaged_weights_are_the_result_where_configured(table: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(config_of(table, run, schedule={"epochs": 1, "ema_decay": 0.5}))
    state = checkpoints.read_checkpoint(
        Storage(),
        list(
            checkpoints.list_checkpoints(Storage(), run_folder.checkpoints_uri(str(run))).values()
        )[-1],
    )
    averaged = checkpoints.module_state(state, "averaged")["module.pair.logit_scale"]
    last = checkpoints.module_state(state, "objective")["pair.logit_scale"]
    assert averaged != last
    scorer = DualEncoderScorer(str(run / "model"))
    scorer.setup()
    assert scorer._loaded._towers.logit_scale.detach() == averaged


def test_the_sigmoid_loss_learns_its_bias(table: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    values = config_of(table, run).model_dump() | {"loss": "sigmoid"}
    train(PretrainConfig.model_validate(values))
    state = checkpoints.read_checkpoint(
        Storage(),
        list(
            checkpoints.list_checkpoints(Storage(), run_folder.checkpoints_uri(str(run))).values()
        )[-1],
    )
    assert checkpoints.module_state(state, "objective")["bias"] != -10.0
    assert_learnt(run)


def test_another_training_in_the_folder_is_an_error(undisturbed: Path, table: str) -> None:
    with pytest.raises(
        InputError, match=r"schedule.global_batch_size: 6 there, 8 here.*Name another folder"
    ):
        train(config_of(table, undisturbed, schedule={"global_batch_size": 8}))


def test_a_batch_larger_than_the_table_is_an_error(table: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{CLIPS}"):
        train(config_of(table, tmp_path / "run", schedule={"global_batch_size": 100}))


def test_a_checkpoint_of_another_architecture_is_an_error(
    undisturbed: Path, table: str, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    train(config_of(table, other, model={"embed_dim": 4}, schedule={"epochs": 1}))
    run = tmp_path / "run"
    train(config_of(table, run))
    [*_, newest] = checkpoints.list_checkpoints(
        Storage(), run_folder.checkpoints_uri(str(run))
    ).values()
    [*_, foreign] = checkpoints.list_checkpoints(
        Storage(), run_folder.checkpoints_uri(str(other))
    ).values()
    Storage().put(newest, Storage().read_bytes(foreign))
    with pytest.raises(InputError, match=r"another architecture: pair.*shape.*configure the model"):
        train(config_of(table, run))


def test_a_broken_checkpoint_is_an_error(table: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(config_of(table, run, schedule={"epochs": 1}))
    [*_, newest] = checkpoints.list_checkpoints(
        Storage(), run_folder.checkpoints_uri(str(run))
    ).values()
    Storage().put(newest, Storage().read_bytes(newest)[:1000])
    with pytest.raises(InputError, match="not a checkpoint.*delete it"):
        train(config_of(table, run, schedule={"epochs": 1}))


def test_long_captions_are_cut_to_the_models_tokens(tmp_path: Path) -> None:
    rows = pair_rows(write_wavs(tmp_path / "wavs", 8))
    rows[0]["caption"] = "beep " * 10_000
    table = commit(str(tmp_path / "table"), rows)
    train(config_of(table, tmp_path / "run", schedule={"epochs": 1, "global_batch_size": 8}))
    assert np.isfinite(list(curve(tmp_path / "run").values())).all()


def test_mixed_clips_train(table: str, tmp_path: Path) -> None:
    train(config_of(table, tmp_path / "run", augment={"mixup": 1.0}, schedule={"epochs": 1}))
    assert np.isfinite(list(curve(tmp_path / "run").values())).all()


@pytest.mark.skipif(os.geteuid() != 0, reason="a small filesystem can be mounted by root alone")
def test_a_full_disk_leaves_the_checkpoints_before_whole(table: str, tmp_path: Path) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", mount], check=False)
    if made.returncode:
        pytest.skip("no small filesystem can be mounted here")
    try:
        run = mount / "run"
        config = config_of(table, run, saving={"keep_checkpoints": 9})
        with pytest.raises(RunError, match="could not be written.*so far are whole"):
            train(config)
        kept = checkpoints.list_checkpoints(Storage(), run_folder.checkpoints_uri(str(run)))
        assert kept
        for uri in kept.values():
            checkpoints.read_checkpoint(Storage(), uri)
    finally:
        # Lazily: the thread that failed to write may not have ended yet.
        subprocess.run(["umount", "--lazy", mount], check=True)


def test_a_loss_that_is_no_number_stops_the_training(table: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    schedule = {"learning_rate": 1e30, "max_gradient_norm": 1e30, "warmup_fraction": 0.0}
    saving = {"checkpoint_every_steps": 1, "keep_checkpoints": 99}
    with pytest.raises(NonFiniteError, match="lower schedule.learning_rate"):
        train(config_of(table, run, schedule=schedule, saving=saving))
    for uri in checkpoints.list_checkpoints(
        Storage(), run_folder.checkpoints_uri(str(run))
    ).values():
        tensors = checkpoints.read_checkpoint(Storage(), uri).tensors
        assert all(tensor.isfinite().all() for tensor in tensors.values())


def test_a_gradient_without_bound_stops_before_the_step_and_before_a_checkpoint(
    undisturbed: Path, table: str, tmp_path: Path
) -> None:
    """The loss stays finite: each product of a huge and a tiny weight is as it was."""
    model = tmp_path / "model"
    shutil.copytree(undisturbed / "model", model)
    [path] = model.glob("*.safetensors")
    weights = load_file(path)
    huge = 1e25
    for name in ("audio.norm.weight", "audio.norm.bias"):
        weights[name] *= huge
    for name in ("audio.attention.weight", "audio_projection.weight"):
        weights[name] /= huge
    save_file(weights, path, {"format": "pt"})
    run = tmp_path / "run"
    values = config_of(table, run, saving={"checkpoint_every_steps": 1}).model_dump()
    values["model"] = {"kind": "pretrained", "model": str(model)}
    with pytest.raises(NonFiniteError, match=r"step 1: the loss is [\d.]+ and the norm.* inf;"):
        train(PretrainConfig.model_validate(values))
    assert steps_saved(run) == [] and curve(run) == {}


def test_a_checkpoint_each_200_steps_or_two_minutes_whichever_is_first(
    table: str, tmp_path: Path
) -> None:
    saving = PretrainConfig.model_fields["saving"].default
    assert (saving.checkpoint_every_steps, saving.checkpoint_every_s) == (200, 120)
    by_steps, by_time = tmp_path / "steps", tmp_path / "time"
    often = {"checkpoint_every_steps": 1000, "keep_checkpoints": 99}
    train(config_of(table, by_steps, saving={**often, "checkpoint_every_s": None}))
    assert steps_saved(by_steps) == [STEPS]
    train(config_of(table, by_time, saving={**often, "checkpoint_every_s": 1e-6}))
    # Not each step: none is begun while the one before is written.
    assert {1, STEPS} < set(steps_saved(by_time))
    assert curve(by_time) == curve(by_steps)


def test_metrics_are_appended_and_lines_that_are_trained_again_are_replaced_in_reading(
    table: str, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    config = config_of(table, run, saving={"keep_checkpoints": 9})
    train(config)
    before = (run / "metrics.jsonl").read_bytes()
    figures = curve(run)
    cut_back(run, 12)
    with (run / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 17, "lo')  # of a process that was killed while it wrote
    train(config)
    after = (run / "metrics.jsonl").read_bytes()
    assert after.startswith(before)
    assert len(after.splitlines()) == STEPS + 1 + (STEPS - 12)
    assert curve(run) == figures


def test_a_training_in_a_bucket(table: str, s3_folder: str) -> None:
    run = f"{s3_folder}/pretrain"
    train(config_of(table, run, schedule={"epochs": 1}, saving={"trackers": ["tensorboard"]}))
    assert [f for f in Storage().list_files(f"{run}/tensorboard") if f.size_bytes]
    assert Storage().exists(f"{run}/model/config.json")
    assert steps_saved(run) == [3, 4]
    scores = curve(run)
    assert sorted(scores) == [1, 2, 3, 4]
    assert torch.isfinite(torch.tensor(list(scores.values()))).all()


def test_a_clap_is_pretrained_and_transformers_opens_it(table: str, tmp_path: Path) -> None:
    """The same embeddings to 1e-4, the front end's tolerance: tests/models/scorers/test_clap.py."""
    bytes_tokenizer().save_pretrained(tmp_path / "tokenizer")
    run = tmp_path / "run"
    values = config_of(table, run, schedule={"epochs": 1}).model_dump()
    values["model"] = {
        "kind": "clap",
        "tokenizer": str(tmp_path / "tokenizer"),
        "audio": AUDIO,
        "text": TEXT,
        "frontend": FRONT_END,
        "embed_dim": 8,
    }
    train(PretrainConfig.model_validate(values))
    losses = curve(run)
    assert np.isfinite(list(losses.values())).all()
    model, processor = (each.from_pretrained(run / "model") for each in (ClapModel, ClapProcessor))
    sound = np.random.default_rng(0).normal(0, 0.1, 6000).astype(np.float32)
    inputs = processor(audio=sound, sampling_rate=8000, text=["a tone"], return_tensors="pt")
    scorer = DualEncoderScorer(str(run / "model"))
    scorer.setup()
    with torch.inference_mode():
        theirs = model.eval()(**inputs)
    [ours] = scorer.embed_audio([sound])
    np.testing.assert_allclose(ours, theirs.audio_embeds[0].numpy(), atol=1e-4)
    text = scorer.embed_text(["a tone"])[0]
    np.testing.assert_allclose(text, theirs.text_embeds[0].numpy(), atol=1e-5)
    assert model.logit_scale_a == model.logit_scale_t


def test_a_frozen_sentence_encoder_stays_as_it_was(table: str, tmp_path: Path) -> None:
    encoder = sentence_encoder(tmp_path, "bert", Pooling(16, "mean"))
    run = tmp_path / "run"
    text = {"kind": "pretrained", "model": str(encoder), "frozen": True}
    train(config_of(table, run, model={"text": text}))
    before = load_trainable_towers(run / "start", "cpu")[0].state_dict()
    after = load_trainable_towers(run / "model", "cpu")[0].state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and not any(name.startswith("text.") for name in changed)
    assert_learnt(run)


def test_checkpointing_of_activations_changes_nothing(
    undisturbed: Path, table: str, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    train(config_of(table, run, runtime={"gradient_checkpointing": True}))
    assert curve(run) == pytest.approx(curve(undisturbed), rel=1e-5)


def test_bf16_learns_too(undisturbed: Path, table: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(config_of(table, run, runtime={"precision": "bf16"}))
    assert curve(run) != curve(undisturbed)
    assert_learnt(run)


def test_a_model_that_is_there_is_trained_on(undisturbed: Path, table: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    values = config_of(table, run, schedule={"epochs": 1}).model_dump()
    values["model"] = {"kind": "pretrained", "model": str(undisturbed / "model")}
    train(PretrainConfig.model_validate(values))
    given, started, trained = (
        load_file(f"{folder}/tagscribe.safetensors")
        for folder in (undisturbed / "model", run_folder.initial_model_uri(str(run)), run / "model")
    )
    assert given.keys() == started.keys() == trained.keys()
    assert all(torch.equal(given[name], started[name]) for name in given)
    assert not torch.equal(given["logit_scale"], trained["logit_scale"])
