"""Lists the files of a folder, and finds the file that a path in the metadata names."""

import os
import posixpath
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from curation.audio.extensions import DECODABLE_EXTENSIONS
from curation.errors import InputError
from curation.storage.files import Storage
from curation.text_safety import escape_invisible
from curation.uris import absolute_uri, is_local_uri, local_path, readable_path

# Of what is noted without being counted by extension, so many are named.
_EXAMPLES = 3


def file_extension(path: str) -> str:
    """Return the extension in lower case without the dot; empty if the name has none."""
    name = path.rpartition("/")[2]
    return name.rpartition(".")[2].lower() if "." in name else ""


def is_audio_file(path: str) -> bool:
    """Whether a file name has an audio or video extension and is not that of a hidden file."""
    return (
        not path.rpartition("/")[2].startswith(".") and file_extension(path) in DECODABLE_EXTENSIONS
    )


def drop_audio_extension(path: str) -> str:
    """Return the path without its extension if the extension is one of DECODABLE_EXTENSIONS."""
    return posixpath.splitext(path)[0] if file_extension(path) in DECODABLE_EXTENSIONS else path


def unread_kind(path: str) -> str:
    """Return the kind under which a file that is not read is counted.

    The kind is the extension (`.txt`), `hidden` or `without extension`.
    """
    if path.rpartition("/")[2].startswith("."):
        return "hidden"
    extension = file_extension(path)
    return f".{escape_invisible(extension)}" if extension else "without extension"


def count_unread(paths: Iterable[str]) -> dict[str, int]:
    """Count the files of each `unread_kind`, with the most frequent kind first."""
    counts = Counter(map(unread_kind, paths))
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def format_unread(counts: Mapping[str, int]) -> str:
    """Format counts of files for people: `12 .txt, 1 hidden`."""
    return ", ".join(f"{count:,} {kind}" for kind, count in counts.items())


@dataclass
class ListedFiles:
    """The files below a folder: audio files and all others, each by its path within the folder.

    If a path is not UTF-8, its invalid bytes are written as `\\xNN`. The URI has the exact bytes.
    """

    folder: str
    audio: dict[str, str] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def find(self, name: str) -> tuple[str, str | None]:
        """Find the file that metadata names, and return its path and URI.

        If there is no such file, the path is the normalized name and the URI is None. The exact
        name is tried first, then the name without spaces around it, then the name with `\\` as `/`.
        These characters may belong to the name, or come from the program that wrote the metadata.
        """
        if uri := self.audio.get(name):
            return name, uri
        for text in dict.fromkeys((name, name.strip())):
            for form in dict.fromkeys((text, text.replace("\\", "/"))):
                for path in dict.fromkeys((form, posixpath.normpath(form))):
                    if uri := self.audio.get(path) or self.others.get(path):
                        return path, uri
        return posixpath.normpath(name.strip().replace("\\", "/")), None

    def notes(self) -> tuple[str, ...]:
        """Describe the skipped files, and the names that are not UTF-8, with examples."""
        raw = [path for path, uri in self.audio.items() if uri.startswith("file://")]
        note = f"{len(raw):,} names are not UTF-8, their bytes are written \\xNN: {_examples(raw)}"
        return (*format_skipped(self.skipped), *((note,) if raw else ()))


def format_skipped(skipped: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Format the skipped files for people: the count of each kind, with examples."""
    kinds: dict[str, list[str]] = {}
    for path, what in skipped:
        kinds.setdefault(what, []).append(path)
    return tuple(
        f"passed over {len(paths):,} ({what}): {_examples(paths)}" for what, paths in kinds.items()
    )


def _examples(paths: list[str]) -> str:
    more = ", ..." if len(paths) > _EXAMPLES else ""
    return ", ".join(map(quote_name, paths[:_EXAMPLES])) + more


def quote_name(name: str) -> str:
    """Quote a file name for messages, with invisible characters as code points."""
    return f"'{escape_invisible(name)}'"


def list_audio_folder(storage: Storage, uri: str, key: str = "audio") -> ListedFiles:
    """List all files below a folder. Raises InputError if there is no such folder.

    Args:
        key: the catalog's key that names the folder, for messages.
    """
    folder = require_folder(storage, uri, key)
    if key == "audio" and is_local_uri(folder) and os.path.isfile(folder):
        raise InputError(f"{uri}: a file, given as {key}: of the catalog; expected a folder")
    listed = ListedFiles(folder)
    within = len(folder) + 1

    def skip(path: str, what: str) -> None:
        listed.skipped.append((readable_path(path)[within:], what))

    for file in storage.list_files(folder, skip):
        path = path_of_uri(file.uri)[within:]
        group = listed.audio if is_audio_file(path) else listed.others
        if group.setdefault(path, file.uri) != file.uri:
            raise InputError(f"{folder}: two files are written {quote_name(path)}; rename one")
    return listed


def path_of_uri(uri: str) -> str:
    """Return the path of a file:// URI as text (`readable_path`), and any other URI unchanged."""
    return readable_path(local_path(uri)) if uri.startswith("file://") else uri


def require_folder(storage: Storage, uri: str, key: str) -> str:
    """Return the absolute URI of a folder. Raises InputError if there is no such folder."""
    if not storage.exists(uri):
        raise InputError(f"{uri}: no such folder, given as {key}: of the catalog")
    return absolute_uri(uri).rstrip("/")
