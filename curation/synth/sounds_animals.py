"""Sounds of animals: voices with formants, insects' wings and birds' whistles."""

import numpy as np

from curation.synth.dsp import (
    Audio,
    Rng,
    add_grains,
    attack_release_envelope,
    build_wavetable,
    draw_log_uniform,
    draw_uniform,
    exponential_decay,
    harmonic_amplitudes,
    linear_ramp,
    noise_burst,
    play_wavetable,
    random_walk,
    regular_starts,
    repeat_events,
    shaped_noise,
    white_noise,
)
from curation.synth.voice import vocal_breath, vocal_tone


def dog_bark(rng: Rng, samples: int, rate: int) -> Audio:
    """Short harsh barks of one dog; the pitch of each bark jumps up and then falls."""
    pitch = draw_log_uniform(rng, 170, 900)
    first, second = draw_log_uniform(rng, 380, 1100), draw_log_uniform(rng, 1000, 2400)
    length_s, harsh, tilt = (
        draw_log_uniform(rng, 0.09, 0.3),
        draw_uniform(rng, 0.1, 0.9),
        draw_uniform(rng, 0.4, 1.2),
    )

    def bark() -> Audio:
        length = int(length_s * draw_uniform(rng, 0.8, 1.25) * rate)
        peak = pitch * draw_uniform(rng, 0.9, 1.15)
        f0 = linear_ramp(
            [0.65 * peak, peak, 0.95 * peak, draw_uniform(rng, 0.5, 0.75) * peak], length
        )
        formants = [
            (first, first * 0.3, 1.0),
            (second, second * 0.25, draw_uniform(rng, 0.1, 0.6)),
            (3400.0, 700.0, 0.08),
        ]
        out = vocal_tone(rng, f0, rate, tilt, formants, jitter=0.02 + 0.05 * harsh)
        out += harsh * vocal_breath(rng, length, rate, formants)
        return out * attack_release_envelope(
            length, draw_uniform(rng, 0.05, 0.2), draw_uniform(rng, 0.4, 0.8)
        )

    gap = (0.1, 0.4) if rng.random() < 0.5 else (0.3, 1.3)
    return repeat_events(
        rng, samples, rate, bark, gap, most=int(rng.integers(1, 12)), uneven_db=4.0
    )


def cat_meow(rng: Rng, samples: int, rate: int) -> Audio:
    """A meow whose pitch rises and falls while the mouth opens and closes."""
    pitch = draw_log_uniform(rng, 350, 900)

    def meow() -> Audio:
        length = int(draw_uniform(rng, 0.35, 1.3) * rate)
        f0 = pitch * linear_ramp(
            [
                draw_uniform(rng, 0.7, 0.95),
                1.0,
                draw_uniform(rng, 1.0, 1.25),
                1.0,
                draw_uniform(rng, 0.65, 0.9),
            ],
            length,
        )
        shut = [(700.0, 200.0, 1.0), (2600.0, 400.0, 0.5)]
        open_ = [(1200.0, 300.0, 1.0), (2000.0, 500.0, 0.8), (3800.0, 700.0, 0.2)]
        wide = attack_release_envelope(length, 0.4, 0.5)
        tilt = draw_uniform(rng, 0.5, 1.1)
        out = (
            vocal_tone(rng, f0, rate, tilt, shut) * (1 - wide) * 0.6
            + vocal_tone(rng, f0, rate, tilt, open_) * wide
        )
        return (out + 0.05 * vocal_breath(rng, length, rate, open_)) * attack_release_envelope(
            length, 0.15, 0.35
        )

    return repeat_events(rng, samples, rate, meow, (0.3, 1.8), most=int(rng.integers(1, 6)))


