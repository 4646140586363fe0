"""Bells, alarms and impacts: sounds made to be noticed, and things struck."""

import numpy as np

from curation.synth.dsp import (
    Audio,
    Rng,
    burst,
    decay,
    harmonics,
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


def siren(rng: Rng, samples: int, rate: int) -> Audio:
    """Wail, yelp or two tones in turn."""
    low = log_uniform(rng, 380, 800)
    high = low * uniform(rng, 1.5, 2.6)
    time = np.arange(samples, dtype=np.float32) / rate
    kind = rng.integers(3)
    if kind == 0:
        phase = (time / log_uniform(rng, 1.8, 7.0) + uniform(rng, 0, 1)) % 1
        rise = uniform(rng, 0.25, 0.6)
        shape = np.where(phase < rise, phase / rise, (1 - phase) / (1 - rise))
    elif kind == 1:
        shape = (time * uniform(rng, 2.0, 5.0)) % 1
        shape = 1 - np.abs(2 * shape - 1) if rng.random() < 0.5 else shape
    else:
        high = low * uniform(rng, 1.2, 1.45)
        shape = np.where((time / uniform(rng, 0.35, 0.8) + uniform(rng, 0, 2)) % 2 < 1, 0.0, 1.0)
    f0 = (low + (high - low) * shape).astype(np.float32)
    table = wavetable(harmonics(high, rate, uniform(rng, 0.7, 1.8)), 0.6, rng)
    nearness = ramp(rng.uniform(0.3, 1.0, 4), samples)
    return sweep(f0, table, rate) * nearness


def alarm_clock(rng: Rng, samples: int, rate: int) -> Audio:
    """Electronic beeps in groups."""
    pitch = log_uniform(rng, 800, 3600)
    beep_s, gap_s = log_uniform(rng, 0.04, 0.3), log_uniform(rng, 0.03, 0.25)
    count, rest_s = int(rng.integers(1, 6)), uniform(rng, 0.1, 0.9)
    table = wavetable(harmonics(pitch, rate, uniform(rng, 0.6, 2.5)), 0.5, rng)
    length = int(beep_s * rate)
    edge = np.minimum(1, np.minimum(np.arange(length), np.arange(length)[::-1]) / (0.002 * rate))
    beep = sweep(np.full(length, pitch, np.float32), table, rate) * edge.astype(np.float32)
    group_s = count * (beep_s + gap_s) + rest_s
    first = regular(samples, rate, group_s, rng.uniform(0, 0.5))
    starts = (first[:, None] + np.arange(count) * int((beep_s + gap_s) * rate)).ravel()
    out = np.zeros(samples, np.float32)
    scatter(out, [beep], starts, np.ones(len(starts)), np.zeros(len(starts), np.int64))
    return out


def church_bell(rng: Rng, samples: int, rate: int) -> Audio:
    """Large bells: hum, prime, minor third, fifth and nominal, beating slowly."""
    grains = []
    root = log_uniform(rng, 130, 520)
    for _ in range(int(rng.integers(1, 4))):
        prime = root * float(rng.choice([1.0, 1.125, 1.25, 1.333, 1.5]))
        ratios = np.array([0.5, 1.0, 1.19, 1.5, 2.0, 2.51, 2.66, 3.01, 4.17, 5.4]) * rng.uniform(
            0.995, 1.005, 10
        )
        hz = np.concatenate([ratios, ratios[:4] * uniform(rng, 1.001, 1.006)]) * prime
        times = uniform(rng, 0.5, 1.8) / np.concatenate([ratios, ratios[:4]]) ** uniform(
            rng, 0.5, 0.9
        )
        gains = np.concatenate([rng.uniform(0.2, 1.0, 10), rng.uniform(0.1, 0.5, 4)])
        bell = ring(rate, hz.tolist(), gains.tolist(), times.tolist())
        clang = burst(rng, rate, 0.01, [(300.0, -10.0), (2500.0, 0.0), (12000.0, -10.0)])
        bell[: len(clang)] += uniform(rng, 0.05, 0.4) * clang[: len(bell)]
        grains.append(bell)
    period_s = log_uniform(rng, 0.5, 2.5)
    starts = regular(samples, rate, period_s, rng.uniform(0, 0.3))
    starts = starts + rng.integers(0, max(1, int(0.05 * period_s * rate)), len(starts))
    out = np.zeros(samples, np.float32)
    scatter(
        out,
        grains,
        starts,
        rng.uniform(0.6, 1.0, len(starts)),
        rng.integers(len(grains), size=len(starts)),
    )
    return out


def _small_bell(rng: Rng, rate: int, low_hz: float, high_hz: float, time_s: float) -> Audio:
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


def bicycle_bell(rng: Rng, samples: int, rate: int) -> Audio:
    """A thumbed bell: a quick run of strokes on a small cup, then its ringing on."""
    bell = _small_bell(rng, rate, 1700, 4200, uniform(rng, 0.08, 0.4))
    stroke_hz, strokes = uniform(rng, 9, 26), int(rng.integers(2, 10))

    def trill() -> Audio:
        spread = regular(int(strokes / stroke_hz * rate) + 1, rate, 1 / stroke_hz, 0.0)
        out = np.zeros(int(spread[-1]) + len(bell), np.float32)
        scatter(
            out, [bell], spread, rng.uniform(0.4, 1.0, len(spread)), np.zeros(len(spread), np.int64)
        )
        return out[: int((strokes / stroke_hz + 0.8) * rate)]

    return repeat(rng, samples, rate, trill, (0.0, 1.0), most=int(rng.integers(1, 6)))


def doorbell(rng: Rng, samples: int, rate: int) -> Audio:
    """Ding-dong."""
    high = log_uniform(rng, 480, 1100)
    ratios = [1.0, float(rng.choice([0.8, 0.75, 0.84, 0.667]))]
    partials = [1.0, 2.0, uniform(rng, 2.7, 3.0), uniform(rng, 4.0, 5.4)]
    time_s = uniform(rng, 0.25, 0.8)
    gains = [1.0, *rng.uniform(0.03, 0.5, 3)]
    notes = [
        ring(rate, [high * r * p for p in partials], gains, [time_s / p**0.7 for p in partials])
        for r in ratios
    ]
    between = int(uniform(rng, 0.3, 0.8) * rate)

    def chime() -> Audio:
        out = np.zeros(between + int(time_s * 3 * rate), np.float32)
        for place, note in enumerate(notes):
            part = note[: len(out) - place * between]
            out[place * between : place * between + len(part)] += part
        return out

    return repeat(
        rng, samples, rate, chime, (0.2, 1.5), most=int(rng.integers(1, 5)), uneven_db=1.0
    )


def telephone_ring(rng: Rng, samples: int, rate: int) -> Audio:
    """Rings of a second or two, then a pause: a hammer between two bells, or a warble."""
    on_s, off_s = uniform(rng, 0.7, 2.0), uniform(rng, 0.4, 2.0)
    length = int(on_s * rate)
    if rng.random() < 0.6:
        bells = [_small_bell(rng, rate, 900, 2200, uniform(rng, 0.06, 0.25)) for _ in range(2)]
        strikes = regular(length, rate, 1 / uniform(rng, 17, 28), 0.0)
        call = np.zeros(length + int(0.4 * rate), np.float32)
        scatter(
            call, bells, strikes, rng.uniform(0.8, 1.0, len(strikes)), np.arange(len(strikes)) % 2
        )
    else:
        low = log_uniform(rng, 600, 1700)
        time = np.arange(length) / rate
        turn = (time * uniform(rng, 8, 25)) % 1 < 0.5
        f0 = np.where(turn, low, low * uniform(rng, 1.15, 1.5)).astype(np.float32)
        table = wavetable(harmonics(low, rate, uniform(rng, 0.8, 2.0)), 0.5, rng)
        call = sweep(f0, table, rate) * hump(length, 0.01, 0.02)
    return repeat(rng, samples, rate, lambda: call, (off_s, off_s * 1.02), uneven_db=0.5)


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
            _small_bell(rng, rate, 1800, 6000, log_uniform(rng, 0.008, 0.06)) for _ in range(14)
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
