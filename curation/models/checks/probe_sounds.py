"""The procedural sounds on which models are tested; the class of each sound is known."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from curation.schema import Tag
from curation.synth.classes import SOUND_CLASSES, SoundClass
from curation.synth.mixing import normalise_sound

_SEED = 4
_DURATION_S = 4.0
_PEAK = 0.5
_SHORT_S, _LONG_S = 0.5, 25.0


@dataclass(frozen=True, eq=False)
class ProbeSound:
    """A sound as float32 mono `[sample]`, the name of its class, and a true caption."""

    waveform: np.ndarray
    tag: Tag
    caption: str


@cache
def make_probe_sounds(sample_rate_hz: int) -> tuple[ProbeSound, ...]:
    """Make a sound of the first class of each family, so that all sounds clearly differ."""
    families: dict[str, SoundClass] = {}
    for each in SOUND_CLASSES:
        families.setdefault(each.family, each)
    return tuple(_sound(each, sample_rate_hz) for each in families.values())


def resize_sound(sound: ProbeSound, sample_rate_hz: int, duration_s: float) -> np.ndarray:
    """Cut a sound to a duration, or repeat the sound until it has this duration."""
    return np.resize(sound.waveform, round(duration_s * sample_rate_hz))


def make_clips_of_unequal_length(sample_rate_hz: int) -> list[np.ndarray]:
    """Make three clips for one batch: one of a sound's own length, a short one and a long one."""
    middle, short, long = make_probe_sounds(sample_rate_hz)[:3]
    return [
        middle.waveform,
        resize_sound(short, sample_rate_hz, _SHORT_S),
        resize_sound(long, sample_rate_hz, _LONG_S),
    ]


def _sound(each: SoundClass, sample_rate_hz: int) -> ProbeSound:
    rng = np.random.default_rng((_SEED, SOUND_CLASSES.index(each)))
    made = each.render(rng, round(_DURATION_S * sample_rate_hz), sample_rate_hz)
    waveform = normalise_sound(made, sample_rate_hz)
    return ProbeSound(
        (waveform * (_PEAK / np.abs(waveform).max())).astype(np.float32),
        Tag(each.mid, each.name),
        f"the sound of {each.clauses[0].nominal()}",
    )