def rooster(rng: Rng, samples: int, rate: int) -> Audio:
    """Cock-a-doodle-doo: two to four short syllables, and a long one that is held and falls."""
    pitch = draw_log_uniform(rng, 420, 950)
    peak = draw_log_uniform(rng, 950, 2100)
    formants = [
        (peak, draw_uniform(rng, 200, 500), 1.0),
        (draw_log_uniform(rng, 2400, 4500), 600.0, draw_uniform(rng, 0.05, 0.4)),
    ]
    tilt, hoarse = draw_uniform(rng, 0.0, 0.7), draw_uniform(rng, 0.0, 0.25)

    def syllable(length_s: float, curve: list[float], fade: float) -> Audio:
        length = int(length_s * rate)
        f0 = pitch * linear_ramp(curve, length)
        out = vocal_tone(rng, f0, rate, tilt, formants, jitter=0.005)
        if rng.random() < 0.3:
            rough = vocal_tone(rng, f0 / 2, rate, 0.2, formants, jitter=0.02) * linear_ramp(
                rng.uniform(0, 0.8, 4), length
            )
            out = out + rough
        return (out + hoarse * vocal_breath(rng, length, rate, formants)) * attack_release_envelope(
            length, 0.06, fade
        )

    def crow() -> Audio:
        parts: list[Audio] = []
        for _ in range(int(rng.integers(1, 4))):
            start = draw_uniform(rng, 0.65, 1.0)
            parts.append(
                syllable(
                    draw_uniform(rng, 0.1, 0.35),
                    [start, start * draw_uniform(rng, 0.95, 1.35), start * 1.05],
                    0.15,
                )
                * draw_uniform(rng, 0.4, 1)
            )
            parts.append(np.zeros(int(draw_uniform(rng, 0.0, 0.12) * rate), np.float32))
        top = draw_uniform(rng, 0.95, 1.2)
        held = [
            top * 0.85,
            top,
            top,
            top * draw_uniform(rng, 0.92, 1.0),
            top * draw_uniform(rng, 0.85, 0.98),
            top * draw_uniform(rng, 0.55, 0.98),
        ]
        parts.append(syllable(draw_uniform(rng, 0.6, 1.9), held, draw_uniform(rng, 0.08, 0.5)))
        return np.concatenate(parts)

    return repeat_events(
        rng, samples, rate, crow, (0.8, 3.0), most=int(rng.choice([1, 1, 1, 2, 3]))
    )


def crow_caw(rng: Rng, samples: int, rate: int) -> Audio:
    """A series of hoarse caws."""
    pitch = draw_log_uniform(rng, 280, 600)
    formants = [
        (draw_log_uniform(rng, 900, 1500), 250.0, 1.0),
        (draw_log_uniform(rng, 1700, 2800), 350.0, 0.7),
        (4200.0, 800.0, 0.15),
    ]
    length_s, rasp = draw_uniform(rng, 0.18, 0.5), draw_uniform(rng, 0.35, 1.2)

    def caw() -> Audio:
        length = int(length_s * draw_uniform(rng, 0.85, 1.2) * rate)
        f0 = pitch * linear_ramp([0.85, 1.05, 1.0, 0.8], length)
        out = vocal_tone(rng, f0, rate, 0.2, formants, jitter=0.08) + rasp * vocal_breath(
            rng, length, rate, formants
        )
        return (
            out
            * (0.6 + 0.6 * random_walk(rng, length, rate, 70.0))
            * attack_release_envelope(length, 0.12, 0.35)
        )

    return repeat_events(rng, samples, rate, caw, (0.15, 0.7), most=int(rng.integers(2, 10)))


def bird_chirp(rng: Rng, samples: int, rate: int) -> Audio:
    """Quick whistled glides, in songs that repeat a syllable."""
    centre = draw_log_uniform(rng, 2200, 5500)
    tables = [build_wavetable(np.array([1.0, draw_uniform(rng, 0, 0.15)]), 1.0, rng)]
    top = 0.45 * rate

    def song() -> Audio:
        shape = centre * 2 ** rng.uniform(-0.5, 0.5, int(rng.integers(2, 5)))
        length_s, gap_s = draw_log_uniform(rng, 0.03, 0.22), draw_uniform(rng, 0.015, 0.15)
        trill = draw_uniform(rng, 15, 60) if rng.random() < 0.25 else 0.0
        parts: list[Audio] = []
        for _ in range(int(rng.integers(1, 9))):
            length = int(length_s * draw_uniform(rng, 0.85, 1.2) * rate)
            f0 = linear_ramp(shape * draw_uniform(rng, 0.96, 1.04), length)
            if trill:
                f0 = f0 * (1 + 0.08 * np.sin(2 * np.pi * trill * np.arange(length) / rate)).astype(
                    np.float32
                )
            parts.append(
                play_wavetable(np.minimum(f0, top), tables[0], rate)
                * attack_release_envelope(length, 0.25, 0.35)
            )
            parts.append(np.zeros(int(gap_s * rate), np.float32))
        return np.concatenate(parts)

    return repeat_events(rng, samples, rate, song, (0.1, 1.2), uneven_db=5.0)


