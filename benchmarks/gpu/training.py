"""Training steps with random weights, waveforms in the host's memory to changed weights.

The steps are those of `tagscribe-train pretrain`: its features, objective, gradient clipping and
optimiser. Sizes: BLAT's pair (CNN14 and BERT-medium) and LAION's (HTSAT and RoBERTa-base).
"""

from functools import cache
from typing import Any

import torch

from benchmarks.gpu.inputs import (
    caption_tokenizer,
    measure_decode_cpu_s,
    random_waveforms,
    true_captions,
)
from benchmarks.gpu.measure import measure, print_stage
from benchmarks.gpu.measurements import Setting
from benchmarks.gpu.scorers import random_clap
from curation.audio.waveform import to_int16
from curation.models import weights
from curation.models.networks.dual_encoder import DualEncoder, DualEncoderConfig
from curation.models.networks.towers import TrainableTowers
from tests.support import tiny_networks
from training.config.pretrain import PretrainConfig
from training.data.batch import AudioTextBatch
from training.data.clip_decode import pad_waveforms
from training.data.features import compute_batch_features
from training.objective import ContrastiveObjective
from training.optim import build_pretrain_optimisers
from training.training_step import run_step

CLIPS = {"full": 256, "toy": 4}


def cnn14_bert(setting: Setting) -> dict[str, Any]:
    print_stage("building the model")
    if setting.is_full:
        return _steps(setting, DualEncoder(DualEncoderConfig()))
    return _steps(setting, tiny_networks.tiny_dual_encoder())


def htsat_roberta(setting: Setting) -> dict[str, Any]:
    return _steps(setting, random_clap(setting))


def _steps(setting: Setting, pair: TrainableTowers) -> dict[str, Any]:
    device = weights.resolve_device(setting.device)
    config = PretrainConfig.model_validate(
        {"run": "runs/gpu_proof", "data": {"tables": "runs/gpu_proof/table"}}
    )
    objective = ContrastiveObjective(pair, caption_tokenizer(setting), config, device).train()
    trained = [each for each in objective.parameters() if each.requires_grad]
    optimisers = build_pretrain_optimisers(objective, config.schedule)
    most = CLIPS[setting.size]
    sounds = [to_int16(each) for each in random_waveforms(setting, most, pair.sample_rate_hz)]
    captions = true_captions(most)

    @cache
    def loaded(clips: int) -> AudioTextBatch:
        return loaded_batch(sounds[:clips], captions[:clips])

    def batch(clips: int) -> int:
        features = compute_batch_features(loaded(clips), pair, config.augment, seed=0)
        run_step(objective, features, config, trained)
        for optimiser in optimisers:
            optimiser.step()
        return 0

    decode_cpu_s = measure_decode_cpu_s(setting, pair.sample_rate_hz)
    figures = measure(setting, batch, most, "bf16", decode_cpu_s)
    return {"samples_per_s": figures.pop("clips_per_s"), **figures}


def loaded_batch(sounds: list[Any], captions: list[str]) -> AudioTextBatch:
    """A batch as the loader hands it out."""
    waveforms, lengths = pad_waveforms(sounds)
    return AudioTextBatch(
        waveforms=waveforms,
        lengths=torch.tensor(lengths),
        captions=captions,
        clips=torch.arange(len(sounds)),
        epoch=0,
        index=0,
        start=0,
        global_rows=len(sounds),
        replaced=[],
    )
