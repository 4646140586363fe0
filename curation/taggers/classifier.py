"""Confidences by a classifier's weights: what the adapter of AudioSet taggers is when set up."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification
from transformers.configuration_utils import PreTrainedConfig
from transformers.feature_extraction_utils import FeatureExtractionMixin

from curation.errors import InputError
from curation.models import inputs, weights
from curation.models.config import Dtype
from curation.schema import Failure

# Kaldi's frame, and what the convolutions of wav2vec 2.0 see: nothing shorter is a feature.
_SHORTEST_S = 0.025

Features = dict[str, Tensor]


class Classifier:
    """A loaded audio classifier and its front end; the arguments are `AudioSetTagger`'s."""

    def __init__(self, folder: Path, device: str, dtype: Dtype, trust_remote_code: bool) -> None:
        self._extractor = _load_extractor(folder, trust_remote_code)
        self._model = weights.load_model(
            folder, AutoModelForAudioClassification, getattr(torch, dtype), trust_remote_code
        ).to(weights.pick_device(device))
        self._gives_probabilities = _gives_probabilities(self._model.config)

    def move(self, device: str) -> None:
        """Take the weights to another device, "auto" the GPU where there is one."""
        self._model.to(weights.pick_device(device))

    @torch.inference_mode()
    def confidences(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray | Failure]:
        """The probability of each class for itself, float32 `[class]`, one array a clip, in order.

        Only clips whose features are of one shape go through the model together, so that nothing
        is padded but what the model's own front end pads. On a CPU, which has nothing to gain from
        more, each clip goes alone, and is the same to the last bit whatever its batch.
        """
        results: list[np.ndarray | Failure | None] = [
            inputs.failure(waveform, "tag") for waveform in waveforms
        ]
        features = {
            row: self._features(waveforms[row])
            for row, result in enumerate(results)
            if result is None
        }
        size = 1 if self._model.device.type == "cpu" else len(features)
        for rows in _alike(features, size):
            classified = self._classify([features[row] for row in rows])
            for row, confidences in zip(rows, classified, strict=True):
                results[row] = _checked(confidences)
        return [result for result in results if result is not None]

    def _features(self, waveform: np.ndarray) -> Features:
        """What the model's front end makes of one clip, each tensor `[1, ...]`."""
        rate = self._extractor.sampling_rate
        missing = max(0, math.ceil(_SHORTEST_S * rate) - len(waveform))
        clip = np.pad(waveform.astype(np.float32, copy=False), (0, missing))
        return dict(self._extractor(clip, sampling_rate=rate, return_tensors="pt"))

    def _classify(self, features: Sequence[Features]) -> np.ndarray:
        """Confidences `[clip, class]` of clips whose features are alike."""
        batch = {
            name: self._placed(torch.cat([each[name] for each in features])) for name in features[0]
        }
        outputs = self._model(**batch).logits.float()
        return (outputs if self._gives_probabilities else outputs.sigmoid()).cpu().numpy()

    def _placed(self, values: Tensor) -> Tensor:
        dtype = self._model.dtype if values.is_floating_point() else values.dtype
        return values.to(self._model.device, dtype)


def _load_extractor(folder: Path, trust_remote_code: bool) -> FeatureExtractionMixin:
    try:
        return AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except (ImportError, OSError, TypeError, ValueError) as error:
        raise InputError(
            f"{folder}: no front end of an audio classifier; expected preprocessor_config.json as "
            f"a feature extractor of transformers writes it: {error}"
        ) from error


def _gives_probabilities(config: PreTrainedConfig) -> bool:
    """Whether what a model calls logits went through a sigmoid already.

    Source: mispeech/ced-base, modeling_ced.py: `forward_head` ends in one unless it pools logits.
    """
    return config.model_type == "ced" and config.pooling != "logit"


def _alike(features: dict[int, Features], size: int) -> list[list[int]]:
    """The rows, in batches of at most `size` whose features have one shape."""
    by_shape: dict[tuple[torch.Size, ...], list[int]] = {}
    for row, each in features.items():
        by_shape.setdefault(tuple(values.shape for values in each.values()), []).append(row)
    return [
        rows[start : start + size]
        for rows in by_shape.values()
        for start in range(0, len(rows), size)
    ]


def _checked(confidences: np.ndarray) -> np.ndarray | Failure:
    if np.isfinite(confidences).all():
        return confidences
    return Failure("tag", "not_finite", "the tagger's outputs are not finite")
