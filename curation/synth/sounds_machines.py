"""Engines, machines and clockwork."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.synth.dsp import (
    Audio,
    Rng,
    burst,
    harmonics,
    log_uniform,
    noise,
    ramp,
    regular,
    repeat,
    ring,
    scatter,
    smoothed,
    sweep,
    uniform,
    unit,
    wander,
    wavetable,
    white,
)


def _firing(
    rng: Rng,
    f0_hz: NDArray[np.floating[Any]],
    rate: int,
    tilt: float,
    body: list[tuple[float, float, float]],
) -> Audio:
    """An engine's pulses: a few cycles' tables in turn, since no two strokes are alike."""
    pitch = float(np.median(f0_hz)) / 4
    amplitudes = harmonics(pitch, rate, tilt, body)
    order = np.arange(1, len(amplitudes) + 1)
    amplitudes = amplitudes * np.where(
        order % 4 == 0, 1.0, uniform(rng, 0.05, 0.5) * rng.random(len(order))
    )
    return sweep(f0_hz / 4, wavetable(amplitudes, uniform(rng, 0.0, 0.5), rng), rate)


def _throttle(
    rng: Rng, samples: int, rate: int, low_hz: float, high_hz: float, turns_hz: float
) -> Audio:
    """A pitch that is held, pushed up and let go."""
    knots = max(3, int(samples / rate * turns_hz) + 2)
    level = rng.random(knots) ** uniform(rng, 0.4, 2.5)
    held = rng.random(knots) < 0.4
    for place in range(1, knots):
        if held[place]:
            level[place] = level[place - 1]
    return low_hz * (high_hz / low_hz) ** ramp(smoothed(level), samples)


def helicopter(rng: Rng, samples: int, rate: int) -> Audio:
    """Blades that chop a low roar ten to thirty times a second, a hiss and a turbine above."""
    blade_hz = log_uniform(rng, 8, 32)
    beat = blade_hz * (1 + 0.02 * wander(rng, samples, rate, 0.5))
    sharp = uniform(rng, 1.0, 7.0)
    phase = np.linspace(0, 2 * np.pi, 2048, endpoint=False)
    chop = (
        np.exp(sharp * (np.cos(phase) - 1)) + uniform(rng, 0, 0.3) * np.cos(phase / 2) ** 2
    ).astype(np.float32)
    beats = sweep(beat, chop, rate)
    low = [
        (25.0, uniform(rng, -14, 0)),
        (log_uniform(rng, 60, 350), 0.0),
        (900.0, uniform(rng, -20, -8)),
        (8000.0, uniform(rng, -46, -22)),
    ]
    out = noise(rng, samples, rate, low) * (uniform(rng, 0.05, 0.6) + beats)
    table = wavetable(
        harmonics(blade_hz, rate, uniform(rng, 0.6, 1.3), [(log_uniform(rng, 50, 200), 80.0, 1.0)]),
        0.1,
        rng,
    )
    out += uniform(rng, 0.1, 0.9) * sweep(beat, table, rate)
    hiss = noise(
        rng, samples, rate, [(300.0, -20.0), (log_uniform(rng, 2500, 8000), 0.0), (16000.0, -8.0)]
    )
    out += log_uniform(rng, 0.02, 0.5) * hiss * (uniform(rng, 0.3, 1) + beats)
    if rng.random() < 0.3:
        whine = wavetable(harmonics(log_uniform(rng, 700, 2500), rate, 2.0), 1.0, rng)
        out += uniform(rng, 0.03, 0.2) * sweep(
            beat / blade_hz * log_uniform(rng, 700, 2500), whine, rate
        )
    ends = rng.uniform(0.2, 1.0, 3) if rng.random() < 0.3 else rng.uniform(0.85, 1.0, 3)
    return out * ramp(ends, samples)


def chainsaw(rng: Rng, samples: int, rate: int) -> Audio:
    """A two-stroke's harsh buzz, revved up and down, biting into wood or idling."""
    low = log_uniform(rng, 45, 110)
    high = low * uniform(rng, 1.15, 3.0)
    f0 = _throttle(rng, samples, rate, low, high, uniform(rng, 0.3, 1.6))
    f0 = f0 * (1 + uniform(rng, 0.005, 0.04) * white(rng, samples))
    body = [
        (log_uniform(rng, 180, 500), 150.0, 1.0),
        (log_uniform(rng, 500, 1300), 350.0, uniform(rng, 0.5, 1.4)),
        (log_uniform(rng, 1500, 3500), 900.0, uniform(rng, 0.2, 0.9)),
    ]
    out = _firing(rng, f0, rate, uniform(rng, 0.0, 0.5), body)
    rough = 0.6 + 0.8 * wander(rng, samples, rate, uniform(rng, 15, 50))
    teeth = noise(
        rng,
        samples,
        rate,
        [
            (150.0, -20.0),
            (log_uniform(rng, 600, 2500), 0.0),
            (5000.0, uniform(rng, -14, -3)),
            (16000.0, -20.0),
        ],
    )
    push = (f0 / high) ** uniform(rng, 0.2, 1.8)
    out = (out + uniform(rng, 0.15, 1.0) * teeth * rough) * push
    return np.tanh(uniform(rng, 0.4, 2.0) * out)


