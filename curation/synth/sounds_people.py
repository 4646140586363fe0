"""Sounds of people: voices without words, hands, feet and lips."""

import numpy as np

from curation.synth.dsp import (
    Audio,
    Rng,
    add_random_grains,
    attack_release_envelope,
    build_wavetable,
    damped_sines,
    draw_log_uniform,
    draw_uniform,
    linear_ramp,
    noise_burst,
    play_wavetable,
    random_clicks,
    random_walk,
    repeat_events,
    shaped_noise,
    to_unit_rms,
)
from curation.synth.voice import vocal_breath, vocal_tone


def baby_cry(rng: Rng, samples: int, rate: int) -> Audio:
    """Wails whose pitch rises and falls, with noisy or octave breaks, and gasps between them."""
    pitch = draw_log_uniform(rng, 280, 620)
    tilt = draw_uniform(rng, 0.0, 0.7)
    formants = [
        (draw_log_uniform(rng, 900, 1500), draw_uniform(rng, 250, 500), 1.0),
        (
            draw_log_uniform(rng, 1900, 3800),
            draw_uniform(rng, 350, 800),
            draw_uniform(rng, 0.4, 1.6),
        ),
        (draw_log_uniform(rng, 4500, 7000), 900.0, draw_uniform(rng, 0.1, 0.6)),
    ]
    length_s = draw_log_uniform(rng, 0.35, 1.6)

    def wail() -> Audio:
        length = int(length_s * draw_uniform(rng, 0.6, 1.5) * rate)
        arch = [
            draw_uniform(rng, 0.7, 0.9),
            draw_uniform(rng, 0.92, 1.05),
            1.0,
            draw_uniform(rng, 0.95, 1.12),
            draw_uniform(rng, 0.88, 1.0),
            draw_uniform(rng, 0.6, 0.9),
        ]
        f0 = (
            pitch
            * draw_uniform(rng, 0.93, 1.08)
            * linear_ramp(arch, length)
            * (0.97 + 0.06 * random_walk(rng, length, rate, 12.0))
        )
        out = vocal_tone(rng, f0, rate, tilt, formants, jitter=draw_uniform(rng, 0.003, 0.02))
        air = vocal_breath(rng, length, rate, formants)
        if rng.random() < 0.4:
            low = int(rng.uniform(0.2, 0.6) * length)
            high = low + int(rng.uniform(0.1, 0.3) * length)
            out[low:high] = 0.4 * out[low:high] + draw_uniform(rng, 0.3, 0.9) * air[low:high]
        out = (out + draw_uniform(rng, 0.01, 0.15) * air) * attack_release_envelope(
            length, draw_uniform(rng, 0.05, 0.2), draw_uniform(rng, 0.1, 0.4)
        )
        if rng.random() < 0.6:
            gasp_length = int(draw_uniform(rng, 0.12, 0.35) * rate)
            gasp = (
                vocal_breath(rng, gasp_length, rate, formants)
                * attack_release_envelope(gasp_length, 0.4, 0.4)
                * draw_uniform(rng, 0.03, 0.25)
            )
            out = np.concatenate(
                [out, np.zeros(int(draw_uniform(rng, 0.03, 0.2) * rate), np.float32), gasp]
            )
        return out

    return repeat_events(
        rng, samples, rate, wail, (0.03, 0.5) if rng.random() < 0.7 else (0.3, 1.2), uneven_db=4.0
    )


