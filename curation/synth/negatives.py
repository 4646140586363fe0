"""Captions that are wrong in one respect, for contrastive training and for evaluating scorers."""

import numpy as np

from curation.synth.captions import write_scene_captions
from curation.synth.classes import SOUND_CLASSES
from curation.synth.scenes import Scene

NEGATIVE_KINDS: tuple[str, ...] = ("replaced", "dropped", "added", "swapped", "relation")


def make_hard_negative(scene: Scene, rng: np.random.Generator, kind: str) -> str | None:
    """Write a caption of a scene with one error; None if the scene does not allow this `kind`.

    - "replaced": the caption names a wrong class in place of one of the scene's.
    - "dropped": the caption omits one of two sounds.
    - "added": the caption of a single sound names a second one.
    - "swapped": the caption swaps the two sounds, so their order, or foreground and background, is
    wrong.
    - "relation": the caption says "then" of a sound with a background, or the reverse.

    Raises ValueError for another kind.
    """
    if kind not in NEGATIVE_KINDS:
        raise ValueError(
            f"unknown kind of hard negative {kind!r}; expected one of {', '.join(NEGATIVE_KINDS)}"
        )
    keys, relation = scene.classes, str(scene.relation)
    single = relation == "single"
    if single != (kind == "added") and not (kind == "replaced"):
        return None
    if kind == "replaced":
        place = int(rng.integers(len(keys)))
        keys = (*keys[:place], _other(keys, rng), *keys[place + 1 :])
    elif kind == "dropped":
        keys, relation = (keys[int(rng.integers(2))],), "single"
    elif kind == "added":
        pair = (keys[0], _other(keys, rng))
        keys = pair if rng.random() < 0.5 else pair[::-1]
        relation = "then" if rng.random() < 0.5 else "background"
    elif kind == "swapped":
        keys = keys[::-1]
    else:
        relation = "background" if relation == "then" else "then"
    return write_scene_captions(keys, relation, rng, count=1)[0]


def make_hard_negatives(scene: Scene, rng: np.random.Generator, count: int = 1) -> list[str]:
    """Write `count` hard negatives, each of a random kind that the scene allows."""
    kinds = (
        ("replaced", "added")
        if scene.relation == "single"
        else ("replaced", "dropped", "swapped", "relation")
    )
    captions: list[str] = []
    while len(captions) < count:
        caption = make_hard_negative(scene, rng, kinds[int(rng.integers(len(kinds)))])
        assert caption is not None
        captions.append(caption)
    return captions


def _other(keys: tuple[str, ...], rng: np.random.Generator) -> str:
    """A class that is not in the scene."""
    return str(rng.choice([sound.key for sound in SOUND_CLASSES if sound.key not in keys]))
