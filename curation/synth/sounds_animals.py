"""Animals: voices with formants, insects' wings and birds' whistles."""

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
    scatter,
    sweep,
    uniform,
    wander,
    wavetable,
    white,
)
from curation.synth.voice import breath, call


def dog_bark(rng: Rng, samples: int, rate: int) -> Audio:
    """Short harsh barks whose pitch jumps up and falls; one dog, so alike."""
    pitch = log_uniform(rng, 170, 900)
    first, second = log_uniform(rng, 380, 1100), log_uniform(rng, 1000, 2400)
    length_s, harsh, tilt = (
        log_uniform(rng, 0.09, 0.3),
        uniform(rng, 0.1, 0.9),
        uniform(rng, 0.4, 1.2),
    )

    def bark() -> Audio:
        length = int(length_s * uniform(rng, 0.8, 1.25) * rate)
        peak = pitch * uniform(rng, 0.9, 1.15)
        f0 = ramp([0.65 * peak, peak, 0.95 * peak, uniform(rng, 0.5, 0.75) * peak], length)
        formants = [
            (first, first * 0.3, 1.0),
            (second, second * 0.25, uniform(rng, 0.1, 0.6)),
            (3400.0, 700.0, 0.08),
        ]
        out = call(rng, f0, rate, tilt, formants, jitter=0.02 + 0.05 * harsh)
        out += harsh * breath(rng, length, rate, formants)
        return out * hump(length, uniform(rng, 0.05, 0.2), uniform(rng, 0.4, 0.8))

    gap = (0.1, 0.4) if rng.random() < 0.5 else (0.3, 1.3)
    return repeat(rng, samples, rate, bark, gap, most=int(rng.integers(1, 12)), uneven_db=4.0)


def cat_meow(rng: Rng, samples: int, rate: int) -> Audio:
    """A pitch that rises and falls while the mouth opens and closes."""
    pitch = log_uniform(rng, 350, 900)

    def meow() -> Audio:
        length = int(uniform(rng, 0.35, 1.3) * rate)
        f0 = pitch * ramp(
            [uniform(rng, 0.7, 0.95), 1.0, uniform(rng, 1.0, 1.25), 1.0, uniform(rng, 0.65, 0.9)],
            length,
        )
        shut = [(700.0, 200.0, 1.0), (2600.0, 400.0, 0.5)]
        open_ = [(1200.0, 300.0, 1.0), (2000.0, 500.0, 0.8), (3800.0, 700.0, 0.2)]
        wide = hump(length, 0.4, 0.5)
        tilt = uniform(rng, 0.5, 1.1)
        out = (
            call(rng, f0, rate, tilt, shut) * (1 - wide) * 0.6
            + call(rng, f0, rate, tilt, open_) * wide
        )
        return (out + 0.05 * breath(rng, length, rate, open_)) * hump(length, 0.15, 0.35)

    return repeat(rng, samples, rate, meow, (0.3, 1.8), most=int(rng.integers(1, 6)))


def rooster(rng: Rng, samples: int, rate: int) -> Audio:
    """Cock-a-doodle-doo: two to four short syllables and a long one that is held and falls."""
    pitch = log_uniform(rng, 420, 950)
    peak = log_uniform(rng, 950, 2100)
    formants = [
        (peak, uniform(rng, 200, 500), 1.0),
        (log_uniform(rng, 2400, 4500), 600.0, uniform(rng, 0.05, 0.4)),
    ]
    tilt, hoarse = uniform(rng, 0.0, 0.7), uniform(rng, 0.0, 0.25)

    def syllable(length_s: float, curve: list[float], fade: float) -> Audio:
        length = int(length_s * rate)
        f0 = pitch * ramp(curve, length)
        out = call(rng, f0, rate, tilt, formants, jitter=0.005)
        if rng.random() < 0.3:
            rough = call(rng, f0 / 2, rate, 0.2, formants, jitter=0.02) * ramp(
                rng.uniform(0, 0.8, 4), length
            )
            out = out + rough
        return (out + hoarse * breath(rng, length, rate, formants)) * hump(length, 0.06, fade)

    def crow() -> Audio:
        parts: list[Audio] = []
        for _ in range(int(rng.integers(1, 4))):
            start = uniform(rng, 0.65, 1.0)
            parts.append(
                syllable(
                    uniform(rng, 0.1, 0.35),
                    [start, start * uniform(rng, 0.95, 1.35), start * 1.05],
                    0.15,
                )
                * uniform(rng, 0.4, 1)
            )
            parts.append(np.zeros(int(uniform(rng, 0.0, 0.12) * rate), np.float32))
        top = uniform(rng, 0.95, 1.2)
        held = [
            top * 0.85,
            top,
            top,
            top * uniform(rng, 0.92, 1.0),
            top * uniform(rng, 0.85, 0.98),
            top * uniform(rng, 0.55, 0.98),
        ]
        parts.append(syllable(uniform(rng, 0.6, 1.9), held, uniform(rng, 0.08, 0.5)))
        return np.concatenate(parts)

    return repeat(rng, samples, rate, crow, (0.8, 3.0), most=int(rng.choice([1, 1, 1, 2, 3])))