def cow_moo(rng: Rng, samples: int, rate: int) -> Audio:
    """A long low call that begins as a hum."""
    pitch = draw_log_uniform(rng, 75, 190)

    def moo() -> Audio:
        length = int(draw_uniform(rng, 0.9, 2.6) * rate)
        f0 = pitch * linear_ramp([0.8, 1.0, draw_uniform(rng, 1.0, 1.3), 1.1, 0.8], length)
        hum = [(250.0, 100.0, 1.0), (900.0, 200.0, 0.15)]
        full = [(500.0, 150.0, 1.0), (950.0, 200.0, 0.7), (2400.0, 500.0, 0.15)]
        wide = linear_ramp([0.0, 0.4, 1.0, 0.9, 0.5], length)
        tilt = draw_uniform(rng, 0.4, 0.9)
        out = (
            vocal_tone(rng, f0, rate, tilt, hum, 0.02) * (1 - wide)
            + vocal_tone(rng, f0, rate, tilt, full, 0.02) * wide
        )
        return (
            out + draw_uniform(rng, 0.03, 0.2) * vocal_breath(rng, length, rate, full)
        ) * attack_release_envelope(length, 0.15, 0.3)

    return repeat_events(rng, samples, rate, moo, (0.3, 1.5), most=int(rng.integers(1, 4)))


def sheep_bleat(rng: Rng, samples: int, rate: int) -> Audio:
    """A nasal voice that trembles six to eleven times per second."""
    pitch = draw_log_uniform(rng, 140, 420)
    formants = [
        (draw_log_uniform(rng, 600, 1000), 200.0, 1.0),
        (draw_log_uniform(rng, 1500, 2400), 350.0, 0.8),
        (3500.0, 600.0, 0.3),
    ]

    def bleat() -> Audio:
        length = int(draw_uniform(rng, 0.5, 1.5) * rate)
        shake_hz = draw_uniform(rng, 6, 11)
        turns = np.linspace(0, shake_hz * length / rate, length)
        shake = np.sin(2 * np.pi * turns).astype(np.float32)
        f0 = (
            pitch
            * linear_ramp([0.95, 1.05, 1.0, 0.85], length)
            * (1 + draw_uniform(rng, 0.02, 0.07) * shake)
        )
        out = vocal_tone(rng, f0, rate, 0.4, formants, 0.02) + 0.15 * vocal_breath(
            rng, length, rate, formants
        )
        return (
            out
            * (1 - draw_uniform(rng, 0.2, 0.45) * (1 + shake))
            * attack_release_envelope(length, 0.08, 0.25)
        )

    return repeat_events(rng, samples, rate, bleat, (0.3, 1.6), most=int(rng.integers(1, 6)))


def frog_croak(rng: Rng, samples: int, rate: int) -> Audio:
    """Croaks: bursts of pulses that ring at the resonance of the throat."""
    hz, time_s = draw_log_uniform(rng, 450, 2600), draw_uniform(rng, 0.003, 0.012)
    grain_length = int(time_s * 5 * rate)
    tone = np.sin(2 * np.pi * hz * np.arange(grain_length) / rate).astype(np.float32)
    grain = tone * exponential_decay(grain_length, rate, time_s)
    pulse_hz, length_s = draw_log_uniform(rng, 22, 90), draw_uniform(rng, 0.15, 0.7)

    def croak() -> Audio:
        out = np.zeros(int(length_s * draw_uniform(rng, 0.8, 1.2) * rate), np.float32)
        starts = regular_starts(len(out), rate, 1 / (pulse_hz * draw_uniform(rng, 0.95, 1.05)), 0.0)
        gains = rng.uniform(0.7, 1.0, len(starts)) * np.linspace(0.5, 1.0, len(starts))
        add_grains(out, [grain], starts, gains, np.zeros(len(starts), np.int64))
        return out

    return repeat_events(rng, samples, rate, croak, (0.1, 0.9))


