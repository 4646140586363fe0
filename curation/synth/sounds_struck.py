"""Things struck or shot: clicks, knocks, broken glass and explosions."""

import numpy as np

from curation.synth.dsp import (
    Audio,
    Rng,
    burst,
    decay,
    hump,
    log_uniform,
    noise,
    ramp,
    regular,
    repeat,
    ring,
    scatter,
    sprinkle,
    sweep,
    uniform,
    wander,
    wavetable,
)


def small_bell(rng: Rng, rate: int, low_hz: float, high_hz: float, time_s: float) -> Audio:
    pitch = log_uniform(rng, low_hz, high_hz)
    ratios = [
        1.0,
        uniform(rng, 1.4, 1.6),
        uniform(rng, 2.0, 2.3),
        uniform(rng, 2.7, 3.2),
        uniform(rng, 3.8, 4.5),
    ]
    gains = [1.0, *rng.uniform(0.2, 0.9, 4)]
    return ring(
        rate, [pitch * ratio for ratio in ratios], gains, [time_s / ratio**0.5 for ratio in ratios]
    )


def _tick(rng: Rng, rate: int) -> Audio:
    """Clockwork: one to three small clicks within milliseconds, and the many notes of the case."""
    count = int(rng.integers(3, 22))
    hz = np.exp(rng.uniform(np.log(150), np.log(7500), count))
    longest_s = log_uniform(rng, 0.003, 0.09)
    times_s = longest_s * rng.uniform(0.1, 1.0, count) * (hz / 150) ** -uniform(rng, 0.0, 0.4)
    case = ring(rate, hz.tolist(), rng.uniform(0.05, 1, count).tolist(), times_s.tolist())
    if rng.random() < 0.5:
        tail = [(100.0, uniform(rng, -12, 0)), (log_uniform(rng, 600, 6000), 0.0), (16000.0, -12.0)]
        hiss = burst(rng, rate, log_uniform(rng, 0.008, 0.07), tail)
        length = min(len(case), len(hiss))
        case[:length] += log_uniform(rng, 0.05, 0.6) * hiss[:length]
    click = burst(
        rng,
        rate,
        log_uniform(rng, 0.0005, 0.003),
        [(300.0, -16.0), (log_uniform(rng, 1500, 6000), 0.0), (15000.0, -4.0)],
    )
    out = np.zeros(int(0.03 * rate) + len(case) + len(click), np.float32)
    for part in range(int(rng.integers(1, 4))):
        late = int(part * log_uniform(rng, 0.002, 0.014) * rate)
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


def knock(rng: Rng, samples: int, rate: int) -> Audio:
    """Knuckles on a door, two to six in a group."""
    hz = [log_uniform(rng, 90, 260), log_uniform(rng, 280, 600), log_uniform(rng, 700, 1600)]
    times = [uniform(rng, 0.012, 0.05), uniform(rng, 0.008, 0.03), uniform(rng, 0.004, 0.015)]
    wood = ring(rate, hz, [1.0, uniform(rng, 0.3, 1.0), uniform(rng, 0.1, 0.6)], times)
    tap = burst(rng, rate, 0.002, [(200.0, -10.0), (1500.0, 0.0), (10000.0, -14.0)])
    wood[: len(tap)] += uniform(rng, 0.2, 0.8) * tap[: len(wood)]
    period_s, count = uniform(rng, 0.12, 0.32), int(rng.integers(2, 7))

    def group() -> Audio:
        starts = regular(int(count * period_s * rate), rate, period_s, 0.0) + rng.integers(
            0, max(1, int(0.02 * rate))
        )
        out = np.zeros(int((count * period_s + 0.1) * rate), np.float32)
        scatter(
            out, [wood], starts, rng.uniform(0.6, 1.0, len(starts)), np.zeros(len(starts), np.int64)
        )
        return out

    return repeat(
        rng, samples, rate, group, (0.5, 1.8), most=int(rng.integers(1, 5)), uneven_db=2.0
    )


