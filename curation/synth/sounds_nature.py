"""Sounds of weather, water and fire."""

import numpy as np

from curation.synth.dsp import (
    Audio,
    Rng,
    add_grains,
    add_random_grains,
    attack_release_envelope,
    damped_sines,
    draw_log_uniform,
    draw_uniform,
    exponential_decay,
    linear_ramp,
    noise_burst,
    random_clicks,
    random_walk,
    repeat_events,
    shaped_noise,
    to_unit_rms,
)


def rain(rng: Rng, samples: int, rate: int) -> Audio:
    """A steady, usually bright hiss; single drops may be audible."""
    points = [
        (150.0, draw_uniform(rng, -18, 0)),
        (500.0, draw_uniform(rng, -12, 0)),
        (draw_log_uniform(rng, 1200, 7000), 0.0),
        (16000.0, draw_uniform(rng, -18, 0)),
    ]
    if rng.random() < 0.4:
        points.insert(0, (45.0, draw_uniform(rng, -8, 8)))
    out = shaped_noise(rng, samples, rate, points)
    drops = int(draw_log_uniform(rng, 60, 3000) * samples / rate)
    patter = [
        (200.0, draw_uniform(rng, -22, -6)),
        (draw_log_uniform(rng, 900, 5000), 0.0),
        (15000.0, draw_uniform(rng, -14, -2)),
    ]
    out += draw_uniform(rng, 0.1, 1.2) * random_clicks(
        rng, samples, rate, drops, patter, draw_uniform(rng, 0.4, 1.4)
    )
    if rng.random() < 0.4:
        grains = []
        for _ in range(6):
            hz = draw_log_uniform(rng, 300, 4500)
            grains.append(damped_sines(rate, [hz], [1.0], [draw_uniform(rng, 1.0, 4.0) / hz]))
        add_random_grains(rng, out, grains, int(draw_uniform(rng, 3, 60) * samples / rate), 0.7)
    return out * (1 - draw_uniform(rng, 0, 0.25) * random_walk(rng, samples, rate, 0.7))


def _surge(rng: Rng, samples: int, rate: int) -> Audio:
    """Waves coming in: each swells slowly and falls away, some before the last has gone."""
    period_s = draw_log_uniform(rng, 2.5, 9.0)
    out = np.zeros(samples, np.float32)
    start_s = -rng.uniform(0, period_s)
    while start_s < samples / rate:
        length = int(period_s * draw_uniform(rng, 1.0, 1.7) * rate)
        wave = attack_release_envelope(
            length, draw_uniform(rng, 0.2, 0.6), draw_uniform(rng, 0.3, 0.7)
        ) * np.float32(draw_uniform(rng, 0.5, 1))
        first = int(start_s * rate)
        low, high = max(first, 0), min(first + length, samples)
        if high > low:
            np.maximum(out[low:high], wave[low - first : high - first], out=out[low:high])
        start_s += period_s * draw_uniform(rng, 0.6, 1.3)
    return out


def sea_waves(rng: Rng, samples: int, rate: int) -> Audio:
    """A constant deep roar, with surges of surf that become brighter as they become louder."""
    floor = 10 ** (draw_uniform(rng, -18, -6) / 20)
    surge = _surge(rng, samples, rate)
    centre = draw_log_uniform(rng, 250, 900)
    roar = shaped_noise(
        rng,
        samples,
        rate,
        [
            (50.0, draw_uniform(rng, -22, 0)),
            (centre, 0.0),
            (centre * 4, draw_uniform(rng, -16, -8)),
            (16000.0, draw_uniform(rng, -50, -28)),
        ],
    )
    surf = shaped_noise(
        rng,
        samples,
        rate,
        [
            (80.0, draw_uniform(rng, -24, -8)),
            (draw_log_uniform(rng, 500, 1500), 0.0),
            (4500.0, draw_uniform(rng, -18, -8)),
            (16000.0, draw_uniform(rng, -34, -18)),
        ],
    )
    out = roar * (floor + surge) + draw_uniform(rng, 0.4, 1.5) * surf * (floor * 0.5 + surge**2)
    if rng.random() < 0.3:
        fizz = shaped_noise(rng, samples, rate, [(500.0, -30.0), (5000.0, 0.0), (16000.0, -6.0)])
        out += draw_uniform(rng, 0.03, 0.2) * fizz * np.roll(surge, int(0.5 * rate))
    if rng.random() < 0.6:
        splash = [
            (150.0, -14.0),
            (draw_log_uniform(rng, 400, 1800), 0.0),
            (12000.0, draw_uniform(rng, -26, -12)),
        ]
        count = int(draw_log_uniform(rng, 20, 600) * samples / rate)
        out += (
            draw_uniform(rng, 0.1, 0.6)
            * random_clicks(rng, samples, rate, count, splash, 1.3)
            * surge
        )
    return out * (0.4 + 1.2 * random_walk(rng, samples, rate, draw_log_uniform(rng, 4.0, 30.0)))


