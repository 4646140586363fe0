"""Tiny trainings on the command line: the loss falls, and what is written opens in the adapters."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn

from curation.errors import InputError, RunError
from curation.models.captioners.tag_guided import TagGuidedAdapter
from curation.models.networks.log_mel_config import LogMelConfig
from curation.models.scorers.dual_encoder import DualEncoderScorer
from curation.schema import Failure
from curation.synth.mixing import render_clip
from curation.synth.scenes import make_scene
from training import cli
from training.config.config_file import load_training_config
from training.config.reference import (
    CorpusConfig,
    ReferenceCaptionerConfig,
    ReferenceClapConfig,
    ReferenceScheduleConfig,
)
from training.reference.corpus import FeatureCorpus, render_corpus
from training.reference.training_loop import train_epochs, train_reference_model

TINY = {
    "corpus": {"clips": 24, "held_out_clips": 6, "workers": 1},
    "frontend": {"sample_rate_hz": 8000, "n_fft": 512, "window": 512, "high_hz": 4000.0},
    "cnn": {"channels": [4, 8, 8]},
    "augment": {"gain_db": 1.0, "noise": 0.1},
    "schedule": {"epochs": 4, "batch_size": 8, "learning_rate": 0.01},
}
SMALL = {
    "captioner": {"dim": 16, "heads": 2, "feed_forward": 16},
    "pretrain": {
        "audio_dim": 16,
        "audio_heads": 2,
        "text_dim": 16,
        "text_heads": 2,
        "text_layers": 1,
        "text_feed_forward": 16,
        "embed_dim": 8,
        "hard_negatives": 2,
    },
}


def run(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Train by the command line; what metrics.json says."""
    settings = folder / "tiny.yaml"
    settings.write_text(yaml.safe_dump({**TINY, **SMALL[command]}))
    arguments = ["tagscribe-train", command, str(settings), "--out", str(folder / "out")]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    return json.loads((folder / "out" / "metrics.json").read_text())


def test_captioner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = run("captioner", tmp_path, monkeypatch)
    losses = metrics["losses"]
    assert isinstance(losses, list)
    assert losses[-1] < losses[0] - 0.3, losses
    assert {"none", "noisy", "true"} <= set(metrics)
    adapter = TagGuidedAdapter(str(tmp_path / "out"))
    adapter.setup()
    assert adapter.sample_rate_hz == 8000
    [result] = adapter.caption([np.random.default_rng(0).normal(size=9000)], [[]], [1])
    assert not isinstance(result, Failure)


def test_pretrain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = run("pretrain", tmp_path, monkeypatch)
    losses = metrics["losses"]
    assert isinstance(losses, list)
    assert len(losses) == 4 and losses[-1] < losses[0] / 2, losses
    # What was measured in training is what the model that was written does, by its adapter.
    assert metrics["auc"]["random"] == pytest.approx(measure_auc(tmp_path / "out"), abs=0.01)


def measure_auc(model: Path) -> float:
    """How often a held-out clip is nearer to a caption of its scene than to another's."""
    scorer = DualEncoderScorer(str(model))
    scorer.setup()
    rendered = [render_clip(7, index, 8000) for index in range(TINY["corpus"]["held_out_clips"])]
    audio = np.stack(scorer.embed_audio([waveform for waveform, _ in rendered]))
    scenes = [scene for _, scene in rendered]
    scores = scorer.embed_text([scene.captions[0] for scene in scenes]) @ audio.T
    keys = [(scene.classes, scene.relation) for scene in scenes]
    same = np.array([[one == other for other in keys] for one in keys])
    return float(np.mean(scores[same][:, None] > scores[~same][None]))


def test_misspelt_key_is_an_error_of_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "bad.yaml"
    settings.write_text("schedule: {epoch: 3}")
    monkeypatch.setattr("sys.argv", ["tagscribe-train", "captioner", str(settings)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    message = capsys.readouterr().err
    assert "bad.yaml: unknown key 'schedule.epoch'; did you mean 'epochs'?" in message
    assert "Traceback" not in message


def test_no_file_trains_the_reference() -> None:
    assert load_training_config(None, ReferenceCaptionerConfig) == ReferenceCaptionerConfig()
    with pytest.raises(InputError, match="nowhere.yaml: no such file"):
        load_training_config("nowhere.yaml", ReferenceClapConfig)


@pytest.mark.parametrize("kind", [ReferenceCaptionerConfig, ReferenceClapConfig])
def test_training_and_evaluation_use_different_seeds(
    kind: type[ReferenceCaptionerConfig] | type[ReferenceClapConfig],
) -> None:
    used: dict[str, FeatureCorpus] = {}

    def train(config: object, corpus: FeatureCorpus, *_: object) -> tuple[None, None, list[float]]:
        used["trained on"] = corpus
        return None, None, []

    def evaluate(model: None, tokenizer: None, corpus: FeatureCorpus) -> dict[str, float]:
        used["held out"] = corpus
        return {}

    sizes = {"clips": 3, "held_out_clips": 2, "workers": 1}
    config = kind.model_validate({"corpus": {**sizes, "seed": 1234, "held_out_seed": 56}})
    train_reference_model(config, 3, train, evaluate, progress=False)
    assert used["trained on"].scenes == [make_scene(1234 + 3, index) for index in range(3)]
    assert used["held out"].scenes == [make_scene(56, index) for index in range(2)]


@pytest.mark.parametrize("factor", [1e25, float("nan")])
def test_a_loss_or_gradient_that_is_not_finite_changes_no_weight(factor: float) -> None:
    model = nn.Sequential(nn.Conv2d(2, 2, 3), nn.Linear(2, 2))
    before = [parameter.clone() for parameter in model.parameters()]

    def compute_loss(rows: list[int], rng: np.random.Generator) -> Tensor:
        return sum(parameter.mean() for parameter in model.parameters()) * factor

    schedule = ReferenceScheduleConfig(batch_size=2)
    with pytest.raises(RunError, match="lower schedule.learning_rate"):
        train_epochs(model, [9, 9], compute_loss, schedule, seed=0, progress=False)
    assert all(map(torch.equal, before, model.parameters()))


@pytest.mark.parametrize("section", [{"seed": 999}, {"held_out_seed": 1000}])
def test_seeds_that_could_meet_are_refused(section: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="1000"):
        CorpusConfig(**section)


def test_corpus_does_not_depend_on_the_number_of_workers() -> None:
    frontend = LogMelConfig(sample_rate_hz=8000, n_fft=512, window=512, high_hz=4000.0)
    one = render_corpus(3, 4, frontend, workers=1)
    two = render_corpus(3, 4, frontend, workers=2)
    assert one.scenes == two.scenes
    for alone, pooled in zip(one.features, two.features, strict=True):
        assert alone.equal(pooled)