def engine_idling(rng: Rng, samples: int, rate: int) -> Audio:
    """A motor turning over slowly and evenly: a low pulse with a rattle."""
    pulse_hz = log_uniform(rng, 16, 45)
    f0 = pulse_hz * (1 + 0.04 * wander(rng, samples, rate, 2.0) + 0.01 * white(rng, samples))
    body = [
        (log_uniform(rng, 50, 160), 60.0, 1.0),
        (log_uniform(rng, 200, 700), 200.0, uniform(rng, 0.1, 0.5)),
    ]
    out = _firing(rng, f0, rate, uniform(rng, 0.1, 0.6), body)
    table = wavetable(harmonics(pulse_hz, rate, 0.3), 0.3, rng)
    beats = np.maximum(sweep(f0, table, rate), 0)
    rattle = noise(
        rng, samples, rate, [(100.0, -20.0), (log_uniform(rng, 700, 3000), 0.0), (9000.0, -16.0)]
    )
    rumble = noise(rng, samples, rate, [(20.0, -6.0), (80.0, 0.0), (400.0, -18.0), (4000.0, -45.0)])
    return (
        out + log_uniform(rng, 0.03, 0.4) * rattle * (0.3 + beats) + uniform(rng, 0.1, 0.7) * rumble
    )


def motorcycle(rng: Rng, samples: int, rate: int) -> Audio:
    """Revs that climb, drop at each gear and climb again; it may pass by."""
    shifts = int(rng.integers(1, 5))
    low = log_uniform(rng, 28, 60)
    top = uniform(rng, 1.5, 3.5)
    knots = []
    for _ in range(shifts):
        knots += [low * uniform(rng, 1.0, 1.4), low * top * uniform(rng, 0.8, 1.1), low * top]
    f0 = ramp(knots, samples) * (1 + 0.01 * white(rng, samples))
    body = [
        (log_uniform(rng, 80, 220), 90.0, 1.0),
        (log_uniform(rng, 300, 900), 250.0, uniform(rng, 0.2, 0.8)),
    ]
    out = _firing(rng, f0, rate, uniform(rng, 0.2, 0.7), body)
    exhaust = noise(
        rng,
        samples,
        rate,
        [(60.0, -10.0), (log_uniform(rng, 150, 500), 0.0), (3000.0, -20.0), (12000.0, -40.0)],
    )
    out = out + uniform(rng, 0.1, 0.5) * exhaust
    passing = [0.3, 1.0, 0.3] if rng.random() < 0.4 else rng.uniform(0.6, 1.0, 4)
    return np.tanh(out) * (f0 / f0.max()) ** 0.5 * ramp(passing, samples)


