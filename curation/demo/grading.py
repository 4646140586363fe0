"""Grades a caption by comparing its keywords with the true scene."""

import re
from dataclasses import dataclass
from functools import lru_cache

from curation.synth.classes import SOUND_CLASSES
from curation.synth.scenes import Scene

_LONGEST_ENDING = 4
_THEN = {"then", "after", "before", "followed"}
_BACKGROUND = {"background", "behind", "over", "front"}


@dataclass(frozen=True)
class CaptionGrade:
    """Which parts of a caption are right, and class counts for an F1 over many captions."""

    classes_right: bool
    relation_right: bool
    order_right: bool
    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def all_right(self) -> bool:
        return self.classes_right and self.relation_right and self.order_right


@dataclass(frozen=True)
class ParsedCaption:
    """The content of a caption: the keys of its classes, and the relation of the two sounds.

    The first class is the first sound, or the foreground. The second class is the second sound, or
    the background.
    """

    classes: tuple[str, ...]
    relation: str | None


def parse_caption(caption: str) -> ParsedCaption:
    """Find the classes by keywords, and their order and relation by the words between the keywords.

    The relation is None if the caption names two sounds without a relation, or contradicts itself.
    """
    words = re.findall(r"[a-z]+", caption.lower())
    mentions: dict[str, int] = {}
    for place, word in enumerate(words):
        for key in _classes_of(word):
            mentions.setdefault(key, place)
    named = tuple(mentions)
    small = set(words)
    sequential, layered = bool(small & _THEN), bool(small & _BACKGROUND)
    if len(named) < 2:
        return ParsedCaption(named, "single" if named and not sequential and not layered else None)
    if sequential == layered:
        return ParsedCaption(named, None)
    if sequential:
        reverse = "after" in words and words[0] != "after"
        return ParsedCaption(named[::-1] if reverse else named, "then")
    if "behind" in words:
        return ParsedCaption(named[::-1], "background")
    if "background" in words:
        marker = words.index("background")
        reverse = not any(
            mentions[key] > mentions[named[0]] and mentions[key] < marker for key in named
        )
        return ParsedCaption(named[::-1] if reverse else named, "background")
    return ParsedCaption(named, "background")


def grade_caption(caption: str, scene: Scene) -> CaptionGrade:
    """Grade whether a caption names exactly a scene's classes, and their relation and order."""
    reading = parse_caption(caption)
    found, true = set(reading.classes), set(scene.classes)
    return CaptionGrade(
        classes_right=found == true,
        relation_right=reading.relation == scene.relation,
        order_right=reading.classes == scene.classes,
        true_positives=len(found & true),
        false_positives=len(found - true),
        false_negatives=len(true - found),
    )


@lru_cache(maxsize=4096)
def _classes_of(word: str) -> tuple[str, ...]:
    return tuple(
        sound.key
        for sound in SOUND_CLASSES
        if any(
            word.startswith(stem) and len(word) - len(stem) <= _LONGEST_ENDING
            for stem in sound.keywords
        )
    )
