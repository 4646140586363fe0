"""Computes features in batches from waveforms of any length, for this package's networks."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from curation.models.log_mel_input import FrontEnd
from curation.models.networks.dual_encoder import DualEncoder
from curation.models.networks.tag_guided_captioner import TagGuidedCaptioner
from curation.models.networks.towers import Towers

# Clips encoded at once on a CPU: few enough that their activations stay in its cache.
_CPU_CHUNK = 8

EncodedChunk = TypeVar("EncodedChunk")


def find_shared_front_end(model: TagGuidedCaptioner | Towers) -> FrontEnd | None:
    """Return the front end whose features a model accepts; None if it takes only waveforms.

    On a GPU the result is None: computing features is cheap there, and sharing them would need a
    copy for each model.
    """
    if model.device.type != "cpu" or not isinstance(model, TagGuidedCaptioner | DualEncoder):
        return None
    return FrontEnd(model.frontend.config, model.shortest_clip)


@torch.inference_mode()
def compute_features(
    waveforms: Sequence[np.ndarray], model: TagGuidedCaptioner | Towers
) -> list[np.ndarray]:
    """Compute the features `[frame, mel]` of each clip with a model that has a shared front end."""
    features = (_features([waveform], model)[0] for waveform in waveforms)
    return [each[0].numpy() for each in features]


def encode_in_chunks(
    waveforms: Sequence[np.ndarray],
    model: TagGuidedCaptioner | Towers,
    encode: Callable[[Tensor, Tensor, list[int]], EncodedChunk],
) -> list[tuple[list[int], EncodedChunk]]:
    """Encode clips in chunks of similar length. Return each result with the rows of its clips.

    `encode` receives the model's `features` and the rows. On a GPU all clips are one chunk. Clips
    shorter than one frame of the model are padded with zeros.
    """
    if find_shared_front_end(model):
        return encode_features_in_chunks(compute_features(waveforms, model), encode)
    size = _CPU_CHUNK if model.device.type == "cpu" else max(1, len(waveforms))
    return [
        (rows, encode(*_features([waveforms[row] for row in rows], model), rows))
        for rows in _cut_chunks(waveforms, size)
    ]


def encode_features_in_chunks(
    features: Sequence[np.ndarray], encode: Callable[[Tensor, Tensor, list[int]], EncodedChunk]
) -> list[tuple[list[int], EncodedChunk]]:
    """As `encode_in_chunks`, but starts from the results of `compute_features`."""
    clips = [torch.from_numpy(each) for each in features]
    return [
        (
            rows,
            encode(
                stack_padded([clips[row] for row in rows]),
                torch.tensor([len(clips[row]) for row in rows]),
                rows,
            ),
        )
        for rows in _cut_chunks(features, _CPU_CHUNK)
    ]


def _cut_chunks(clips: Sequence[np.ndarray], size: int) -> list[list[int]]:
    """The places of clips, sorted by length, in chunks of so many."""
    order = sorted(range(len(clips)), key=lambda row: len(clips[row]))
    return [order[start : start + size] for start in range(0, len(order), size)]


def _features(
    waveforms: list[np.ndarray], model: TagGuidedCaptioner | Towers
) -> tuple[Tensor, Tensor]:
    """Features `[batch, frame, ...]` and their lengths, front end clip by clip on a CPU."""
    shortest = model.shortest_clip
    clips = [torch.from_numpy(np.ascontiguousarray(clip, dtype=np.float32)) for clip in waveforms]
    clips = [
        torch.nn.functional.pad(clip, (0, shortest - len(clip))) if len(clip) < shortest else clip
        for clip in clips
    ]
    if model.device.type == "cpu":
        alone = [model.features(clip[None], torch.tensor([len(clip)])) for clip in clips]
        return stack_padded([features[0] for features, _ in alone]), torch.cat(
            [n for _, n in alone]
        )
    lengths = torch.tensor([len(clip) for clip in clips], device=model.device)
    return model.features(stack_padded(clips).to(model.device), lengths)


def stack_padded(rows: Sequence[Tensor]) -> Tensor:
    """Stack tensors of different first dimensions, padded with zeros at the end."""
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
