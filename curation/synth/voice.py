"""Voices of animals and people: a pitched source or breath noise, filtered by formants."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.synth.dsp import (
    Audio,
    Rng,
    build_wavetable,
    harmonic_amplitudes,
    play_wavetable,
    shaped_noise,
    white_noise,
)

Formants = Sequence[tuple[float, float, float]]
"""Peaks of the vocal tract: (hz, width_hz, gain)."""


def vocal_tone(
    rng: Rng,
    f0_hz: NDArray[np.floating[Any]],
    rate: int,
    tilt: float,
    formants: Formants,
    jitter: float = 0.01,
) -> Audio:
    """Return a voice with the pitch `f0_hz`, `[sample]`; `jitter` is its relative deviation."""
    pitch = float(f0_hz.mean())
    table = build_wavetable(harmonic_amplitudes(max(pitch, 20.0), rate, tilt, formants), 0.15, rng)
    shaken = f0_hz * (1 + np.float32(jitter) * 3 * white_noise(rng, len(f0_hz)))
    return play_wavetable(shaken, table, rate)


def vocal_breath(rng: Rng, samples: int, rate: int, formants: Formants) -> Audio:
    """Return noise filtered by formants, with an RMS of 1."""
    hz = np.geomspace(60, 20000, 40)
    shape = np.full(len(hz), 0.02)
    for centre, width, gain in formants:
        shape += gain / (1 + ((hz - centre) / (1.5 * width)) ** 2)
    return shaped_noise(
        rng, samples, rate, list(zip(hz.tolist(), (20 * np.log10(shape)).tolist(), strict=True))
    )
