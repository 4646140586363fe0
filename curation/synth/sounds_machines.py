"""Sounds of engines and other machines."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.synth.dsp import (
    Audio,
    Rng,
    build_wavetable,
    draw_log_uniform,
    draw_uniform,
    harmonic_amplitudes,
    linear_ramp,
    play_wavetable,
    random_walk,
    shaped_noise,
    smooth_knots,
    white_noise,
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
    amplitudes = harmonic_amplitudes(pitch, rate, tilt, body)
    order = np.arange(1, len(amplitudes) + 1)
    amplitudes = amplitudes * np.where(
        order % 4 == 0, 1.0, draw_uniform(rng, 0.05, 0.5) * rng.random(len(order))
    )
    return play_wavetable(
        f0_hz / 4, build_wavetable(amplitudes, draw_uniform(rng, 0.0, 0.5), rng), rate
    )


def _throttle(
    rng: Rng, samples: int, rate: int, low_hz: float, high_hz: float, turns_hz: float
) -> Audio:
    """A pitch that is held, pushed up and let go."""
    knots = max(3, int(samples / rate * turns_hz) + 2)
    level = rng.random(knots) ** draw_uniform(rng, 0.4, 2.5)
    held = rng.random(knots) < 0.4
    for place in range(1, knots):
        if held[place]:
            level[place] = level[place - 1]
    return low_hz * (high_hz / low_hz) ** linear_ramp(smooth_knots(level), samples)


def helicopter(rng: Rng, samples: int, rate: int) -> Audio:
    """A low roar chopped ten to thirty times per second, under a hiss and a turbine's whine."""
    blade_hz = draw_log_uniform(rng, 8, 32)
    pulse = blade_hz * (1 + 0.02 * random_walk(rng, samples, rate, 0.5))
    sharp = draw_uniform(rng, 1.0, 7.0)
    phase = np.linspace(0, 2 * np.pi, 2048, endpoint=False)
    chop = (
        np.exp(sharp * (np.cos(phase) - 1)) + draw_uniform(rng, 0, 0.3) * np.cos(phase / 2) ** 2
    ).astype(np.float32)
    beats = play_wavetable(pulse, chop, rate)
    low = [
        (25.0, draw_uniform(rng, -14, 0)),
        (draw_log_uniform(rng, 60, 350), 0.0),
        (900.0, draw_uniform(rng, -20, -8)),
        (8000.0, draw_uniform(rng, -46, -22)),
    ]
    out = shaped_noise(rng, samples, rate, low) * (draw_uniform(rng, 0.05, 0.6) + beats)
    table = build_wavetable(
        harmonic_amplitudes(
            blade_hz,
            rate,
            draw_uniform(rng, 0.6, 1.3),
            [(draw_log_uniform(rng, 50, 200), 80.0, 1.0)],
        ),
        0.1,
        rng,
    )
    out += draw_uniform(rng, 0.1, 0.9) * play_wavetable(pulse, table, rate)
    hiss = shaped_noise(
        rng,
        samples,
        rate,
        [(300.0, -20.0), (draw_log_uniform(rng, 2500, 8000), 0.0), (16000.0, -8.0)],
    )
    out += draw_log_uniform(rng, 0.02, 0.5) * hiss * (draw_uniform(rng, 0.3, 1) + beats)
    if rng.random() < 0.3:
        whine = build_wavetable(
            harmonic_amplitudes(draw_log_uniform(rng, 700, 2500), rate, 2.0), 1.0, rng
        )
        out += draw_uniform(rng, 0.03, 0.2) * play_wavetable(
            pulse / blade_hz * draw_log_uniform(rng, 700, 2500), whine, rate
        )
    ends = rng.uniform(0.2, 1.0, 3) if rng.random() < 0.3 else rng.uniform(0.85, 1.0, 3)
    return out * linear_ramp(ends, samples)


def chainsaw(rng: Rng, samples: int, rate: int) -> Audio:
    """The harsh buzz of a two-stroke engine that is revved up and down, cuts wood, or idles."""
    low = draw_log_uniform(rng, 30, 110)
    high = low * draw_uniform(rng, 1.15, 3.5)
    f0 = _throttle(rng, samples, rate, low, high, draw_log_uniform(rng, 0.3, 4.0))
    f0 = f0 * (1 + draw_log_uniform(rng, 0.002, 0.03) * white_noise(rng, samples))
    body = [
        (draw_log_uniform(rng, 180, 500), 150.0, 1.0),
        (draw_log_uniform(rng, 500, 1300), 350.0, draw_uniform(rng, 0.5, 1.4)),
        (draw_log_uniform(rng, 1500, 3500), 900.0, draw_uniform(rng, 0.2, 0.9)),
    ]
    out = _firing(rng, f0, rate, draw_uniform(rng, 0.0, 0.5), body)
    rough = 0.6 + 0.8 * random_walk(rng, samples, rate, draw_uniform(rng, 15, 50))
    teeth = shaped_noise(
        rng,
        samples,
        rate,
        [
            (150.0, -20.0),
            (draw_log_uniform(rng, 600, 2500), 0.0),
            (5000.0, draw_uniform(rng, -14, -3)),
            (16000.0, -20.0),
        ],
    )
    push = (f0 / high) ** draw_log_uniform(rng, 0.2, 3.5)
    push = push * (0.3 + random_walk(rng, samples, rate, draw_log_uniform(rng, 0.5, 8.0)))
    out = (out + draw_log_uniform(rng, 0.05, 0.45) * teeth * rough) * push
    return np.tanh(draw_uniform(rng, 0.4, 2.0) * out)


