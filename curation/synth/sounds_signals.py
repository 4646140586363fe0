"""Sounds of bells, horns and alarms."""

import numpy as np

from curation.synth.dsp import (
    Audio,
    Rng,
    add_grains,
    attack_release_envelope,
    build_wavetable,
    damped_sines,
    draw_log_uniform,
    draw_uniform,
    harmonic_amplitudes,
    linear_ramp,
    noise_burst,
    play_wavetable,
    regular_starts,
    repeat_events,
    shaped_noise,
    to_unit_rms,
)
from curation.synth.sounds_struck import small_bell


def siren(rng: Rng, samples: int, rate: int) -> Audio:
    """A siren that wails, yelps or alternates between two tones."""
    low = draw_log_uniform(rng, 380, 800)
    high = low * draw_uniform(rng, 1.5, 2.6)
    time = np.arange(samples, dtype=np.float32) / rate
    kind = rng.integers(3)
    if kind == 0:
        phase = (time / draw_log_uniform(rng, 1.8, 7.0) + draw_uniform(rng, 0, 1)) % 1
        rise = draw_uniform(rng, 0.25, 0.6)
        shape = np.where(phase < rise, phase / rise, (1 - phase) / (1 - rise))
    elif kind == 1:
        shape = (time * draw_uniform(rng, 2.0, 5.0)) % 1
        shape = 1 - np.abs(2 * shape - 1) if rng.random() < 0.5 else shape
    else:
        high = low * draw_uniform(rng, 1.2, 1.45)
        shape = np.where(
            (time / draw_uniform(rng, 0.35, 0.8) + draw_uniform(rng, 0, 2)) % 2 < 1, 0.0, 1.0
        )
    f0 = (low + (high - low) * shape).astype(np.float32)
    table = build_wavetable(harmonic_amplitudes(high, rate, draw_uniform(rng, 0.7, 1.8)), 0.6, rng)
    nearness = linear_ramp(rng.uniform(0.3, 1.0, 4), samples)
    return play_wavetable(f0, table, rate) * nearness


def alarm_clock(rng: Rng, samples: int, rate: int) -> Audio:
    """Electronic beeps in groups."""
    pitch = draw_log_uniform(rng, 800, 3600)
    beep_s, gap_s = draw_log_uniform(rng, 0.04, 0.3), draw_log_uniform(rng, 0.03, 0.25)
    count, rest_s = int(rng.integers(1, 6)), draw_uniform(rng, 0.1, 0.9)
    table = build_wavetable(harmonic_amplitudes(pitch, rate, draw_uniform(rng, 0.6, 2.5)), 0.5, rng)
    length = int(beep_s * rate)
    edge = np.minimum(1, np.minimum(np.arange(length), np.arange(length)[::-1]) / (0.002 * rate))
    beep = play_wavetable(np.full(length, pitch, np.float32), table, rate) * edge.astype(np.float32)
    group_s = count * (beep_s + gap_s) + rest_s
    first = regular_starts(samples, rate, group_s, rng.uniform(0, 0.5))
    starts = (first[:, None] + np.arange(count) * int((beep_s + gap_s) * rate)).ravel()
    out = np.zeros(samples, np.float32)
    add_grains(out, [beep], starts, np.ones(len(starts)), np.zeros(len(starts), np.int64))
    return out


