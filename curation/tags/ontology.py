"""AudioSet's class list and hierarchy, as pure functions over `audioset.json`."""

import difflib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources

from curation.errors import InputError
from curation.schema import Tag


@dataclass(frozen=True)
class _Class:
    mid: str
    name: str
    parents: tuple[str, ...]
    index: int | None
    restrictions: frozenset[str]


def find_tag(label: str) -> Tag:
    """Return the tag of a class id ("/m/05tny_") or display name ("bark", in any case).

    If no class has this id or name, raises InputError with the nearest names.
    """
    wanted = label.strip()
    found = _classes().get(wanted) or _by_name().get(wanted.lower())
    if found is None:
        raise InputError(f"{label!r} is no AudioSet class: {suggest_classes(wanted)}")
    return Tag(found.mid, found.name)


def class_name(mid: str) -> str:
    """Return the display name of a class.

    Like all functions of this module that take a class id, raises InputError for an unknown id.
    """
    return _class(mid).name


def class_index(mid: str) -> int | None:
    """Return the index of a class among the 527 labelled classes; None for the other 105."""
    return _class(mid).index


def parent_classes(mid: str) -> tuple[str, ...]:
    """Return the direct parents of a class.

    Some classes have several parents; the seven roots have none.
    """
    return _class(mid).parents


def child_classes(mid: str) -> tuple[str, ...]:
    """Return the direct children of a class."""
    return _children()[_class(mid).mid]


@cache
def ancestor_classes(mid: str) -> frozenset[str]:
    """Return all ancestors of a class, over every path, without the class itself."""
    above = parent_classes(mid)
    return frozenset(above).union(*(ancestor_classes(parent) for parent in above))


def is_abstract_class(mid: str) -> bool:
    """Whether a class only groups other classes ("Human sounds")."""
    return "abstract" in _class(mid).restrictions


def is_blacklisted_class(mid: str) -> bool:
    """Whether AudioSet's authors advise against a class as a label (obscure or inaudible)."""
    return "blacklist" in _class(mid).restrictions


@cache
def labelled_mids() -> tuple[str, ...]:
    """Return the 527 labelled classes of AudioSet, in the order of their index."""
    labelled = [entry for entry in _classes().values() if entry.index is not None]
    return tuple(entry.mid for entry in sorted(labelled, key=lambda entry: entry.index or 0))


def evaluation_targets(mids: Iterable[str]) -> set[str]:
    """Return evaluation targets: those of the given and implied classes that have a label.

    A class implies its parent if it has only one: "Bark" implies "Dog". "Growling" may be of a dog
    or a cat, so it implies neither. Classes without one of the 527 labels can imply others, but are
    not returned.
    """
    implied = set[str]()
    for mid in mids:
        implied |= _chain(mid)
    return implied


@cache
def _chain(mid: str) -> frozenset[str]:
    above = parent_classes(mid)
    higher = _chain(above[0]) if len(above) == 1 else frozenset()
    return higher | {mid} if class_index(mid) is not None else higher


def _class(mid: str) -> _Class:
    try:
        return _classes()[mid]
    except KeyError:
        raise InputError(f"{mid!r} is no AudioSet class id: expected one like '/m/09x0r'") from None


@cache
def _classes() -> dict[str, _Class]:
    text = resources.files(__package__).joinpath("audioset.json").read_text(encoding="utf-8")
    return {
        row["mid"]: _Class(
            row["mid"],
            row["name"],
            tuple(row["parents"]),
            row["index"],
            frozenset(row["restrictions"]),
        )
        for row in json.loads(text)
    }


@cache
def _by_name() -> dict[str, _Class]:
    return {entry.name.lower(): entry for entry in _classes().values()}


@cache
def _children() -> dict[str, tuple[str, ...]]:
    below: dict[str, list[str]] = {mid: [] for mid in _classes()}
    for entry in _classes().values():
        for parent in entry.parents:
            below[parent].append(entry.mid)
    return {mid: tuple(mids) for mid, mids in below.items()}


def suggest_classes(label: str) -> str:
    """The names nearest to an unknown label, as a question; what is expected, if none is near."""
    label = label.replace("_", " ").strip()
    near = difflib.get_close_matches(label.lower(), _by_name(), n=3)
    if not near:
        return "expected a class id like '/m/09x0r' or a display name like 'Speech'"
    return "did you mean " + " or ".join(repr(_by_name()[match].name) for match in near) + "?"