def glass_shatter(rng: Rng, samples: int, rate: int) -> Audio:
    """A crash and the tinkling of the pieces."""

    def smash() -> Audio:
        length = int(uniform(rng, 0.6, 2.0) * rate)
        out = np.zeros(length, np.float32)
        crash = burst(
            rng,
            rate,
            uniform(rng, 0.03, 0.12),
            [(200.0, -16.0), (log_uniform(rng, 2500, 6000), 0.0), (16000.0, -3.0)],
        )
        out[: min(length, len(crash))] += crash[:length]
        shards = [
            small_bell(rng, rate, 1800, 6000, log_uniform(rng, 0.008, 0.06)) for _ in range(14)
        ]
        count = int(rng.integers(20, 120))
        starts = (rng.exponential(uniform(rng, 0.1, 0.35), count) * rate).astype(np.int64)
        gains = 0.5 * np.exp(-starts / rate * 1.5) * rng.uniform(0.2, 1.0, count)
        scatter(out, shards, starts, gains, rng.integers(len(shards), size=count))
        return out

    return repeat(
        rng, samples, rate, smash, (0.4, 2.0), most=int(rng.choice([1, 1, 2, 3])), lead_s=0.6
    )


def gunshot(rng: Rng, samples: int, rate: int) -> Audio:
    """Sharp cracks with a boom behind, singly or in bursts."""
    crack = [(50.0, -6.0), (log_uniform(rng, 300, 1800), 0.0), (6000.0, -8.0), (16000.0, -18.0)]
    time_s, echo_s = log_uniform(rng, 0.02, 0.09), uniform(rng, 0.1, 0.6)

    def shot() -> Audio:
        tail = burst(
            rng, rate, echo_s / 2, [(40.0, -3.0), (300.0, 0.0), (2500.0, -14.0), (9000.0, -34.0)]
        )
        head = burst(rng, rate, time_s, crack)
        out = uniform(rng, 0.08, 0.35) * tail
        out[: min(len(head), len(out))] += head[: len(out)]
        return out[: int((time_s * 4 + echo_s) * rate)]

    gap = (0.2, 1.6) if rng.random() < 0.6 else (0.0, 0.06)
    return repeat(
        rng, samples, rate, shot, gap, most=int(rng.integers(1, 9)), uneven_db=3.0, lead_s=0.6
    )


def fireworks(rng: Rng, samples: int, rate: int) -> Audio:
    """A whistle going up, a boom, and a shower of crackles."""

    def rocket() -> Audio:
        parts: list[Audio] = []
        if rng.random() < 0.6:
            length = int(uniform(rng, 0.4, 1.2) * rate)
            start = log_uniform(rng, 1200, 3500)
            f0 = ramp([start, start * uniform(rng, 0.5, 1.5)], length) * (
                0.98 + 0.04 * wander(rng, length, rate, 30.0)
            )
            table = wavetable(np.array([1.0, 0.2]), 1.0, rng)
            air = noise(rng, length, rate, [(400.0, -20.0), (start, 0.0), (12000.0, -12.0)])
            parts.append(
                (uniform(rng, 0.05, 0.3) * sweep(f0, table, rate) + 0.1 * air)
                * ramp([0.1, 1.0, 0.5], length)
            )
        length = int(uniform(rng, 0.8, 2.0) * rate)
        boom = (
            0.3
            * noise(
                rng, length, rate, [(30.0, 0.0), (120.0, 0.0), (1500.0, -22.0), (9000.0, -45.0)]
            )
            * decay(length, rate, uniform(rng, 0.08, 0.3))
        )
        if rng.random() < 0.8:
            snaps = [
                burst(
                    rng,
                    rate,
                    log_uniform(rng, 0.001, 0.006),
                    [(300.0, -12.0), (3500.0, 0.0), (16000.0, -4.0)],
                )
                for _ in range(5)
            ]
            crackle = np.zeros(length, np.float32)
            sprinkle(rng, crackle, snaps, int(uniform(rng, 15, 90) * length / rate), 0.6)
            boom = boom + uniform(rng, 0.05, 0.25) * crackle * hump(length, 0.25, 0.5)
        return np.concatenate([*parts, boom])

    return repeat(rng, samples, rate, rocket, (0.0, 0.8))