def cricket(rng: Rng, samples: int, rate: int) -> Audio:
    """High thin pulses, in chirps of a few pulses or in one endless trill."""
    hz = draw_log_uniform(rng, 2600, 6200)
    pulse_hz = draw_log_uniform(rng, 18, 60)
    pulse = int(draw_uniform(rng, 0.4, 0.8) / pulse_hz * rate)
    tone = np.sin(2 * np.pi * hz * np.arange(pulse) / rate).astype(np.float32)
    grain = tone * attack_release_envelope(pulse, 0.3, 0.5)
    starts = regular_starts(samples, rate, 1 / pulse_hz, 0.0)
    if rng.random() < 0.75:
        count, rest = int(rng.integers(2, 7)), int(rng.integers(3, 20))
        starts = starts[np.arange(len(starts)) % (count + rest) < count]
    out = np.zeros(samples, np.float32)
    add_grains(
        out, [grain], starts, rng.uniform(0.8, 1.0, len(starts)), np.zeros(len(starts), np.int64)
    )
    if rng.random() < 0.5:
        late = int(rng.uniform(0.05, 0.9) * rate)
        out += draw_uniform(rng, 0.1, 0.5) * np.roll(out, late)
    return out


def bee_buzz(rng: Rng, samples: int, rate: int) -> Audio:
    """Wings that beat one or two hundred times per second, coming nearer and moving away."""
    pitch = draw_log_uniform(rng, 110, 290)
    f0 = pitch * (0.88 + 0.24 * random_walk(rng, samples, rate, draw_uniform(rng, 0.8, 4.0)))
    f0 *= 1 + 0.01 * white_noise(rng, samples)
    formants = [
        (draw_log_uniform(rng, 250, 600), 250.0, 1.0),
        (draw_log_uniform(rng, 900, 2500), 600.0, 0.4),
    ]
    table = build_wavetable(
        harmonic_amplitudes(pitch, rate, draw_uniform(rng, 0.3, 0.8), formants), 0.4, rng
    )
    near = 0.1 + random_walk(rng, samples, rate, draw_uniform(rng, 0.4, 1.5)) ** 2
    return play_wavetable(f0, table, rate) * near


def owl_hoot(rng: Rng, samples: int, rate: int) -> Audio:
    """Soft, nearly pure hoots in a rhythm of short and long ones."""
    pitch = draw_log_uniform(rng, 260, 620)
    table = build_wavetable(
        np.array([1.0, draw_uniform(rng, 0.02, 0.25), draw_uniform(rng, 0, 0.08)]), 1.0, rng
    )

    def phrase() -> Audio:
        parts: list[Audio] = []
        for _ in range(int(rng.integers(1, 5))):
            length = int(draw_uniform(rng, 0.15, 0.7) * rate)
            f0 = pitch * linear_ramp([0.92, 1.0, 1.0, 0.93], length)
            tone = play_wavetable(f0, table, rate) + 0.04 * shaped_noise(
                rng, length, rate, [(100.0, -20.0), (500.0, 0.0), (3000.0, -20.0)]
            )
            parts += [
                tone * attack_release_envelope(length, 0.25, 0.4),
                np.zeros(int(draw_uniform(rng, 0.08, 0.4) * rate), np.float32),
            ]
        return np.concatenate(parts)

    return repeat_events(rng, samples, rate, phrase, (0.5, 2.0), most=4)


def duck_quack(rng: Rng, samples: int, rate: int) -> Audio:
    """A series of nasal quacks that fall in pitch."""
    pitch = draw_log_uniform(rng, 130, 330)
    formants = [
        (draw_log_uniform(rng, 900, 1400), 200.0, 1.0),
        (draw_log_uniform(rng, 1900, 2900), 300.0, 0.9),
        (3900.0, 500.0, 0.4),
    ]
    length_s = draw_uniform(rng, 0.08, 0.22)

    def quack() -> Audio:
        length = int(length_s * draw_uniform(rng, 0.85, 1.2) * rate)
        f0 = pitch * linear_ramp([1.05, 1.0, 0.85], length)
        out = vocal_tone(rng, f0, rate, 0.1, formants, 0.03) + 0.2 * vocal_breath(
            rng, length, rate, formants
        )
        out[: length // 8] += (
            0.4
            * noise_burst(rng, rate, 0.01, [(300.0, -10.0), (2000.0, 0.0), (9000.0, -10.0)])[
                : length // 8
            ]
        )
        return out * attack_release_envelope(length, 0.1, 0.5)

    return repeat_events(rng, samples, rate, quack, (0.06, 0.4), most=int(rng.integers(2, 14)))
