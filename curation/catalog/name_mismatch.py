"""Finds the cause of missing audio: file names that differ slightly from those in the metadata.

One cause can make all clips of a corpus missing. Such causes are absolute paths, missing
extensions, upper or lower case, and Unicode that one system composes and another decomposes.
"""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from itertools import combinations

from curation.catalog.audio_files import drop_audio_extension
from curation.errors import InputError
from curation.text_safety import escape_invisible

# Where so large a share of the unlisted files match a missing clip, it is no coincidence.
_SHARE = 0.5
_MAX_COMPARED = 1000


def _base_name(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]


def _unicode_form(path: str) -> str:
    return unicodedata.normalize("NFC", path)


# In the order in which they are applied, and in which they are named.
_RELAXATIONS: dict[str, Callable[[str], str]] = {
    "Unicode form (NFC or NFD)": _unicode_form,
    "upper and lower case": str.casefold,
    "folder": _base_name,
    "spaces around the name": str.strip,
    "extension": drop_audio_extension,
}


def check_names(
    where: str, missing: Iterable[str], unlisted: Iterable[str], without_extension: Iterable[str]
) -> tuple[str, ...]:
    """Raise InputError if at least half of the unlisted files nearly match a missing clip.

    If some match, but less than half, a note for the coverage is returned. A missing clip matches
    one file only. The message states the difference, with an example.

    Args:
        where: the folder, for the message.
        missing: paths or ids of listed clips whose files were not found.
        unlisted: paths of audio files that no listed clip uses.
        without_extension: paths of files without extension. They can match a missing clip, but do
            not count as unlisted.
    """
    unlisted = list(unlisted)
    files: defaultdict[str, list[str]] = defaultdict(list)
    for path in (*unlisted, *without_extension):
        files[_key(path)].append(path)
    if not files:
        return ()
    pairs = [(name, paths.pop()) for name in missing if (paths := files.get(_key(name)))]
    if not pairs:
        return ()
    causes = Counter(_difference(*pair) for pair in pairs[:_MAX_COMPARED])
    cause = causes.most_common(1)[0][0]
    listed, found = next(pair for pair in pairs if _difference(*pair) == cause)
    match = (
        f"{len(pairs):,} files that belong to no listed clip match a missing clip up to "
        f"{' and '.join(cause)}: listed is {_quote(listed)}, there is {_quote(found)}"
    )
    if len(pairs) < _SHARE * len(unlisted):
        return (match,)
    raise InputError(
        f"{where}: {match}; write the names in the metadata as the files are called, relative to "
        "the folder, or rename the files"
    )


def _key(path: str) -> str:
    return _relax(path, tuple(_RELAXATIONS))


def _relax(path: str, names: tuple[str, ...]) -> str:
    for name in names:
        path = _RELAXATIONS[name](path)
    return path


def _difference(listed: str, found: str) -> tuple[str, ...]:
    """The smallest set of relaxations under which both names are equal."""
    if listed == found:  # an id, and a file without an extension
        return ("extension",)
    for count in range(1, len(_RELAXATIONS) + 1):
        for names in combinations(_RELAXATIONS, count):
            if _relax(listed, names) == _relax(found, names):
                return names
    raise AssertionError((listed, found))


def _quote(name: str) -> str:
    """In ASCII where the name's form is not seen: two names may look the same."""
    composed = unicodedata.normalize("NFC", name) == name == unicodedata.normalize("NFD", name)
    return f"'{escape_invisible(name)}'" if composed else ascii(name)
