"""Building blocks of the procedural sounds: grains, voices and noise.

All sounds are float32 `[sample]`, mono. Functions take a random generator, so a seed determines the
sound. They take frequencies in Hz, so the sound is the same at any sampling rate.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Audio = NDArray[np.float32]
Rng = np.random.Generator
SpectrumPoints = Sequence[tuple[float, float]]
"""A curve over frequency: (hz, db) in rising order, linear in between over octaves."""

_BANK = 1 << 19
_TABLE = 2048
_GRID_LOW_HZ = 10.0
_GRID_PER_OCTAVE = 48
_GRID = 12 * _GRID_PER_OCTAVE


@lru_cache(1)
def _noise_bank() -> Audio:
    """White noise from which every clip takes a different part: drawing it each time costs more."""
    return np.random.default_rng(20230811).standard_normal(_BANK, dtype=np.float32)


@lru_cache(1)
def _spectrum_bank() -> NDArray[np.complex64]:
    rng = np.random.default_rng(20230812)
    return rng.standard_normal(2 * _BANK, dtype=np.float32).view(np.complex64)


@lru_cache(1)
def _grid_octaves() -> NDArray[np.float64]:
    return np.arange(_GRID) / _GRID_PER_OCTAVE


@lru_cache(256)
def _grid_index(nfft: int, sample_rate_hz: int) -> NDArray[np.int16]:
    """For each bin of an `nfft` transform, the place of its frequency on the curves' grid."""
    hz = np.arange(nfft // 2 + 1) * (sample_rate_hz / nfft)
    octaves = np.log2(np.maximum(hz, _GRID_LOW_HZ) / _GRID_LOW_HZ)
    return np.minimum(octaves * _GRID_PER_OCTAVE, _GRID - 1).astype(np.int16)


def fft_length(samples: int) -> int:
    """Return a fast transform length of at least `samples`.

    There are only a few such lengths, so the FFT can reuse its tables.
    """
    step = 4096 if samples > 16384 else 1024
    return int(fft.next_fast_len(-(-samples // step) * step, real=True))


def gain_curve(points: SpectrumPoints, nfft: int, sample_rate_hz: int) -> Audio:
    """Return the amplitude of each bin, `[nfft // 2 + 1]`, for a curve of points (Hz, dB)."""
    octaves = [np.log2(hz / _GRID_LOW_HZ) for hz, _ in points]
    decibels = np.interp(_grid_octaves(), octaves, [db for _, db in points])
    return (10 ** (decibels / 20)).astype(np.float32)[_grid_index(nfft, sample_rate_hz)]


def white_noise(rng: Rng, samples: int) -> Audio:
    """Return white noise with an RMS of 1."""
    start = int(rng.integers(_BANK - samples)) if samples < _BANK else 0
    return np.resize(_noise_bank()[start:], samples)


def shaped_noise(rng: Rng, samples: int, sample_rate_hz: int, points: SpectrumPoints) -> Audio:
    """Return noise with the given spectrum and an RMS of 1."""
    nfft = fft_length(samples)
    bins = nfft // 2 + 1
    start = int(rng.integers(_BANK - bins)) if bins < _BANK else 0
    spectrum = np.resize(_spectrum_bank()[start:], bins) * gain_curve(points, nfft, sample_rate_hz)
    spectrum[0] = 0
    return to_unit_rms(fft.irfft(spectrum, nfft)[:samples])


def apply_filter(audio: Audio, sample_rate_hz: int, points: SpectrumPoints) -> Audio:
    """Apply a zero-phase filter with the given gain curve to a sound."""
    nfft = fft_length(len(audio))
    spectrum = fft.rfft(audio, nfft) * gain_curve(points, nfft, sample_rate_hz)
    return fft.irfft(spectrum, nfft)[: len(audio)]


def to_unit_rms(audio: Audio) -> Audio:
    """Scale a sound to an RMS of 1; silence is unchanged."""
    rms = float(np.sqrt(np.dot(audio, audio) / max(len(audio), 1)))
    return audio / np.float32(rms) if rms > 1e-12 else audio


def draw_uniform(rng: Rng, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def draw_log_uniform(rng: Rng, low: float, high: float) -> float:
    """Draw a log-uniform number between `low` and `high`, for pitches, rates and times."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def linear_ramp(values: Sequence[float] | NDArray[np.float64], samples: int) -> Audio:
    """Interpolate linearly between evenly spaced values: `[samples]`."""
    knots = np.linspace(0, samples - 1, len(values))
    return np.interp(np.arange(samples), knots, values).astype(np.float32)


def random_walk(rng: Rng, samples: int, sample_rate_hz: int, rate_hz: float) -> Audio:
    """Return a smooth random curve between 0 and 1 that turns about `rate_hz` times per second."""
    knots = max(3, int(samples / sample_rate_hz * rate_hz) + 2)
    steps = smooth_knots(rng.random(knots))
    return linear_ramp(steps, samples)


def smooth_knots(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Insert cubic midpoints between knots, so that a linear ramp over them is smooth."""
    padded = np.concatenate([values[:1], values, values[-1:]])
    middle = (9 * (padded[1:-2] + padded[2:-1]) - padded[:-3] - padded[3:]) / 16
    out = np.empty(2 * len(values) - 1)
    out[0::2] = values
    out[1::2] = middle
    return np.clip(out, 0, 1)


def attack_release_envelope(samples: int, attack: float, release: float) -> Audio:
    """Return an envelope that rises over its first part and falls over its last part.

    `attack` and `release` are these parts as fractions of the length.
    """
    place = np.linspace(0, 1, samples, dtype=np.float32)
    rise = np.minimum(place / max(attack, 1e-4), 1)
    fall = np.minimum((1 - place) / max(release, 1e-4), 1)
    return np.sin(np.minimum(rise, fall) * np.float32(np.pi / 2))


def exponential_decay(samples: int, sample_rate_hz: int, time_s: float) -> Audio:
    """Return the curve exp(-t / time_s), `[samples]`."""
    return np.exp(np.arange(samples, dtype=np.float32) * np.float32(-1 / (time_s * sample_rate_hz)))


def damped_sines(
    sample_rate_hz: int, hz: Sequence[float], gains: Sequence[float], times_s: Sequence[float]
) -> Audio:
    """Return damped sines that start together, as in a bell, a plate or wood. Peak near 1."""
    samples = int(min(max(times_s) * 5, 6.0) * sample_rate_hz) + 8
    time = np.arange(samples, dtype=np.float32) / np.float32(sample_rate_hz)
    out = np.zeros(samples, np.float32)
    for pitch, gain, time_s in zip(hz, gains, times_s, strict=True):
        if pitch < 0.48 * sample_rate_hz:
            part = min(samples, int(time_s * 6 * sample_rate_hz) + 8)
            wave = np.sin(np.float32(2 * np.pi * pitch) * time[:part])
            out[:part] += gain * wave * np.exp(time[:part] * np.float32(-1 / time_s))
    return out / max(float(np.abs(out).max()), 1e-6)


def noise_burst(rng: Rng, sample_rate_hz: int, time_s: float, points: SpectrumPoints) -> Audio:
    """Return noise that starts at once and decays with the time constant `time_s`. Peak near 1."""
    samples = int(time_s * 6 * sample_rate_hz) + 16
    out = shaped_noise(rng, samples, sample_rate_hz, points) * exponential_decay(
        samples, sample_rate_hz, time_s
    )
    return out / max(float(np.abs(out).max()), 1e-6)


def build_wavetable(amplitudes: NDArray[np.float64], spread: float, rng: Rng) -> Audio:
    """Return one period, `[2048]`, with harmonics of these amplitudes. RMS of 1.

    `spread` 0 gives all harmonics the same phase, which makes a pulse. `spread` 1 gives them random
    phases.
    """
    spectrum = np.zeros(_TABLE // 2 + 1, np.complex64)
    count = min(len(amplitudes), _TABLE // 2 - 1)
    angles = rng.uniform(-np.pi, np.pi, count) * spread
    spectrum[1 : count + 1] = amplitudes[:count] * np.exp(1j * angles)
    return to_unit_rms(fft.irfft(spectrum, _TABLE).astype(np.float32))


def harmonic_amplitudes(
    f0_hz: float,
    sample_rate_hz: int,
    tilt: float,
    formants: Sequence[tuple[float, float, float]] = (),
) -> NDArray[np.float64]:
    """Return the amplitudes of the harmonics below half the sampling rate.

    The amplitude of harmonic k is k ** -tilt, multiplied by peaks at the formants (hz, width_hz,
    gain).
    """
    count = max(1, min(int(0.46 * sample_rate_hz / f0_hz), 160))
    number = np.arange(1.0, count + 1)
    amplitudes: NDArray[np.float64] = number**-tilt
    if formants:
        shape = np.full(count, 0.03)
        for hz, width_hz, gain in formants:
            shape += gain / (1 + ((number * f0_hz - hz) / width_hz) ** 2)
        amplitudes = amplitudes * shape
    return amplitudes


def play_wavetable(f0_hz: NDArray[np.floating[Any]], table: Audio, sample_rate_hz: int) -> Audio:
    """Play a wavetable at a pitch that changes, `f0_hz` `[sample]`."""
    phase = np.cumsum(f0_hz, dtype=np.float64) * (_TABLE / sample_rate_hz)
    return table[phase.astype(np.int64) & (_TABLE - 1)]


def add_grains(
    out: Audio,
    grains: Sequence[Audio],
    starts: NDArray[np.int64],
    gains: NDArray[np.float64],
    picks: NDArray[np.int64],
) -> None:
    """Add grain `picks[i]` with gain `gains[i]` to `out` at sample `starts[i]`, for each i.

    A grain that exceeds the end of `out` is cut.
    """
    samples = len(out)
    for start, gain, pick in zip(starts.tolist(), gains.tolist(), picks.tolist(), strict=True):
        if 0 <= start < samples:
            grain = grains[pick]
            stop = min(samples, start + len(grain))
            out[start:stop] += np.float32(gain) * grain[: stop - start]


def add_random_grains(
    rng: Rng, out: Audio, grains: Sequence[Audio], count: int, spread: float = 1.0
) -> None:
    """Add `count` grains at random places; `spread` is the deviation of their log gains."""
    starts = rng.integers(0, len(out), count)
    gains = np.exp(spread * rng.standard_normal(count))
    add_grains(out, grains, starts, gains, rng.integers(len(grains), size=count))


def random_clicks(
    rng: Rng, samples: int, sample_rate_hz: int, count: int, points: SpectrumPoints, spread: float
) -> Audio:
    """Return many short filtered clicks at random places, with an RMS of 1.

    This is meant for large numbers of clicks.
    """
    train = np.zeros(samples, np.float32)
    gains = np.exp(spread * rng.standard_normal(count)) * rng.choice([-1.0, 1.0], count)
    train[rng.integers(0, samples, count)] = gains
    return to_unit_rms(apply_filter(train, sample_rate_hz, points))


def repeat_events(
    rng: Rng,
    samples: int,
    sample_rate_hz: int,
    event: Callable[[], Audio],
    gap_s: tuple[float, float],
    most: int = 1000,
    uneven_db: float = 3.0,
    lead_s: float = 0.3,
) -> Audio:
    """Repeat an event with random gaps until the sound is full or has `most` events."""
    out = np.zeros(samples, np.float32)
    start = int(rng.uniform(0, min(lead_s, 0.2 * samples / sample_rate_hz)) * sample_rate_hz)
    for number in range(most):
        grain = event()
        if number and start + len(grain) > samples:
            break
        stop = min(samples, start + len(grain))
        gain = 10 ** (rng.normal(0, uneven_db / 2) / 20)
        out[start:stop] += np.float32(gain) * grain[: stop - start]
        start = stop + int(rng.uniform(*gap_s) * sample_rate_hz)
        if start >= samples:
            break
    return out


def regular_starts(
    samples: int, sample_rate_hz: int, period_s: float, start_s: float
) -> NDArray[np.int64]:
    """Return the starts of a regular beat, in samples."""
    return (np.arange(start_s, samples / sample_rate_hz, period_s) * sample_rate_hz).astype(
        np.int64
    )