def vacuum_cleaner(rng: Rng, samples: int, rate: int) -> Audio:
    """A steady broad rush of air with a motor's whine in it."""
    pitch = log_uniform(rng, 90, 420)
    drift = 1 + 0.03 * wander(rng, samples, rate, 0.8)
    if rng.random() < 0.25:
        drift = drift * ramp([0.2, 0.9, 1.0, 1.0, 1.0, 1.0, 1.0], samples)
    whine = wavetable(
        harmonics(pitch, rate, uniform(rng, 0.6, 1.4), [(log_uniform(rng, 400, 3500), 600.0, 1.0)]),
        1.0,
        rng,
    )
    air = noise(
        rng,
        samples,
        rate,
        [
            (50.0, -16.0),
            (log_uniform(rng, 250, 1200), 0.0),
            (4000.0, uniform(rng, -12, -3)),
            (16000.0, -24.0),
        ],
    )
    strokes = 0.75 + 0.5 * wander(rng, samples, rate, 1.0)
    return (
        air * strokes + uniform(rng, 0.15, 1.0) * sweep(pitch * drift, whine, rate)
    ) * np.minimum(drift, 1)


def _tick(rng: Rng, rate: int) -> Audio:
    """Clockwork: two or three small clicks within a few milliseconds, ringing in the case."""
    count = int(rng.integers(2, 5))
    hz = [log_uniform(rng, 350, 7500) for _ in range(count)]
    case = ring(
        rate, hz, list(rng.uniform(0.2, 1, count)), [log_uniform(rng, 0.001, 0.015) for _ in hz]
    )
    click = burst(
        rng,
        rate,
        log_uniform(rng, 0.0005, 0.003),
        [(300.0, -16.0), (log_uniform(rng, 1500, 6000), 0.0), (15000.0, -4.0)],
    )
    out = np.zeros(int(0.03 * rate) + len(case) + len(click), np.float32)
    for part in range(int(rng.integers(1, 4))):
        late = int(part * uniform(rng, 0.002, 0.012) * rate)
        gain = uniform(rng, 0.3, 1.0)
        out[late : late + len(case)] += gain * case
        out[late : late + len(click)] += gain * uniform(rng, 0.3, 1.2) * click
    return out


def clock_tick(rng: Rng, samples: int, rate: int) -> Audio:
    """Ticks, or ticks and tocks, as even as clockwork."""
    period_s = float(
        rng.choice([0.2, 0.25, 0.3, 0.4, 0.5, 0.5, 0.6, 0.75, 1.0, 1.0, 1.0])
    ) * uniform(rng, 0.96, 1.04)
    tick = _tick(rng, rate)
    tock = _tick(rng, rate) if rng.random() < 0.5 else tick
    out = np.zeros(samples, np.float32)
    starts = regular(samples, rate, period_s, rng.uniform(0, period_s))
    shift = np.where(
        np.arange(len(starts)) % 2, int(uniform(rng, -0.12, 0.12) * period_s * rate), 0
    )
    gains = np.where(np.arange(len(starts)) % 2, uniform(rng, 0.4, 1.0), 1.0) * rng.uniform(
        0.9, 1.1, len(starts)
    )
    scatter(out, [tick, tock], starts + shift, gains, np.arange(len(starts)) % 2)
    if rng.random() < 0.3:
        hum = noise(
            rng,
            samples,
            rate,
            [(30.0, -6.0), (log_uniform(rng, 100, 600), 0.0), (3000.0, -25.0), (9000.0, -40.0)],
        )
        out += 10 ** (uniform(rng, -34, -20) / 20) * hum
    return out