def sneeze(rng: Rng, samples: int, rate: int) -> Audio:
    """An audible breath in, then a burst of air, with or without voice."""
    voiced = rng.random() < 0.6
    pitch = draw_log_uniform(rng, 180, 520)

    def sneeze_once() -> Audio:
        parts: list[Audio] = []
        if rng.random() < 0.65:
            for _ in range(int(rng.integers(1, 4))):
                length = int(draw_uniform(rng, 0.12, 0.5) * rate)
                throat = [
                    (draw_log_uniform(rng, 500, 1500), 300.0, 1.0),
                    (draw_log_uniform(rng, 1800, 4000), 900.0, 0.7),
                ]
                draw = (
                    vocal_breath(rng, length, rate, throat)
                    * attack_release_envelope(length, draw_uniform(rng, 0.3, 0.8), 0.15)
                    * draw_log_uniform(rng, 0.01, 0.2)
                )
                if voiced and rng.random() < 0.5:
                    draw = draw + 0.2 * vocal_tone(
                        rng, pitch * linear_ramp([0.9, 1.2], length), rate, 0.6, throat, 0.03
                    ) * attack_release_envelope(length, 0.6, 0.2)
                parts += [draw, np.zeros(int(draw_uniform(rng, 0.01, 0.25) * rate), np.float32)]
        length = int(draw_log_uniform(rng, 0.18, 0.7) * rate)
        air = shaped_noise(
            rng,
            length,
            rate,
            [
                (80.0, -24.0),
                (draw_log_uniform(rng, 500, 1800), draw_uniform(rng, -8, 0)),
                (draw_log_uniform(rng, 2200, 6500), 0.0),
                (16000.0, draw_uniform(rng, -20, -3)),
            ],
        )
        fall = np.exp(-np.linspace(0, draw_uniform(rng, 2.5, 6.0), length)).astype(np.float32)
        fall[: int(0.008 * rate)] *= np.linspace(0, 1, int(0.008 * rate))
        out = air * fall
        if voiced:
            voice = vocal_tone(
                rng,
                pitch * linear_ramp([1.0, 1.25, 0.9, draw_uniform(rng, 0.45, 0.75)], length),
                rate,
                0.5,
                [
                    (draw_log_uniform(rng, 350, 900), 250.0, 1.0),
                    (1600.0, 500.0, 0.5),
                    (3000.0, 900.0, 0.2),
                ],
                0.03,
            )
            out = out + draw_uniform(rng, 0.2, 1.3) * voice * attack_release_envelope(
                length, draw_uniform(rng, 0.05, 0.4), 0.5
            )
        if rng.random() < 0.4:
            tail_length = int(draw_uniform(rng, 0.2, 0.6) * rate)
            tail = shaped_noise(
                rng, tail_length, rate, [(300.0, -20.0), (2500.0, 0.0), (12000.0, -10.0)]
            ) * attack_release_envelope(tail_length, 0.1, 0.8)
            out = np.concatenate([out, draw_uniform(rng, 0.05, 0.2) * tail])
        return np.concatenate([*parts, out])

    return repeat_events(
        rng,
        samples,
        rate,
        sneeze_once,
        (0.5, 2.5),
        most=int(rng.choice([1, 1, 1, 2, 3])),
        lead_s=0.6,
    )


