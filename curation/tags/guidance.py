"""Selects the most specific tags of a clip as guidance for a captioner, and words them as prose."""

import json
import re
from collections.abc import Sequence
from functools import cache
from importlib import resources

from curation.schema import Tag
from curation.tags import ontology

# Names that keep their capital inside a phrase.
PROPER_NAMES = frozenset(
    """
    African Afrobeat American Asian Bollywood Carnatic Christian Christmas Eastern French Hammond
    Latin Middle
    """.split()
)

# Last words of names that take no article: they cannot be counted, or are plural without an s.
_UNCOUNTED = frozenset(
    """
    applause cattle chatter conditioning cutlery distortion feedback fire fowl glass gunfire hum
    laughter liquid livestock machinery music narration noise percussion rain reverberation
    sidetone silence sonar speech static steam thunder timpani vibration water wind wood
    """.split()
)


def select_guidance_tags(tags: Sequence[Tag], min_confidence: float = 0.0) -> list[Tag]:
    """Select the tags that guide a caption, the highest confidence first.

    Omitted are tags below `min_confidence`, classes that AudioSet marks as abstract or blacklisted,
    and classes of which a more specific one remains. Of several tags of one class, the tag with the
    highest confidence is kept. Tags of equal confidence are in the order of the label index. Raises
    InputError for a tag that is not an AudioSet class.
    """
    best: dict[str, Tag] = {}
    for tag in tags:
        usable = not (ontology.is_abstract_class(tag.mid) or ontology.is_blacklisted_class(tag.mid))
        surer = tag.mid not in best or tag.confidence > best[tag.mid].confidence
        if usable and surer and tag.confidence >= min_confidence:
            best[tag.mid] = tag
    implied = frozenset[str]().union(*(ontology.ancestor_classes(mid) for mid in best))
    return sorted((tag for mid, tag in best.items() if mid not in implied), key=_order)


@cache
def class_phrase(mid: str) -> str:
    """Return the name of a class within a sentence: "Bark" becomes "a dog barking".

    `phrases.json` lists the exceptions. Otherwise the first synonym is used, without parentheses,
    and with an article where English needs one.
    """
    name = ontology.class_name(mid)
    return _exceptions().get(name) or _phrase_by_rule(mid, name)


def _phrase_by_rule(mid: str, name: str) -> str:
    first_synonym = re.sub(r"\s*\(.*?\)", "", name).split(",")[0].strip()
    words = [word if word in PROPER_NAMES else word.lower() for word in first_synonym.split()]
    plain = " ".join(words)
    if _is_genre(mid):
        return plain if words[-1] == "music" else f"{plain} music"
    return plain if _takes_no_article(words[-1]) else f"{_article(plain)} {plain}"


def _takes_no_article(noun: str) -> bool:
    gerund = re.search(r"[aeiouy].*ing$", noun)  # "singing", and not "ping"
    plural = re.search(r"[^su]s$", noun)  # "bagpipes", and not "bus" or "glass"
    return bool(gerund or plural) or noun in _UNCOUNTED


def _article(words: str) -> str:
    return "an" if words[0].lower() in "aeiou" else "a"


def _is_genre(mid: str) -> bool:
    return any(
        ontology.class_name(above) == "Music genre" for above in ontology.ancestor_classes(mid)
    )


def _order(tag: Tag) -> tuple[float, float, str]:
    index = ontology.class_index(tag.mid)
    return -tag.confidence, float("inf") if index is None else index, tag.mid


@cache
def _exceptions() -> dict[str, str]:
    text = resources.files(__package__).joinpath("phrases.json").read_text(encoding="utf-8")
    phrases: dict[str, str] = json.loads(text)
    return phrases