def typing(rng: Rng, samples: int, rate: int) -> Audio:
    """Keys pressed in uneven runs, each with its softer release."""
    grains = []
    for _ in range(5):
        low = ring(
            rate,
            [log_uniform(rng, 150, 600), log_uniform(rng, 900, 2500)],
            [0.5, 0.6],
            [0.008, 0.004],
        )
        click = burst(
            rng,
            rate,
            log_uniform(rng, 0.001, 0.004),
            [(300.0, -14.0), (log_uniform(rng, 1800, 5000), 0.0), (15000.0, -8.0)],
        )
        length = max(len(low), len(click))
        key = np.zeros(length + int(0.15 * rate), np.float32)
        key[: len(low)] += uniform(rng, 0.2, 0.9) * low
        key[: len(click)] += click
        late = int(uniform(rng, 0.06, 0.12) * rate)
        key[late : late + len(click)] += uniform(rng, 0.1, 0.5) * click
        grains.append(key)
    speed = log_uniform(rng, 4, 11)
    gaps = rng.gamma(3.0, 1 / (3 * speed), int(samples / rate * speed * 1.3) + 4)
    gaps += (rng.random(len(gaps)) < 0.07) * rng.uniform(0.2, 0.9, len(gaps))
    starts = ((rng.uniform(0, 0.3) + np.cumsum(gaps)) * rate).astype(np.int64)
    out = np.zeros(samples, np.float32)
    scatter(
        out,
        grains,
        starts,
        rng.uniform(0.4, 1.2, len(starts)),
        rng.integers(len(grains), size=len(starts)),
    )
    return out


def _horn(
    rng: Rng, rate: int, length: int, pitches: list[float], tilt: float, bend: float
) -> Audio:
    out = np.zeros(length, np.float32)
    edge = min(int(0.04 * rate), length // 4)
    curve = ramp([1 - bend] + [1.0] * 18 + [1 - bend], length)
    for pitch in pitches:
        peak = (log_uniform(rng, 700, 2500), 700.0, 1.0)
        table = wavetable(harmonics(pitch, rate, tilt, [peak, (pitch, pitch, 1.0)]), 0.5, rng)
        out += uniform(rng, 0.6, 1.0) * sweep(curve * np.float32(pitch), table, rate)
    envelope = np.ones(length, np.float32)
    envelope[:edge] = np.linspace(0, 1, edge)
    envelope[length - edge :] = np.linspace(1, 0, edge)
    return unit(out) * envelope


def vehicle_horn(rng: Rng, samples: int, rate: int) -> Audio:
    """Short honks of two close notes."""
    low = log_uniform(rng, 280, 460)
    pitches = [low, low * float(rng.choice([1.19, 1.25, 1.26, 1.33]))][: int(rng.integers(1, 3))]
    tilt, length_s = uniform(rng, 0.2, 0.9), log_uniform(rng, 0.12, 1.0)

    def honk() -> Audio:
        return _horn(rng, rate, int(length_s * uniform(rng, 0.6, 1.5) * rate), pitches, tilt, 0.0)

    return repeat(
        rng, samples, rate, honk, (0.08, 0.8), most=int(rng.integers(1, 7)), uneven_db=1.0
    )


def train_horn(rng: Rng, samples: int, rate: int) -> Audio:
    """A chord of three to five horns, held long."""
    root = log_uniform(rng, 180, 340)
    chord = [1.0, 1.19, 1.33, 1.5, 1.68] if rng.random() < 0.6 else [1.0, 1.25, 1.5, 2.0, 2.5]
    pitches = [root * ratio for ratio in chord[: int(rng.integers(3, 6))]]
    tilt, bend = uniform(rng, 0.3, 1.0), uniform(rng, 0.0, 0.06)

    def blast() -> Audio:
        out = _horn(rng, rate, int(uniform(rng, 0.7, 3.0) * rate), pitches, tilt, bend)
        air = noise(rng, len(out), rate, [(100.0, -20.0), (1500.0, 0.0), (12000.0, -16.0)])
        return out + uniform(rng, 0.02, 0.12) * air * np.abs(out)

    return repeat(
        rng, samples, rate, blast, (0.2, 1.0), most=int(rng.integers(1, 5)), uneven_db=1.0
    )
