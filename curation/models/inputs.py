"""From waveforms of any length to features in batches: what both audio adapters do alike."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from curation.models.base import Pair
from curation.models.captioner import TagGuidedCaptioner
from curation.schema import Failure, Stage

# Clips encoded at once on a CPU: few enough that their activations stay in its cache.
_CPU_CHUNK = 4

Encoded = TypeVar("Encoded")
Result = TypeVar("Result")


def failure(waveform: np.ndarray, stage: Stage) -> Failure | None:
    """Why a waveform cannot be heard, None where it can."""
    if waveform.ndim != 1:
        return Failure(stage, "not_mono", f"shape {waveform.shape}, expected [samples]")
    if not waveform.size:
        return Failure(stage, "empty", "no samples")
    if not np.isfinite(waveform).all():
        return Failure(stage, "not_finite", "samples that are not finite")
    return None


def each_heard(
    waveforms: Sequence[np.ndarray], stage: Stage, work: Callable[[list[int]], list[Result]]
) -> list[Result | Failure]:
    """What `work` makes of the clips that can be heard, given their places; why others cannot."""
    failures = [failure(waveform, stage) for waveform in waveforms]
    heard = [place for place, failed in enumerate(failures) if failed is None]
    made = iter(work(heard) if heard else [])
    return [next(made) if failed is None else failed for failed in failures]


def in_chunks(
    waveforms: Sequence[np.ndarray],
    model: TagGuidedCaptioner | Pair,
    encode: Callable[[Tensor, Tensor, list[int]], Encoded],
) -> list[tuple[list[int], Encoded]]:
    """Encode clips of like length together; each result comes with the rows it belongs to.

    `encode` gets log-mel features `[batch, frame, mel]`, their lengths, and the rows. On a GPU
    all clips are one chunk. Clips shorter than one frame of the model are padded with zeros.
    """
    order = sorted(range(len(waveforms)), key=lambda row: len(waveforms[row]))
    size = _CPU_CHUNK if model.device.type == "cpu" else len(order)
    chunks = [order[start : start + size] for start in range(0, len(order), size)]
    return [
        (rows, encode(*_features([waveforms[row] for row in rows], model), rows)) for rows in chunks
    ]


def _features(
    waveforms: list[np.ndarray], model: TagGuidedCaptioner | Pair
) -> tuple[Tensor, Tensor]:
    """Log-mel features `[batch, frame, mel]` and their lengths, front end clip by clip on a CPU."""
    shortest = model.shortest_clip
    clips = [torch.from_numpy(np.ascontiguousarray(clip, dtype=np.float32)) for clip in waveforms]
    clips = [torch.nn.functional.pad(clip, (0, max(0, shortest - len(clip)))) for clip in clips]
    if model.device.type == "cpu":
        alone = [model.features(clip[None], torch.tensor([len(clip)])) for clip in clips]
        return pad([features[0] for features, _ in alone]), torch.cat([n for _, n in alone])
    lengths = torch.tensor([len(clip) for clip in clips], device=model.device)
    return model.features(pad(clips).to(model.device), lengths)


def pad(rows: Sequence[Tensor]) -> Tensor:
    """Stack tensors that differ in their first dimension, zeros behind the shorter ones."""
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
