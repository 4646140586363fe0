"""Writes captions of scenes from templates.

A template has {A} and {B} for clauses ("a dog barks") and {a} and {b} for noun phrases ("a dog
barking"). Every template for two sounds states their order or which is in the background.
"""

import numpy as np

from curation.synth.classes import CLASSES_BY_KEY

CAPTION_TEMPLATES: dict[str, tuple[str, ...]] = {
    "single": ("{A}", "{a}", "the sound of {a}", "{A} nearby"),
    "then": (
        "{A} and then {B}",
        "{A} then {B}",
        "{B} after {A}",
        "{A} before {B}",
        "{a} followed by {b}",
        "{a} and then {b}",
        "first {A} and then {B}",
        "after {a} {B}",
    ),
    "background": (
        "{A} while {B} in the background",
        "{A} with {b} in the background",
        "{A} over {b}",
        "{b} behind {a}",
        "{a} in front of {b}",
        "{B} in the background while {A}",
        "{b} in the background with {a} in front",
    ),
}
MIN_CAPTION_WORDS = 3


def fill_template(template: str, keys: tuple[str, ...], rng: np.random.Generator) -> str:
    """Fill a template with a random clause for each class."""
    words: dict[str, str] = {}
    for letter, key in zip("ab", keys, strict=False):
        sound = CLASSES_BY_KEY[key]
        clause = sound.clauses[int(rng.integers(len(sound.clauses)))]
        words[letter] = clause.nominal()
        words[letter.upper()] = clause.finite()[int(rng.integers(2))]
    return template.format(**words)


def write_scene_captions(
    keys: tuple[str, ...], relation: str, rng: np.random.Generator, count: int
) -> tuple[str, ...]:
    """Write `count` different captions; templates are reused only after all were used."""
    templates = CAPTION_TEMPLATES[relation]
    order = rng.permutation(len(templates))
    captions: list[str] = []
    for turn in range(100):
        caption = fill_template(templates[order[turn % len(templates)]], keys, rng)
        if caption not in captions and len(caption.split()) >= MIN_CAPTION_WORDS:
            captions.append(caption)
        if len(captions) == count:
            break
    return tuple(captions)