def church_bell(rng: Rng, samples: int, rate: int) -> Audio:
    """Large bells whose partials (hum, prime, minor third, fifth, nominal) beat slowly."""
    grains = []
    root = draw_log_uniform(rng, 130, 520)
    for _ in range(int(rng.integers(1, 4))):
        prime = root * float(rng.choice([1.0, 1.125, 1.25, 1.333, 1.5]))
        ratios = np.array([0.5, 1.0, 1.19, 1.5, 2.0, 2.51, 2.66, 3.01, 4.17, 5.4]) * rng.uniform(
            0.995, 1.005, 10
        )
        hz = np.concatenate([ratios, ratios[:4] * draw_uniform(rng, 1.001, 1.006)]) * prime
        times = draw_uniform(rng, 0.5, 1.8) / np.concatenate([ratios, ratios[:4]]) ** draw_uniform(
            rng, 0.5, 0.9
        )
        gains = np.concatenate([rng.uniform(0.2, 1.0, 10), rng.uniform(0.1, 0.5, 4)])
        bell = damped_sines(rate, hz.tolist(), gains.tolist(), times.tolist())
        clang = noise_burst(rng, rate, 0.01, [(300.0, -10.0), (2500.0, 0.0), (12000.0, -10.0)])
        bell[: len(clang)] += draw_uniform(rng, 0.05, 0.4) * clang[: len(bell)]
        grains.append(bell)
    period_s = draw_log_uniform(rng, 0.5, 2.5)
    starts = regular_starts(samples, rate, period_s, rng.uniform(0, 0.3))
    starts = starts + rng.integers(0, max(1, int(0.05 * period_s * rate)), len(starts))
    out = np.zeros(samples, np.float32)
    add_grains(
        out,
        grains,
        starts,
        rng.uniform(0.6, 1.0, len(starts)),
        rng.integers(len(grains), size=len(starts)),
    )
    return out


def bicycle_bell(rng: Rng, samples: int, rate: int) -> Audio:
    """A bicycle bell: a quick series of strokes on a small cup, which rings on."""
    bell = small_bell(rng, rate, 1700, 4200, draw_uniform(rng, 0.08, 0.4))
    stroke_hz, strokes = draw_uniform(rng, 9, 26), int(rng.integers(2, 10))

    def trill() -> Audio:
        spread = regular_starts(int(strokes / stroke_hz * rate) + 1, rate, 1 / stroke_hz, 0.0)
        out = np.zeros(int(spread[-1]) + len(bell), np.float32)
        add_grains(
            out, [bell], spread, rng.uniform(0.4, 1.0, len(spread)), np.zeros(len(spread), np.int64)
        )
        return out[: int((strokes / stroke_hz + 0.8) * rate)]

    return repeat_events(rng, samples, rate, trill, (0.0, 1.0), most=int(rng.integers(1, 6)))


def doorbell(rng: Rng, samples: int, rate: int) -> Audio:
    """A doorbell with two tones: ding-dong."""
    high = draw_log_uniform(rng, 480, 1100)
    ratios = [1.0, float(rng.choice([0.8, 0.75, 0.84, 0.667]))]
    partials = [1.0, 2.0, draw_uniform(rng, 2.7, 3.0), draw_uniform(rng, 4.0, 5.4)]
    time_s = draw_uniform(rng, 0.25, 0.8)
    gains = [1.0, *rng.uniform(0.03, 0.5, 3)]
    notes = [
        damped_sines(
            rate, [high * r * p for p in partials], gains, [time_s / p**0.7 for p in partials]
        )
        for r in ratios
    ]
    between = int(draw_uniform(rng, 0.3, 0.8) * rate)

    def chime() -> Audio:
        out = np.zeros(between + int(time_s * 3 * rate), np.float32)
        for place, note in enumerate(notes):
            part = note[: len(out) - place * between]
            out[place * between : place * between + len(part)] += part
        return out

    return repeat_events(
        rng, samples, rate, chime, (0.2, 1.5), most=int(rng.integers(1, 5)), uneven_db=1.0
    )