def wind(rng: Rng, samples: int, rate: int) -> Audio:
    """Low gusts, with a howl whose pitch rises and falls with them."""
    gust = random_walk(rng, samples, rate, draw_uniform(rng, 0.4, 1.6)) ** 2
    low = [
        (20.0, 0.0),
        (draw_log_uniform(rng, 60, 200), -2.0),
        (800.0, draw_uniform(rng, -34, -20)),
        (8000.0, -60.0),
    ]
    out = shaped_noise(rng, samples, rate, low) * (draw_uniform(rng, 0.05, 0.3) + gust)
    howl_hz = draw_log_uniform(rng, 250, 900)
    for part in range(3):
        centre = howl_hz * (1 + 0.35 * part)
        band = [
            (centre / 2, -50.0),
            (centre * 0.93, -3.0),
            (centre, 0.0),
            (centre * 1.07, -3.0),
            (centre * 2, -50.0),
        ]
        share = np.clip(1 - np.abs(gust * 3 - part), 0, 1)
        out += (
            draw_uniform(rng, 0.1, 0.6)
            * shaped_noise(rng, samples, rate, band)
            * share
            * (0.2 + gust)
        )
    if rng.random() < 0.4:
        out *= 0.6 + 0.8 * random_walk(rng, samples, rate, draw_uniform(rng, 8, 20))
    return out


def thunder(rng: Rng, samples: int, rate: int) -> Audio:
    """An optional crack, then a rumble that rolls for seconds."""

    def clap() -> Audio:
        length = int(min(draw_uniform(rng, 2.0, 7.0), samples / rate) * rate)
        low = [
            (20.0, 0.0),
            (draw_log_uniform(rng, 50, 140), 0.0),
            (500.0, -18.0),
            (3000.0, draw_uniform(rng, -55, -35)),
            (9000.0, -70.0),
        ]
        rolls = 0.15 + random_walk(rng, length, rate, draw_uniform(rng, 2, 6)) ** 2
        out = (
            shaped_noise(rng, length, rate, low)
            * rolls
            * attack_release_envelope(length, draw_uniform(rng, 0.01, 0.15), 0.8)
        )
        if rng.random() < 0.6:
            crack = noise_burst(
                rng,
                rate,
                draw_uniform(rng, 0.04, 0.3),
                [(40.0, 0.0), (500.0, -3.0), (9000.0, -22.0)],
            )
            stop = min(length, len(crack))
            out[:stop] += draw_uniform(rng, 0.5, 2.5) * crack[:stop]
        return out

    return repeat_events(rng, samples, rate, clap, (0.0, 2.0), most=3, lead_s=0.6)


def _bubble(rng: Rng, rate: int, low_hz: float, high_hz: float) -> Audio:
    """A bubble's note, which rises as it shrinks."""
    length = int(draw_uniform(rng, 0.01, 0.06) * rate)
    pitch = draw_log_uniform(rng, low_hz, high_hz)
    time = np.arange(length, dtype=np.float32) / rate
    rise = draw_uniform(rng, 0.0, 0.5) * pitch / (length / rate)
    wave = np.sin(2 * np.pi * (pitch * time + 0.5 * rise * time**2)).astype(np.float32)
    return wave * exponential_decay(length, rate, length / rate / 3.5)


