"""Renders a scene as a waveform.

The sounds are mixed at their times and levels. Then a room, background noise and a microphone are
simulated.
"""

import numpy as np

from curation.synth.classes import CLASSES_BY_KEY
from curation.synth.dsp import (
    Audio,
    Rng,
    draw_log_uniform,
    draw_uniform,
    fft,
    fft_length,
    gain_curve,
    shaped_noise,
    white_noise,
)
from curation.synth.scenes import Scene, make_scene

BACKGROUND_DB = (5.0, 16.0)
"""The level of a background below its foreground."""


def render_clip(seed: int, index: int, sample_rate_hz: int = 16000) -> tuple[Audio, Scene]:
    """Render clip `index` of the corpus `seed`.

    Returns float32 mono `[sample]` in [-1, 1], and the scene that it contains.
    """
    scene = make_scene(seed, index)
    rng = np.random.default_rng((seed, index, 1))
    return render_scene(scene, rng, sample_rate_hz), scene


def render_scene(scene: Scene, rng: Rng, sample_rate_hz: int) -> Audio:
    """Render one random recording of a scene: float32 mono `[sample]` in [-1, 1]."""
    samples = round(scene.duration_s * sample_rate_hz)
    sounds = [CLASSES_BY_KEY[key] for key in scene.classes]
    if scene.relation == "then":
        first = int(samples * draw_uniform(rng, 0.38, 0.6))
        second = samples - first - int(draw_uniform(rng, -0.12, 0.35) * sample_rate_hz)
        parts = [
            normalise_sound(sounds[0].render(rng, first, sample_rate_hz), sample_rate_hz),
            normalise_sound(sounds[1].render(rng, second, sample_rate_hz), sample_rate_hz),
        ]
        audio = np.zeros(samples, np.float32)
        audio[:first] = parts[0]
        audio[samples - second :] += parts[1] * np.float32(10 ** (draw_uniform(rng, -6, 6) / 20))
    else:
        late = (
            0 if sounds[0].continuous or rng.random() < 0.6 else int(rng.uniform(0, 0.4) * samples)
        )
        audio = np.zeros(samples, np.float32)
        audio[late:] = normalise_sound(
            sounds[0].render(rng, samples - late, sample_rate_hz), sample_rate_hz
        )
        if scene.relation == "background":
            behind = normalise_sound(sounds[1].render(rng, samples, sample_rate_hz), sample_rate_hz)
            audio = mix_in_background(audio, behind, draw_uniform(rng, *BACKGROUND_DB))
    audio = _recorded(rng, audio, sample_rate_hz)
    if scene.relation == "single":
        audio = _trimmed(rng, audio, sample_rate_hz)
    return _levelled(rng, audio)