def engine_idling(rng: Rng, samples: int, rate: int) -> Audio:
    """An engine turning slowly and evenly: a low pulse with a rattle."""
    pulse_hz = draw_log_uniform(rng, 16, 45)
    f0 = pulse_hz * (
        1 + 0.04 * random_walk(rng, samples, rate, 2.0) + 0.01 * white_noise(rng, samples)
    )
    body = [
        (draw_log_uniform(rng, 50, 160), 60.0, 1.0),
        (draw_log_uniform(rng, 200, 700), 200.0, draw_uniform(rng, 0.1, 0.5)),
    ]
    out = _firing(rng, f0, rate, draw_uniform(rng, 0.1, 0.6), body)
    table = build_wavetable(harmonic_amplitudes(pulse_hz, rate, 0.3), 0.3, rng)
    beats = np.maximum(play_wavetable(f0, table, rate), 0)
    rattle = shaped_noise(
        rng,
        samples,
        rate,
        [(100.0, -20.0), (draw_log_uniform(rng, 700, 3000), 0.0), (9000.0, -16.0)],
    )
    rumble = shaped_noise(
        rng, samples, rate, [(20.0, -6.0), (80.0, 0.0), (400.0, -18.0), (4000.0, -45.0)]
    )
    return (
        out
        + draw_log_uniform(rng, 0.03, 0.4) * rattle * (0.3 + beats)
        + draw_uniform(rng, 0.1, 0.7) * rumble
    )


def motorcycle(rng: Rng, samples: int, rate: int) -> Audio:
    """An engine that revs up, drops at each gear change and revs up again; it may pass by."""
    shifts = int(rng.integers(1, 5))
    low = draw_log_uniform(rng, 28, 60)
    top = draw_uniform(rng, 1.5, 3.5)
    knots = []
    for _ in range(shifts):
        knots += [
            low * draw_uniform(rng, 1.0, 1.4),
            low * top * draw_uniform(rng, 0.8, 1.1),
            low * top,
        ]
    f0 = linear_ramp(knots, samples) * (1 + 0.01 * white_noise(rng, samples))
    body = [
        (draw_log_uniform(rng, 80, 220), 90.0, 1.0),
        (draw_log_uniform(rng, 300, 900), 250.0, draw_uniform(rng, 0.2, 0.8)),
    ]
    out = _firing(rng, f0, rate, draw_uniform(rng, 0.2, 0.7), body)
    exhaust = shaped_noise(
        rng,
        samples,
        rate,
        [(60.0, -10.0), (draw_log_uniform(rng, 150, 500), 0.0), (3000.0, -20.0), (12000.0, -40.0)],
    )
    out = out + draw_uniform(rng, 0.1, 0.5) * exhaust
    passing = [0.3, 1.0, 0.3] if rng.random() < 0.4 else rng.uniform(0.6, 1.0, 4)
    return np.tanh(out) * (f0 / f0.max()) ** 0.5 * linear_ramp(passing, samples)


def vacuum_cleaner(rng: Rng, samples: int, rate: int) -> Audio:
    """A steady broadband rush of air, with the whine of a motor."""
    pitch = draw_log_uniform(rng, 90, 420)
    drift = 1 + 0.03 * random_walk(rng, samples, rate, 0.8)
    if rng.random() < 0.25:
        drift = drift * linear_ramp([0.2, 0.9, 1.0, 1.0, 1.0, 1.0, 1.0], samples)
    whine = build_wavetable(
        harmonic_amplitudes(
            pitch,
            rate,
            draw_uniform(rng, 0.6, 1.4),
            [(draw_log_uniform(rng, 400, 3500), 600.0, 1.0)],
        ),
        1.0,
        rng,
    )
    air = shaped_noise(
        rng,
        samples,
        rate,
        [
            (50.0, -16.0),
            (draw_log_uniform(rng, 250, 1200), 0.0),
            (4000.0, draw_uniform(rng, -12, -3)),
            (16000.0, -24.0),
        ],
    )
    strokes = 0.75 + 0.5 * random_walk(rng, samples, rate, 1.0)
    return (
        air * strokes + draw_uniform(rng, 0.15, 1.0) * play_wavetable(pitch * drift, whine, rate)
    ) * np.minimum(drift, 1)
