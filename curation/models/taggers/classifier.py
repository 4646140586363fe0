"""Computes confidences with a loaded classifier; `AudioSetTagger` creates it in `setup`."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers.configuration_utils import PreTrainedConfig as ModelConfig

from curation.config.models import PretrainedConfig
from curation.models import pretrained, weights
from curation.models.waveform_checks import apply_to_valid_clips, pad_to_min_length
from curation.schema import Failure

# Kaldi's frame, and what the convolutions of wav2vec 2.0 see: nothing shorter is a feature.
_SHORTEST_S = 0.025

Features = dict[str, Tensor]


class Classifier:
    """A loaded audio classifier and its front end."""

    def __init__(self, folder: Path, settings: PretrainedConfig, device: str) -> None:
        self._model, self._extractor = pretrained.load_classifier(folder, settings, device)
        self._gives_probabilities = _gives_probabilities(self._model.config)

    def move(self, device: str) -> None:
        """Move the weights to another device; "auto" is the GPU if there is one."""
        self._model.to(weights.resolve_device(device))

    @torch.inference_mode()
    def confidences(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray | Failure]:
        """Compute the probability of each class, float32 `[class]`, one array per clip, in order.

        Only clips whose features have the same shape are batched, so the only padding is that of
        the model's own front end. On a CPU, where batches are not faster, each clip is processed
        alone; so its result is the same to the last bit in every batch.
        """
        return apply_to_valid_clips(
            waveforms, "tag", lambda valid: self._confidences([waveforms[clip] for clip in valid])
        )

    def _confidences(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray | Failure]:
        features = [self._features(waveform) for waveform in waveforms]
        size = 1 if self._model.device.type == "cpu" else len(features)
        results: dict[int, np.ndarray] = {}
        for rows in _group_by_shape(features, size):
            results.update(zip(rows, self._classify([features[row] for row in rows]), strict=True))
        return [_check_finite(results[row]) for row in range(len(features))]

    def _features(self, waveform: np.ndarray) -> Features:
        """What the model's front end makes of one clip, each tensor `[1, ...]`."""
        rate = self._extractor.sampling_rate
        clip = pad_to_min_length(
            waveform.astype(np.float32, copy=False), math.ceil(_SHORTEST_S * rate)
        )
        return dict(self._extractor(clip, sampling_rate=rate, return_tensors="pt"))

    def _classify(self, features: Sequence[Features]) -> np.ndarray:
        """Confidences `[clip, class]` of clips whose features are alike."""
        batch = {
            name: self._to_device(torch.cat([each[name] for each in features]))
            for name in features[0]
        }
        outputs = self._model(**batch).logits.float()
        return (outputs if self._gives_probabilities else outputs.sigmoid()).cpu().numpy()

    def _to_device(self, values: Tensor) -> Tensor:
        dtype = self._model.dtype if values.is_floating_point() else values.dtype
        return values.to(self._model.device, dtype)


def _gives_probabilities(config: ModelConfig) -> bool:
    """Whether what a model calls logits went through a sigmoid already.

    Source: mispeech/ced-base, modeling_ced.py: `forward_head` ends in one unless it pools logits.
    """
    return config.model_type == "ced" and config.pooling != "logit"


def _group_by_shape(features: Sequence[Features], size: int) -> list[list[int]]:
    """The rows, in batches of at most `size` whose features have one shape."""
    by_shape: dict[tuple[torch.Size, ...], list[int]] = {}
    for row, each in enumerate(features):
        by_shape.setdefault(tuple(values.shape for values in each.values()), []).append(row)
    return [
        rows[start : start + size]
        for rows in by_shape.values()
        for start in range(0, len(rows), size)
    ]


def _check_finite(confidences: np.ndarray) -> np.ndarray | Failure:
    if np.isfinite(confidences).all():
        return confidences
    return Failure("tag", "not_finite", "the tagger's outputs are not finite")