def crow_caw(rng: Rng, samples: int, rate: int) -> Audio:
    """Hoarse caws in a row."""
    pitch = log_uniform(rng, 280, 600)
    formants = [
        (log_uniform(rng, 900, 1500), 250.0, 1.0),
        (log_uniform(rng, 1700, 2800), 350.0, 0.7),
        (4200.0, 800.0, 0.15),
    ]
    length_s, rasp = uniform(rng, 0.18, 0.5), uniform(rng, 0.35, 1.2)

    def caw() -> Audio:
        length = int(length_s * uniform(rng, 0.85, 1.2) * rate)
        f0 = pitch * ramp([0.85, 1.05, 1.0, 0.8], length)
        out = call(rng, f0, rate, 0.2, formants, jitter=0.08) + rasp * breath(
            rng, length, rate, formants
        )
        return out * (0.6 + 0.6 * wander(rng, length, rate, 70.0)) * hump(length, 0.12, 0.35)

    return repeat(rng, samples, rate, caw, (0.15, 0.7), most=int(rng.integers(2, 10)))


def bird_chirp(rng: Rng, samples: int, rate: int) -> Audio:
    """Quick whistled glides, in songs of repeated syllables."""
    centre = log_uniform(rng, 2200, 5500)
    tables = [wavetable(np.array([1.0, uniform(rng, 0, 0.15)]), 1.0, rng)]
    top = 0.45 * rate

    def song() -> Audio:
        shape = centre * 2 ** rng.uniform(-0.5, 0.5, int(rng.integers(2, 5)))
        length_s, gap_s = log_uniform(rng, 0.03, 0.22), uniform(rng, 0.015, 0.15)
        trill = uniform(rng, 15, 60) if rng.random() < 0.25 else 0.0
        parts: list[Audio] = []
        for _ in range(int(rng.integers(1, 9))):
            length = int(length_s * uniform(rng, 0.85, 1.2) * rate)
            f0 = ramp(shape * uniform(rng, 0.96, 1.04), length)
            if trill:
                f0 = f0 * (1 + 0.08 * np.sin(2 * np.pi * trill * np.arange(length) / rate)).astype(
                    np.float32
                )
            parts.append(sweep(np.minimum(f0, top), tables[0], rate) * hump(length, 0.25, 0.35))
            parts.append(np.zeros(int(gap_s * rate), np.float32))
        return np.concatenate(parts)

    return repeat(rng, samples, rate, song, (0.1, 1.2), uneven_db=5.0)


def cow_moo(rng: Rng, samples: int, rate: int) -> Audio:
    """A long low call that opens from a hum."""
    pitch = log_uniform(rng, 75, 190)

    def moo() -> Audio:
        length = int(uniform(rng, 0.9, 2.6) * rate)
        f0 = pitch * ramp([0.8, 1.0, uniform(rng, 1.0, 1.3), 1.1, 0.8], length)
        hum = [(250.0, 100.0, 1.0), (900.0, 200.0, 0.15)]
        full = [(500.0, 150.0, 1.0), (950.0, 200.0, 0.7), (2400.0, 500.0, 0.15)]
        wide = ramp([0.0, 0.4, 1.0, 0.9, 0.5], length)
        tilt = uniform(rng, 0.4, 0.9)
        out = (
            call(rng, f0, rate, tilt, hum, 0.02) * (1 - wide)
            + call(rng, f0, rate, tilt, full, 0.02) * wide
        )
        return (out + uniform(rng, 0.03, 0.2) * breath(rng, length, rate, full)) * hump(
            length, 0.15, 0.3
        )

    return repeat(rng, samples, rate, moo, (0.3, 1.5), most=int(rng.integers(1, 4)))


def sheep_bleat(rng: Rng, samples: int, rate: int) -> Audio:
    """A nasal voice that trembles six to eleven times a second."""
    pitch = log_uniform(rng, 140, 420)
    formants = [
        (log_uniform(rng, 600, 1000), 200.0, 1.0),
        (log_uniform(rng, 1500, 2400), 350.0, 0.8),
        (3500.0, 600.0, 0.3),
    ]

    def bleat() -> Audio:
        length = int(uniform(rng, 0.5, 1.5) * rate)
        shake_hz = uniform(rng, 6, 11)
        turns = np.linspace(0, shake_hz * length / rate, length)
        shake = np.sin(2 * np.pi * turns).astype(np.float32)
        f0 = pitch * ramp([0.95, 1.05, 1.0, 0.85], length) * (1 + uniform(rng, 0.02, 0.07) * shake)
        out = call(rng, f0, rate, 0.4, formants, 0.02) + 0.15 * breath(rng, length, rate, formants)
        return out * (1 - uniform(rng, 0.2, 0.45) * (1 + shake)) * hump(length, 0.08, 0.25)

    return repeat(rng, samples, rate, bleat, (0.3, 1.6), most=int(rng.integers(1, 6)))