def telephone_ring(rng: Rng, samples: int, rate: int) -> Audio:
    """Rings of one or two seconds with pauses: a hammer between two bells, or a warble."""
    on_s, off_s = draw_uniform(rng, 0.7, 2.0), draw_uniform(rng, 0.4, 2.0)
    length = int(on_s * rate)
    if rng.random() < 0.6:
        bells = [small_bell(rng, rate, 900, 2200, draw_uniform(rng, 0.06, 0.25)) for _ in range(2)]
        strikes = regular_starts(length, rate, 1 / draw_uniform(rng, 17, 28), 0.0)
        call = np.zeros(length + int(0.4 * rate), np.float32)
        add_grains(
            call, bells, strikes, rng.uniform(0.8, 1.0, len(strikes)), np.arange(len(strikes)) % 2
        )
    else:
        low = draw_log_uniform(rng, 600, 1700)
        time = np.arange(length) / rate
        turn = (time * draw_uniform(rng, 8, 25)) % 1 < 0.5
        f0 = np.where(turn, low, low * draw_uniform(rng, 1.15, 1.5)).astype(np.float32)
        table = build_wavetable(
            harmonic_amplitudes(low, rate, draw_uniform(rng, 0.8, 2.0)), 0.5, rng
        )
        call = play_wavetable(f0, table, rate) * attack_release_envelope(length, 0.01, 0.02)
    return repeat_events(rng, samples, rate, lambda: call, (off_s, off_s * 1.02), uneven_db=0.5)


def _horn(
    rng: Rng, rate: int, length: int, pitches: list[float], tilt: float, bend: float
) -> Audio:
    out = np.zeros(length, np.float32)
    edge = min(int(0.04 * rate), length // 4)
    curve = linear_ramp([1 - bend] + [1.0] * 18 + [1 - bend], length)
    for pitch in pitches:
        peak = (draw_log_uniform(rng, 700, 2500), 700.0, 1.0)
        table = build_wavetable(
            harmonic_amplitudes(pitch, rate, tilt, [peak, (pitch, pitch, 1.0)]), 0.5, rng
        )
        out += draw_uniform(rng, 0.6, 1.0) * play_wavetable(curve * np.float32(pitch), table, rate)
    envelope = np.ones(length, np.float32)
    envelope[:edge] = np.linspace(0, 1, edge)
    envelope[length - edge :] = np.linspace(1, 0, edge)
    return to_unit_rms(out) * envelope


def vehicle_horn(rng: Rng, samples: int, rate: int) -> Audio:
    """Short honks of two notes close in pitch."""
    low = draw_log_uniform(rng, 280, 460)
    pitches = [low, low * float(rng.choice([1.19, 1.25, 1.26, 1.33]))][: int(rng.integers(1, 3))]
    tilt, length_s = draw_uniform(rng, 0.2, 0.9), draw_log_uniform(rng, 0.12, 1.0)

    def honk() -> Audio:
        return _horn(
            rng, rate, int(length_s * draw_uniform(rng, 0.6, 1.5) * rate), pitches, tilt, 0.0
        )

    return repeat_events(
        rng, samples, rate, honk, (0.08, 0.8), most=int(rng.integers(1, 7)), uneven_db=1.0
    )


def train_horn(rng: Rng, samples: int, rate: int) -> Audio:
    """A long chord of three to five horns."""
    root = draw_log_uniform(rng, 180, 340)
    chord = [1.0, 1.19, 1.33, 1.5, 1.68] if rng.random() < 0.6 else [1.0, 1.25, 1.5, 2.0, 2.5]
    pitches = [root * ratio for ratio in chord[: int(rng.integers(3, 6))]]
    tilt, bend = draw_uniform(rng, 0.3, 1.0), draw_uniform(rng, 0.0, 0.06)

    def blast() -> Audio:
        out = _horn(rng, rate, int(draw_uniform(rng, 0.7, 3.0) * rate), pitches, tilt, bend)
        air = shaped_noise(rng, len(out), rate, [(100.0, -20.0), (1500.0, 0.0), (12000.0, -16.0)])
        return out + draw_uniform(rng, 0.02, 0.12) * air * np.abs(out)

    return repeat_events(
        rng, samples, rate, blast, (0.2, 1.0), most=int(rng.integers(1, 5)), uneven_db=1.0
    )
