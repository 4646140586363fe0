"""Names real recordings by text prompts alone: ESC-10, one fold at a time."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import torchaudio.functional as audio_functional
from transformers import PreTrainedTokenizerBase

from curation import synth
from curation.errors import InputError
from curation.models.dual_encoder import DualEncoder


def esc10_accuracy(
    model: DualEncoder, tokenizer: PreTrainedTokenizerBase, folder: Path, fold: int
) -> dict[str, Any]:
    """Accuracy over the ten classes and by class, and the prompts.

    A class is told by the phrases of the procedural sound of the same AudioSet class ("a dog
    barking", "a dog yelping"), by the mean of their embeddings. Settings may be chosen by fold 1;
    the other folds are for reporting.

    Raises InputError where `folder` does not hold `clips.csv` and `audio/`.
    """
    listing = folder / "clips.csv"
    if not listing.is_file():
        raise InputError(f"{folder}: no clips.csv; expected a folder of ESC-10, audio/ beside it")
    with listing.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    prompts = {row["esc10_class"]: _phrases(row["audioset_mids"]) for row in rows}
    classes = sorted(prompts)
    heard = [row for row in rows if int(row["fold"]) == fold]
    with torch.inference_mode():
        text = torch.stack([_mean_embedding(model, tokenizer, prompts[name]) for name in classes])
        audio = torch.cat([_embedding(model, folder / "audio" / row["file"]) for row in heard])
    named = (audio @ text.T).argmax(dim=1).tolist()
    right = np.array(
        [classes[name] == row["esc10_class"] for name, row in zip(named, heard, strict=True)]
    )
    truth = np.array([row["esc10_class"] for row in heard])
    return {
        "accuracy": float(right.mean()),
        "clips": len(heard),
        "fold": fold,
        "by_class": {name: float(right[truth == name].mean()) for name in classes},
        "prompts": prompts,
    }


def _phrases(mid: str) -> list[str]:
    return [
        clause.nominal() for sound in synth.CLASSES if sound.mid == mid for clause in sound.clauses
    ]


def _mean_embedding(
    model: DualEncoder, tokenizer: PreTrainedTokenizerBase, prompts: list[str]
) -> torch.Tensor:
    tokens = tokenizer(prompts, padding=True, return_tensors="pt")
    return model.encode_text(tokens["input_ids"], tokens["attention_mask"]).mean(dim=0)


def _embedding(model: DualEncoder, path: Path) -> torch.Tensor:
    samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    mono = torch.from_numpy(samples.mean(axis=1))[None]
    wanted_hz = model.frontend.config.sample_rate_hz
    waveform = audio_functional.resample(mono, rate_hz, wanted_hz)
    return model.encode_audio(waveform, torch.tensor([waveform.shape[1]]))
