"""Draws the content of a clip: one sound, two sounds in succession, or one over a background."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from curation.synth.captions import write_scene_captions
from curation.synth.classes import SOUND_CLASSES

Relation = Literal["single", "then", "background"]
RELATIONS: tuple[Relation, ...] = ("single", "then", "background")


@dataclass(frozen=True)
class Scene:
    """The true content of one clip.

    `classes` are keys in order: first and second sound, or foreground and background. `captions`
    are three to five true sentences, in lower case, without a full stop.
    """

    classes: tuple[str, ...]
    relation: Relation
    duration_s: float
    captions: tuple[str, ...]


def make_scene(seed: int, index: int) -> Scene:
    """Make scene `index` of the corpus `seed`, without audio.

    The scene is the same in any process and order.
    """
    rng = np.random.default_rng((seed, index, 0))
    relation = RELATIONS[int(rng.integers(3))]
    first = SOUND_CLASSES[int(rng.integers(len(SOUND_CLASSES)))]
    keys: tuple[str, ...] = (first.key,)
    if relation != "single":
        others = [
            sound.key
            for sound in SOUND_CLASSES
            if sound.family != first.family and (sound.continuous or relation == "then")
        ]
        keys = (first.key, str(rng.choice(others)))
    duration_s = round(float(rng.uniform(5.0 if relation == "then" else 4.0, 10.0)), 3)
    captions = write_scene_captions(keys, relation, rng, count=int(rng.integers(3, 6)))
    return Scene(keys, relation, duration_s, captions)
