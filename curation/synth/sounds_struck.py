"""Sounds of things that are struck or shot: clicks, knocks, broken glass and explosions."""

import numpy as np

from curation.synth.dsp import (
    Audio,
    Rng,
    add_grains,
    add_random_grains,
    attack_release_envelope,
    build_wavetable,
    damped_sines,
    draw_log_uniform,
    draw_uniform,
    exponential_decay,
    linear_ramp,
    noise_burst,
    play_wavetable,
    random_walk,
    regular_starts,
    repeat_events,
    shaped_noise,
)


def small_bell(rng: Rng, rate: int, low_hz: float, high_hz: float, time_s: float) -> Audio:
    pitch = draw_log_uniform(rng, low_hz, high_hz)
    ratios = [
        1.0,
        draw_uniform(rng, 1.4, 1.6),
        draw_uniform(rng, 2.0, 2.3),
        draw_uniform(rng, 2.7, 3.2),
        draw_uniform(rng, 3.8, 4.5),
    ]
    gains = [1.0, *rng.uniform(0.2, 0.9, 4)]
    return damped_sines(
        rate, [pitch * ratio for ratio in ratios], gains, [time_s / ratio**0.5 for ratio in ratios]
    )


def _tick(rng: Rng, rate: int) -> Audio:
    """Clockwork: one to three small clicks within milliseconds, and the many notes of the case."""
    count = int(rng.integers(3, 22))
    hz = np.exp(rng.uniform(np.log(150), np.log(7500), count))
    longest_s = draw_log_uniform(rng, 0.003, 0.09)
    times_s = longest_s * rng.uniform(0.1, 1.0, count) * (hz / 150) ** -draw_uniform(rng, 0.0, 0.4)
    case = damped_sines(rate, hz.tolist(), rng.uniform(0.05, 1, count).tolist(), times_s.tolist())
    if rng.random() < 0.5:
        tail = [
            (100.0, draw_uniform(rng, -12, 0)),
            (draw_log_uniform(rng, 600, 6000), 0.0),
            (16000.0, -12.0),
        ]
        hiss = noise_burst(rng, rate, draw_log_uniform(rng, 0.008, 0.07), tail)
        length = min(len(case), len(hiss))
        case[:length] += draw_log_uniform(rng, 0.05, 0.6) * hiss[:length]
    click = noise_burst(
        rng,
        rate,
        draw_log_uniform(rng, 0.0005, 0.003),
        [(300.0, -16.0), (draw_log_uniform(rng, 1500, 6000), 0.0), (15000.0, -4.0)],
    )
    out = np.zeros(int(0.03 * rate) + len(case) + len(click), np.float32)
    for part in range(int(rng.integers(1, 4))):
        late = int(part * draw_log_uniform(rng, 0.002, 0.014) * rate)
        gain = draw_uniform(rng, 0.3, 1.0)
        out[late : late + len(case)] += gain * case
        out[late : late + len(click)] += gain * draw_uniform(rng, 0.3, 1.2) * click
    return out


def clock_tick(rng: Rng, samples: int, rate: int) -> Audio:
    """Perfectly regular ticks, or ticks and tocks."""
    period_s = float(
        rng.choice([0.2, 0.25, 0.3, 0.4, 0.5, 0.5, 0.6, 0.75, 1.0, 1.0, 1.0])
    ) * draw_uniform(rng, 0.96, 1.04)
    tick = _tick(rng, rate)
    tock = _tick(rng, rate) if rng.random() < 0.5 else tick
    out = np.zeros(samples, np.float32)
    starts = regular_starts(samples, rate, period_s, rng.uniform(0, period_s))
    shift = np.where(
        np.arange(len(starts)) % 2, int(draw_uniform(rng, -0.12, 0.12) * period_s * rate), 0
    )
    gains = np.where(np.arange(len(starts)) % 2, draw_uniform(rng, 0.4, 1.0), 1.0) * rng.uniform(
        0.9, 1.1, len(starts)
    )
    add_grains(out, [tick, tock], starts + shift, gains, np.arange(len(starts)) % 2)
    if rng.random() < 0.3:
        hum = shaped_noise(
            rng,
            samples,
            rate,
            [
                (30.0, -6.0),
                (draw_log_uniform(rng, 100, 600), 0.0),
                (3000.0, -25.0),
                (9000.0, -40.0),
            ],
        )
        out += 10 ** (draw_uniform(rng, -34, -20) / 20) * hum
    return out