def frog_croak(rng: Rng, samples: int, rate: int) -> Audio:
    """Croaks: bursts of pulses, each ringing at the throat's pitch."""
    hz, time_s = log_uniform(rng, 450, 2600), uniform(rng, 0.003, 0.012)
    grain_length = int(time_s * 5 * rate)
    tone = np.sin(2 * np.pi * hz * np.arange(grain_length) / rate).astype(np.float32)
    grain = tone * decay(grain_length, rate, time_s)
    pulse_hz, length_s = log_uniform(rng, 22, 90), uniform(rng, 0.15, 0.7)

    def croak() -> Audio:
        out = np.zeros(int(length_s * uniform(rng, 0.8, 1.2) * rate), np.float32)
        starts = regular(len(out), rate, 1 / (pulse_hz * uniform(rng, 0.95, 1.05)), 0.0)
        gains = rng.uniform(0.7, 1.0, len(starts)) * np.linspace(0.5, 1.0, len(starts))
        scatter(out, [grain], starts, gains, np.zeros(len(starts), np.int64))
        return out

    return repeat(rng, samples, rate, croak, (0.1, 0.9))


def cricket(rng: Rng, samples: int, rate: int) -> Audio:
    """High thin pulses, in chirps of a few or in one endless trill."""
    hz = log_uniform(rng, 2600, 6200)
    pulse_hz = log_uniform(rng, 18, 60)
    pulse = int(uniform(rng, 0.4, 0.8) / pulse_hz * rate)
    tone = np.sin(2 * np.pi * hz * np.arange(pulse) / rate).astype(np.float32)
    grain = tone * hump(pulse, 0.3, 0.5)
    starts = regular(samples, rate, 1 / pulse_hz, 0.0)
    if rng.random() < 0.75:
        count, rest = int(rng.integers(2, 7)), int(rng.integers(3, 20))
        starts = starts[np.arange(len(starts)) % (count + rest) < count]
    out = np.zeros(samples, np.float32)
    scatter(
        out, [grain], starts, rng.uniform(0.8, 1.0, len(starts)), np.zeros(len(starts), np.int64)
    )
    if rng.random() < 0.5:
        late = int(rng.uniform(0.05, 0.9) * rate)
        out += uniform(rng, 0.1, 0.5) * np.roll(out, late)
    return out


def bee_buzz(rng: Rng, samples: int, rate: int) -> Audio:
    """Wings at one or two hundred beats a second, coming nearer and going off."""
    pitch = log_uniform(rng, 110, 290)
    f0 = pitch * (0.88 + 0.24 * wander(rng, samples, rate, uniform(rng, 0.8, 4.0)))
    f0 *= 1 + 0.01 * white(rng, samples)
    formants = [(log_uniform(rng, 250, 600), 250.0, 1.0), (log_uniform(rng, 900, 2500), 600.0, 0.4)]
    table = wavetable(harmonics(pitch, rate, uniform(rng, 0.3, 0.8), formants), 0.4, rng)
    near = 0.1 + wander(rng, samples, rate, uniform(rng, 0.4, 1.5)) ** 2
    return sweep(f0, table, rate) * near


def owl_hoot(rng: Rng, samples: int, rate: int) -> Audio:
    """Soft hoots, nearly pure, in a rhythm of short and long."""
    pitch = log_uniform(rng, 260, 620)
    table = wavetable(np.array([1.0, uniform(rng, 0.02, 0.25), uniform(rng, 0, 0.08)]), 1.0, rng)

    def phrase() -> Audio:
        parts: list[Audio] = []
        for _ in range(int(rng.integers(1, 5))):
            length = int(uniform(rng, 0.15, 0.7) * rate)
            f0 = pitch * ramp([0.92, 1.0, 1.0, 0.93], length)
            tone = sweep(f0, table, rate) + 0.04 * noise(
                rng, length, rate, [(100.0, -20.0), (500.0, 0.0), (3000.0, -20.0)]
            )
            parts += [
                tone * hump(length, 0.25, 0.4),
                np.zeros(int(uniform(rng, 0.08, 0.4) * rate), np.float32),
            ]
        return np.concatenate(parts)

    return repeat(rng, samples, rate, phrase, (0.5, 2.0), most=4)


def duck_quack(rng: Rng, samples: int, rate: int) -> Audio:
    """Nasal quacks in a falling row."""
    pitch = log_uniform(rng, 130, 330)
    formants = [
        (log_uniform(rng, 900, 1400), 200.0, 1.0),
        (log_uniform(rng, 1900, 2900), 300.0, 0.9),
        (3900.0, 500.0, 0.4),
    ]
    length_s = uniform(rng, 0.08, 0.22)

    def quack() -> Audio:
        length = int(length_s * uniform(rng, 0.85, 1.2) * rate)
        f0 = pitch * ramp([1.05, 1.0, 0.85], length)
        out = call(rng, f0, rate, 0.1, formants, 0.03) + 0.2 * breath(rng, length, rate, formants)
        out[: length // 8] += (
            0.4
            * burst(rng, rate, 0.01, [(300.0, -10.0), (2000.0, 0.0), (9000.0, -10.0)])[
                : length // 8
            ]
        )
        return out * hump(length, 0.1, 0.5)

    return repeat(rng, samples, rate, quack, (0.06, 0.4), most=int(rng.integers(2, 14)))
