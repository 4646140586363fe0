"""Rejects waveforms that models cannot process, and pads short ones; works without torch."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from curation.schema import Failure, Stage

Result = TypeVar("Result")


def check_waveform(waveform: np.ndarray, stage: Stage) -> Failure | None:
    """Return why a waveform cannot be processed; None if it can."""
    if waveform.ndim != 1:
        return Failure(stage, "not_mono", f"shape {waveform.shape}, expected [samples]")
    if not waveform.size:
        return Failure(stage, "empty", "no samples")
    if not np.isfinite(waveform).all():
        return Failure(stage, "not_finite", "samples that are not finite")
    return None


def apply_to_valid_clips(
    waveforms: Sequence[np.ndarray], stage: Stage, work: Callable[[list[int]], list[Result]]
) -> list[Result | Failure]:
    """Call `work` with the positions of the valid clips; the other clips become failures.

    Returns one result or failure per clip, in order.
    """
    failures = [check_waveform(waveform, stage) for waveform in waveforms]
    valid = [place for place, failed in enumerate(failures) if failed is None]
    results = iter(work(valid) if valid else [])
    return [next(results) if failed is None else failed for failed in failures]


def pad_to_min_length(waveform: np.ndarray, samples: int) -> np.ndarray:
    """Pad a waveform with silence to a minimum number of samples."""
    return np.pad(waveform, (0, max(0, samples - len(waveform))))