def typing(rng: Rng, samples: int, rate: int) -> Audio:
    """Keys pressed in uneven runs; the release of each key is softer."""
    grains = []
    for _ in range(5):
        low = damped_sines(
            rate,
            [draw_log_uniform(rng, 150, 600), draw_log_uniform(rng, 900, 2500)],
            [0.5, 0.6],
            [0.008, 0.004],
        )
        click = noise_burst(
            rng,
            rate,
            draw_log_uniform(rng, 0.001, 0.004),
            [(300.0, -14.0), (draw_log_uniform(rng, 1800, 5000), 0.0), (15000.0, -8.0)],
        )
        length = max(len(low), len(click))
        key = np.zeros(length + int(0.15 * rate), np.float32)
        key[: len(low)] += draw_uniform(rng, 0.2, 0.9) * low
        key[: len(click)] += click
        late = int(draw_uniform(rng, 0.06, 0.12) * rate)
        key[late : late + len(click)] += draw_uniform(rng, 0.1, 0.5) * click
        grains.append(key)
    speed = draw_log_uniform(rng, 4, 11)
    gaps = rng.gamma(3.0, 1 / (3 * speed), int(samples / rate * speed * 1.3) + 4)
    gaps += (rng.random(len(gaps)) < 0.07) * rng.uniform(0.2, 0.9, len(gaps))
    starts = ((rng.uniform(0, 0.3) + np.cumsum(gaps)) * rate).astype(np.int64)
    out = np.zeros(samples, np.float32)
    add_grains(
        out,
        grains,
        starts,
        rng.uniform(0.4, 1.2, len(starts)),
        rng.integers(len(grains), size=len(starts)),
    )
    return out


def knock(rng: Rng, samples: int, rate: int) -> Audio:
    """Knuckles that knock on a door, two to six times in a group."""
    hz = [
        draw_log_uniform(rng, 90, 260),
        draw_log_uniform(rng, 280, 600),
        draw_log_uniform(rng, 700, 1600),
    ]
    times = [
        draw_uniform(rng, 0.012, 0.05),
        draw_uniform(rng, 0.008, 0.03),
        draw_uniform(rng, 0.004, 0.015),
    ]
    wood = damped_sines(
        rate, hz, [1.0, draw_uniform(rng, 0.3, 1.0), draw_uniform(rng, 0.1, 0.6)], times
    )
    tap = noise_burst(rng, rate, 0.002, [(200.0, -10.0), (1500.0, 0.0), (10000.0, -14.0)])
    wood[: len(tap)] += draw_uniform(rng, 0.2, 0.8) * tap[: len(wood)]
    period_s, count = draw_uniform(rng, 0.12, 0.32), int(rng.integers(2, 7))

    def group() -> Audio:
        starts = regular_starts(int(count * period_s * rate), rate, period_s, 0.0) + rng.integers(
            0, max(1, int(0.02 * rate))
        )
        out = np.zeros(int((count * period_s + 0.1) * rate), np.float32)
        add_grains(
            out, [wood], starts, rng.uniform(0.6, 1.0, len(starts)), np.zeros(len(starts), np.int64)
        )
        return out

    return repeat_events(
        rng, samples, rate, group, (0.5, 1.8), most=int(rng.integers(1, 5)), uneven_db=2.0
    )