def measure_active_level(audio: Audio, sample_rate_hz: int) -> float:
    """Return the RMS of the active parts of a sound.

    Active are the 20 ms frames that are at most 30 dB softer than the loudest frame.
    """
    frame = max(1, sample_rate_hz // 50)
    whole = audio[: len(audio) // frame * frame].reshape(-1, frame)
    power = np.einsum("ij,ij->i", whole, whole) / frame
    if not len(power) or power.max() <= 0:
        return 0.0
    return float(np.sqrt(power[power > 1e-3 * power.max()].mean()))


def normalise_sound(audio: Audio, sample_rate_hz: int) -> Audio:
    """Scale a sound to an active level of 1, and fade it over 15 ms at both ends."""
    level = measure_active_level(audio, sample_rate_hz)
    out = (audio / np.float32(level)) if level > 0 else audio.copy()
    fade = min(int(0.015 * sample_rate_hz), len(out) // 2)
    slope = np.linspace(0, 1, fade, dtype=np.float32)
    out[:fade] *= slope
    out[len(out) - fade :] *= slope[::-1]
    return out


def mix_in_background(front: Audio, behind: Audio, below_db: float) -> Audio:
    """Mix two sounds of equal active level; `behind` becomes `below_db` softer than `front`."""
    return front + behind * np.float32(10 ** (-below_db / 20))


def _recorded(rng: Rng, audio: Audio, rate: int) -> Audio:
    """Room, noise floor, microphone and band limits, in one pass through the spectrum."""
    samples = len(audio)
    floor_db = draw_uniform(rng, 14, 50) if rng.random() < 0.7 else draw_uniform(rng, 50, 85)
    tint = [
        (40.0, draw_uniform(rng, -8, 20)),
        (400.0, 0.0),
        (4000.0, draw_uniform(rng, -32, 1)),
        (16000.0, draw_uniform(rng, -48, -1)),
    ]
    audio = audio + np.float32(10 ** (-floor_db / 20)) * shaped_noise(rng, samples, rate, tint)
    nfft = fft_length(samples)
    spectrum = fft.rfft(audio, nfft)
    if rng.random() < 0.6:
        spectrum *= 1 + fft.rfft(_room(rng, rate, samples), nfft)
    spectrum *= gain_curve(_microphone(rng), nfft, rate)
    out: Audio = fft.irfft(spectrum, nfft)[:samples]
    if rng.random() < 0.12:
        peak = float(np.abs(out).max())
        out = np.tanh(out * np.float32(draw_uniform(rng, 1.0, 5.0) / max(peak, 1e-9)))
    return out


def _room(rng: Rng, rate: int, samples: int) -> Audio:
    """Late reverberation: noise that dies away over 0.08 to 1.6 s, after the direct sound."""
    time_s = draw_log_uniform(rng, 0.08, 1.6)
    length = min(int(time_s * rate), samples)
    tail = white_noise(rng, length) * np.exp(
        np.arange(length, dtype=np.float32) * np.float32(-6.9 / length)
    )
    tail[: min(length, int(draw_uniform(rng, 0.001, 0.02) * rate))] = 0
    energy = float(np.sqrt(np.dot(tail, tail)))
    return tail * np.float32(10 ** (draw_uniform(rng, -24, -1) / 20) / max(energy, 1e-9))


def _microphone(rng: Rng) -> list[tuple[float, float]]:
    """A smooth random response; the low end or the top may be missing."""
    low_cut = draw_log_uniform(rng, 40, 280) if rng.random() < 0.4 else 15.0
    high_cut = draw_log_uniform(rng, 4000, 15000) if rng.random() < 0.25 else 20000.0
    points = [(low_cut / 4, -30.0), (low_cut, 0.0)]
    points += [
        (hz, draw_uniform(rng, -6, 6))
        for hz in (100.0, 350.0, 1200.0, 3500.0)
        if low_cut < hz < high_cut
    ]
    points += [
        (high_cut * 0.9, draw_uniform(rng, -8, 6)),
        (high_cut * 1.25, -draw_uniform(rng, 20, 60)),
    ]
    return sorted(points)


def _trimmed(rng: Rng, audio: Audio, rate: int) -> Audio:
    """Digital silence where nothing sounds any more, as in padded clips; seldom elsewhere."""
    frame = rate // 50
    whole = audio[: len(audio) // frame * frame].reshape(-1, frame)
    power = np.einsum("ij,ij->i", whole, whole)
    active = np.flatnonzero(power > 3e-3 * power.max())
    first, last = int(active[0]) * frame, (int(active[-1]) + 1) * frame
    cut_from, cut_to = 0, len(audio)
    if rng.random() < 0.5:
        cut_to = min(len(audio), last + int(draw_log_uniform(rng, 0.02, 1.0) * rate))
    if rng.random() < 0.25:
        cut_from = max(0, first - int(draw_log_uniform(rng, 0.01, 0.5) * rate))
    if rng.random() < 0.06:
        cut_to = min(cut_to, len(audio) - int(rng.uniform(0.1, 0.8) * rate))
    out = _gated(audio, power, frame) if rng.random() < 0.2 else audio.copy()
    out[:cut_from] = 0
    out[max(cut_to, cut_from + rate // 2) :] = 0
    return out


def _gated(audio: Audio, power: Audio, frame: int) -> Audio:
    """Attenuate frames 35 dB below the loudest, as a noise gate or a codec does."""
    openness = np.clip(power / max(float(power.max()) * 3e-4, 1e-12), 0.03, 1)
    knots = (np.arange(len(power)) + 0.5) * frame
    return audio * np.interp(np.arange(len(audio)), knots, openness).astype(np.float32)


def _levelled(rng: Rng, audio: Audio) -> Audio:
    """The peak at -0.2 to -16 dBFS, seldom lower."""
    peak_dbfs = (
        -draw_uniform(rng, 0.2, 16.0) if rng.random() < 0.85 else -draw_uniform(rng, 16.0, 32.0)
    )
    peak = float(np.abs(audio).max())
    return (audio * np.float32(10 ** (peak_dbfs / 20) / max(peak, 1e-9))).astype(np.float32)