def stream(rng: Rng, samples: int, rate: int) -> Audio:
    """Running water: gurgling bubbles over a soft hiss."""
    low, high = draw_log_uniform(rng, 250, 700), draw_log_uniform(rng, 1200, 4000)
    grains = [_bubble(rng, rate, low, high) for _ in range(24)]
    bubbles = np.zeros(samples, np.float32)
    add_random_grains(
        rng, bubbles, grains, int(draw_log_uniform(rng, 40, 160) * samples / rate), 0.9
    )
    hiss = shaped_noise(
        rng,
        samples,
        rate,
        [
            (80.0, -30.0),
            (draw_log_uniform(rng, 500, 2500), 0.0),
            (6000.0, draw_uniform(rng, -14, -4)),
            (16000.0, -26.0),
        ],
    )
    return to_unit_rms(bubbles) + draw_uniform(rng, 0.1, 0.9) * hiss * (
        0.6 + 0.8 * random_walk(rng, samples, rate, 8.0)
    )


def water_drip(rng: Rng, samples: int, rate: int) -> Audio:
    """Single drops that fall into water at even or uneven intervals."""
    grains = []
    for _ in range(3):
        pitch = draw_log_uniform(rng, 500, 2600)
        plop = _bubble(rng, rate, pitch, pitch * 1.15)
        click = noise_burst(
            rng, rate, 0.0015, [(500.0, -10.0), (4000.0, 0.0), (15000.0, -6.0)]
        ) * draw_uniform(rng, 0.1, 0.8)
        grain = np.zeros(len(plop) + int(0.02 * rate) + len(click), np.float32)
        grain[: len(click)] = click
        late = int(draw_uniform(rng, 0.003, 0.02) * rate)
        grain[late : late + len(plop)] += plop
        grains.append(grain)
    period_s = draw_log_uniform(rng, 0.25, 1.8)
    steady = rng.random() < 0.5

    def drop() -> Audio:
        return grains[int(rng.integers(len(grains)))]

    spread = 0.05 if steady else 0.6
    gap = (period_s * (1 - spread), period_s * (1 + spread))
    return repeat_events(rng, samples, rate, drop, gap, uneven_db=4.0, lead_s=1.0)


def fire(rng: Rng, samples: int, rate: int) -> Audio:
    """Crackling: clusters of soft and loud snaps over a low flutter and a thin hiss."""
    grains = []
    for _ in range(10):
        time_s = draw_log_uniform(rng, 0.0004, 0.006)
        bright = [
            (150.0, draw_uniform(rng, -20, -4)),
            (draw_log_uniform(rng, 1200, 7000), 0.0),
            (16000.0, draw_uniform(rng, -10, 0)),
        ]
        grains.append(noise_burst(rng, rate, time_s, bright))
    snaps = np.zeros(samples, np.float32)
    duration_s = samples / rate
    for _ in range(max(1, int(draw_log_uniform(rng, 1.5, 9) * duration_s))):
        centre = rng.uniform(0, samples)
        count = 1 + int(rng.geometric(draw_uniform(rng, 0.15, 0.6)))
        starts = (centre + rng.exponential(draw_log_uniform(rng, 0.01, 0.12) * rate, count)).astype(
            np.int64
        )
        gains = 0.3 * np.minimum(rng.pareto(1.4, count) + 0.2, 12)
        add_grains(snaps, grains, starts, gains, rng.integers(len(grains), size=count))
    flutter = shaped_noise(
        rng,
        samples,
        rate,
        [
            (20.0, 0.0),
            (draw_log_uniform(rng, 50, 130), -1.0),
            (450.0, -24.0),
            (5000.0, draw_uniform(rng, -45, -30)),
            (16000.0, -45.0),
        ],
    )
    fizz = shaped_noise(
        rng,
        samples,
        rate,
        [
            (100.0, draw_uniform(rng, -16, 0)),
            (900.0, -10.0),
            (draw_log_uniform(rng, 3000, 9000), 0.0),
            (16000.0, -2.0),
        ],
    )
    ticks = random_clicks(
        rng,
        samples,
        rate,
        int(draw_log_uniform(rng, 20, 400) * duration_s),
        [(300.0, -12.0), (5000.0, 0.0), (16000.0, 0.0)],
        1.0,
    )
    roar = draw_log_uniform(rng, 0.15, 12.0)
    out = (
        to_unit_rms(snaps)
        + draw_uniform(rng, 0.1, 0.8) * ticks
        + draw_log_uniform(rng, 0.03, 0.5) * fizz
    )
    return out + roar * flutter * linear_ramp(
        rng.uniform(0.5, 1.2, max(4, int(duration_s * draw_uniform(rng, 2, 10)))), samples
    )