def glass_shatter(rng: Rng, samples: int, rate: int) -> Audio:
    """A crash, followed by the tinkling of the broken pieces."""

    def smash() -> Audio:
        length = int(draw_uniform(rng, 0.6, 2.0) * rate)
        out = np.zeros(length, np.float32)
        crash = noise_burst(
            rng,
            rate,
            draw_uniform(rng, 0.03, 0.12),
            [(200.0, -16.0), (draw_log_uniform(rng, 2500, 6000), 0.0), (16000.0, -3.0)],
        )
        out[: min(length, len(crash))] += crash[:length]
        shards = [
            small_bell(rng, rate, 1800, 6000, draw_log_uniform(rng, 0.008, 0.06)) for _ in range(14)
        ]
        count = int(rng.integers(20, 120))
        starts = (rng.exponential(draw_uniform(rng, 0.1, 0.35), count) * rate).astype(np.int64)
        gains = 0.5 * np.exp(-starts / rate * 1.5) * rng.uniform(0.2, 1.0, count)
        add_grains(out, shards, starts, gains, rng.integers(len(shards), size=count))
        return out

    return repeat_events(
        rng, samples, rate, smash, (0.4, 2.0), most=int(rng.choice([1, 1, 2, 3])), lead_s=0.6
    )


def gunshot(rng: Rng, samples: int, rate: int) -> Audio:
    """Sharp cracks, each followed by a boom, singly or in bursts."""
    crack = [
        (50.0, -6.0),
        (draw_log_uniform(rng, 300, 1800), 0.0),
        (6000.0, -8.0),
        (16000.0, -18.0),
    ]
    time_s, echo_s = draw_log_uniform(rng, 0.02, 0.09), draw_uniform(rng, 0.1, 0.6)

    def shot() -> Audio:
        tail = noise_burst(
            rng, rate, echo_s / 2, [(40.0, -3.0), (300.0, 0.0), (2500.0, -14.0), (9000.0, -34.0)]
        )
        head = noise_burst(rng, rate, time_s, crack)
        out = draw_uniform(rng, 0.08, 0.35) * tail
        out[: min(len(head), len(out))] += head[: len(out)]
        return out[: int((time_s * 4 + echo_s) * rate)]

    gap = (0.2, 1.6) if rng.random() < 0.6 else (0.0, 0.06)
    return repeat_events(
        rng, samples, rate, shot, gap, most=int(rng.integers(1, 9)), uneven_db=3.0, lead_s=0.6
    )


def fireworks(rng: Rng, samples: int, rate: int) -> Audio:
    """A rising whistle, a boom, and a shower of crackles."""

    def rocket() -> Audio:
        parts: list[Audio] = []
        if rng.random() < 0.6:
            length = int(draw_uniform(rng, 0.4, 1.2) * rate)
            start = draw_log_uniform(rng, 1200, 3500)
            f0 = linear_ramp([start, start * draw_uniform(rng, 0.5, 1.5)], length) * (
                0.98 + 0.04 * random_walk(rng, length, rate, 30.0)
            )
            table = build_wavetable(np.array([1.0, 0.2]), 1.0, rng)
            air = shaped_noise(rng, length, rate, [(400.0, -20.0), (start, 0.0), (12000.0, -12.0)])
            parts.append(
                (draw_uniform(rng, 0.05, 0.3) * play_wavetable(f0, table, rate) + 0.1 * air)
                * linear_ramp([0.1, 1.0, 0.5], length)
            )
        length = int(draw_uniform(rng, 0.8, 2.0) * rate)
        boom = (
            0.3
            * shaped_noise(
                rng, length, rate, [(30.0, 0.0), (120.0, 0.0), (1500.0, -22.0), (9000.0, -45.0)]
            )
            * exponential_decay(length, rate, draw_uniform(rng, 0.08, 0.3))
        )
        if rng.random() < 0.8:
            snaps = [
                noise_burst(
                    rng,
                    rate,
                    draw_log_uniform(rng, 0.001, 0.006),
                    [(300.0, -12.0), (3500.0, 0.0), (16000.0, -4.0)],
                )
                for _ in range(5)
            ]
            crackle = np.zeros(length, np.float32)
            add_random_grains(
                rng, crackle, snaps, int(draw_uniform(rng, 15, 90) * length / rate), 0.6
            )
            boom = boom + draw_uniform(rng, 0.05, 0.25) * crackle * attack_release_envelope(
                length, 0.25, 0.5
            )
        return np.concatenate([*parts, boom])

    return repeat_events(rng, samples, rate, rocket, (0.0, 0.8))