def laughter(rng: Rng, samples: int, rate: int) -> Audio:
    """Ha-ha-ha: four to seven syllables per second that fall in pitch and loudness."""
    pitch = draw_log_uniform(rng, 130, 420)
    scale = 1.0 if pitch < 220 else 1.18
    vowel = [
        (draw_uniform(rng, 500, 850) * scale, 120.0, 1.0),
        (draw_uniform(rng, 1100, 1800) * scale, 200.0, 0.6),
        (2700.0 * scale, 400.0, 0.3),
    ]
    period_s = 1 / draw_uniform(rng, 3.8, 7.0)
    air = vocal_breath(rng, int(period_s * 8 * rate), rate, vowel)

    def bout() -> Audio:
        count = int(rng.integers(3, 11))
        parts: list[Audio] = []
        top = pitch * draw_uniform(rng, 0.95, 1.4)
        for number in range(count):
            on = int(period_s * draw_uniform(rng, 0.45, 0.65) * rate)
            f0 = top * (1 - 0.35 * number / count) * linear_ramp([1.0, 1.08, 0.92], on)
            cut = int(rng.integers(len(air) // 2))
            ha = (
                vocal_tone(rng, f0, rate, 0.8, vowel, 0.02)
                + draw_uniform(rng, 0.1, 0.4) * air[cut : cut + on]
            )
            parts.append(ha * attack_release_envelope(on, 0.25, 0.5) * (1 - 0.5 * number / count))
            off = max(int(period_s * rate) - on, 8)
            parts.append(
                draw_uniform(rng, 0.03, 0.2) * air[-off:] * attack_release_envelope(off, 0.4, 0.4)
            )
        return np.concatenate(parts)

    return repeat_events(rng, samples, rate, bout, (0.1, 0.7))


def applause(rng: Rng, samples: int, rate: int) -> Audio:
    """Many hands clapping; each clap is a short burst, and the applause swells and fades."""
    grains = [
        noise_burst(
            rng,
            rate,
            draw_log_uniform(rng, 0.003, 0.012),
            [
                (200.0, -14.0),
                (draw_log_uniform(rng, 700, 2600), 0.0),
                (5000.0, -8.0),
                (15000.0, -22.0),
            ],
        )
        for _ in range(12)
    ]
    near = np.zeros(samples, np.float32)
    add_random_grains(rng, near, grains, int(draw_log_uniform(rng, 15, 140) * samples / rate), 0.5)
    far = random_clicks(
        rng,
        samples,
        rate,
        int(draw_log_uniform(rng, 300, 3000) * samples / rate),
        [(150.0, -20.0), (draw_log_uniform(rng, 900, 2400), 0.0), (5000.0, -8.0), (16000.0, -26.0)],
        0.5,
    )
    crowd = 0.5 + 0.5 * random_walk(rng, samples, rate, 0.5)
    return (to_unit_rms(near) + draw_uniform(rng, 0.2, 1.2) * far) * crowd


def footsteps(rng: Rng, samples: int, rate: int) -> Audio:
    """Steps of the heel and toe of alternating feet, walking or running."""
    period_s = 1 / draw_log_uniform(rng, 1.3, 3.0)
    grains = []
    hard = rng.random() < 0.6
    for _ in range(4):
        thump = damped_sines(
            rate,
            [draw_log_uniform(rng, 60, 220), draw_log_uniform(rng, 250, 700)],
            [1.0, 0.4],
            [draw_uniform(rng, 0.01, 0.03), 0.01],
        )
        scuff_hz = draw_log_uniform(rng, 1200, 4500) if hard else draw_log_uniform(rng, 500, 2500)
        scuff = noise_burst(
            rng,
            rate,
            draw_uniform(rng, 0.003, 0.01) if hard else draw_uniform(rng, 0.015, 0.05),
            [(150.0, -14.0), (scuff_hz, 0.0), (14000.0, -20.0)],
        )
        toe = int(draw_uniform(rng, 0.04, 0.1) * rate)
        step = np.zeros(max(len(thump), len(scuff)) + toe, np.float32)
        step[: len(thump)] += draw_uniform(rng, 0.3, 1.0) * thump
        step[: len(scuff)] += draw_uniform(rng, 0.4, 1.0) * scuff
        step[toe : toe + len(scuff)] += draw_uniform(rng, 0.1, 0.5) * scuff
        grains.append(step[: int(period_s * 0.8 * rate)])
    turn = iter(range(10000))

    def step_once() -> Audio:
        grain = np.zeros(int(period_s * 0.8 * rate), np.float32)
        chosen = grains[next(turn) % 2 * 2 + int(rng.integers(2))]
        grain[: len(chosen)] = chosen
        return grain

    return repeat_events(
        rng, samples, rate, step_once, (period_s * 0.16, period_s * 0.24), uneven_db=3.0
    )


def whistling(rng: Rng, samples: int, rate: int) -> Audio:
    """A tune whistled with the lips: glides between notes, with a little breath and vibrato."""
    base = draw_log_uniform(rng, 700, 1700)
    table = build_wavetable(np.array([1.0, draw_uniform(rng, 0.01, 0.08)]), 1.0, rng)
    scale = 2 ** (np.array([0, 2, 4, 5, 7, 9, 12]) / 12)

    def tune() -> Audio:
        notes: list[float] = []
        for _ in range(int(rng.integers(2, 8))):
            notes += [base * float(rng.choice(scale))] * int(rng.integers(2, 6))
        length = int(len(notes) * draw_uniform(rng, 0.06, 0.14) * rate)
        shake = 1 + draw_uniform(rng, 0.0, 0.015) * np.sin(
            2 * np.pi * draw_uniform(rng, 4, 7) * np.arange(length) / rate
        )
        f0 = linear_ramp(notes, length) * shake.astype(np.float32)
        air = shaped_noise(
            rng, length, rate, [(base / 2, -30.0), (base * 1.3, 0.0), (8000.0, -20.0)]
        )
        return (
            play_wavetable(f0, table, rate) + draw_uniform(rng, 0.02, 0.15) * air
        ) * attack_release_envelope(length, 0.05, 0.1)

    return repeat_events(rng, samples, rate, tune, (0.1, 0.8))
