"""Draws a clip's caption and crop for an epoch, from seed, epoch and clip alone."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.config.data import SCORE_TEMPERATURE, CaptionSampling
from training.data.table_index import AudioLocation

# A whole number of samples at every usual rate: embedded and referenced audio are cropped equally.
_CROP_STEP_S = 0.04


@dataclass(frozen=True)
class TrainingExample:
    """A clip in one epoch: the location of its crop, and one caption.

    A `whole` clip is not cropped, so it is the same in every epoch.
    """

    clip: int
    location: AudioLocation
    caption: str
    whole: bool


def caption_probabilities(
    choice: CaptionSampling,
    ranks: npt.NDArray[np.int32],
    clap_scores: npt.NDArray[np.float32],
) -> npt.NDArray[np.float64]:
    """Return the probability of drawing each caption of a clip, `[caption]`; see `LoaderConfig`."""
    if choice == "uniform":
        weights = np.ones(len(ranks))
    elif choice == "rank":
        weights = 1.0 / ranks
    else:
        above = (clap_scores - clap_scores.max()).astype(np.float64)
        weights = np.exp(above / SCORE_TEMPERATURE)
    return weights / weights.sum()


def crop_location(
    location: AudioLocation, crop_s: float, surplus_s: float, draw: float
) -> AudioLocation:
    """Return the location of a crop of `crop_s` in a clip that is longer by `surplus_s`.

    `draw` is a random number in 0..1 that determines the start. A clip that is not longer than
    `crop_s` is returned unchanged.
    """
    if surplus_s <= 0:
        return location
    offset_s = _CROP_STEP_S * int(draw * (int(surplus_s / _CROP_STEP_S) + 1))
    start_s = location.start_s + offset_s
    return AudioLocation(location.uri, start_s, start_s + crop_s, location.embedded)
