"""From waveforms of any length to features in batches: what both audio adapters do alike."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from curation.models.networks.tag_guided_captioner import TagGuidedCaptioner
from curation.models.networks.towers import Towers

# Clips encoded at once on a CPU: few enough that their activations stay in its cache.
_CPU_CHUNK = 4

EncodedChunk = TypeVar("EncodedChunk")


def encode_in_chunks(
    waveforms: Sequence[np.ndarray],
    model: TagGuidedCaptioner | Towers,
    encode: Callable[[Tensor, Tensor, list[int]], EncodedChunk],
) -> list[tuple[list[int], EncodedChunk]]:
    """Encode clips of like length together; each result comes with the rows it belongs to.

    `encode` gets what the model's `features` gives, and the rows. On a GPU all clips are one
    chunk. Clips shorter than one frame of the model are padded with zeros.
    """
    order = sorted(range(len(waveforms)), key=lambda row: len(waveforms[row]))
    size = _CPU_CHUNK if model.device.type == "cpu" else max(1, len(order))
    chunks = [order[start : start + size] for start in range(0, len(order), size)]
    return [
        (rows, encode(*_features([waveforms[row] for row in rows], model), rows)) for rows in chunks
    ]


def _features(
    waveforms: list[np.ndarray], model: TagGuidedCaptioner | Towers
) -> tuple[Tensor, Tensor]:
    """Features `[batch, frame, ...]` and their lengths, front end clip by clip on a CPU."""
    shortest = model.shortest_clip
    clips = [torch.from_numpy(np.ascontiguousarray(clip, dtype=np.float32)) for clip in waveforms]
    clips = [torch.nn.functional.pad(clip, (0, max(0, shortest - len(clip)))) for clip in clips]
    if model.device.type == "cpu":
        alone = [model.features(clip[None], torch.tensor([len(clip)])) for clip in clips]
        return stack_padded([features[0] for features, _ in alone]), torch.cat(
            [n for _, n in alone]
        )
    lengths = torch.tensor([len(clip) for clip in clips], device=model.device)
    return model.features(stack_padded(clips).to(model.device), lengths)


def stack_padded(rows: Sequence[Tensor]) -> Tensor:
    """Stack tensors that differ in their first dimension, zeros behind the shorter ones."""
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
