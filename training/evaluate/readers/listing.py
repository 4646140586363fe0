"""Reads what all readers need: lists in CSV, audio files of a folder, choice of a split."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import replace

from curation.catalog.audio_files import is_audio_file, path_of_uri
from curation.errors import InputError
from curation.storage.files import Storage
from curation.storage.local import FileInfo
from curation.uris import absolute_uri, join_uri
from training.evaluate.evalset import EvalClip, EvalSet

Row = dict[str, str]


def choose_split(given: str | None, known: Sequence[str], default: str) -> str:
    """Return the split to read. Raises InputError if the data set has no such split."""
    if given is None:
        return default
    if given not in known:
        raise InputError(f"split {given!r}: expected one of {', '.join(known)}")
    return given


def read_csv_rows(
    storage: Storage,
    folder: str,
    path: str,
    columns: Sequence[str],
    layout: str,
    header: bool = True,
) -> list[Row]:
    """Read the rows of a CSV as dicts by column.

    If the CSV has no `header`, the columns have the given order.

    Raises InputError if the file is missing (naming it and the expected `layout`), lacks a column,
    or cannot be read.
    """
    uri = join_uri(folder, path)
    if not storage.exists(uri):
        raise InputError(f"{folder}: no {path}; expected {layout}")
    try:
        with io.TextIOWrapper(storage.open_input(uri), "utf-8-sig", newline="") as text:
            reader = csv.DictReader(text, None if header else columns, strict=True)
            rows = list(reader)
            found = list(reader.fieldnames or [])
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{uri}: not CSV in UTF-8: {error}") from error
    absent = [column for column in columns if column not in found]
    if absent:
        raise InputError(f"{uri}: no column {absent[0]!r} among {', '.join(found)}")
    for number, row in enumerate(rows, 1):
        if None in row or None in row.values():
            raise InputError(
                f"{uri} row {number}: expected {len(found)} fields: {', '.join(found)}"
            )
    return rows


def list_audio_files(storage: Storage, folder: str, within: str = "") -> dict[str, FileInfo]:
    """List the audio files below `folder`/`within`, by their path within `folder`."""
    root = absolute_uri(folder).rstrip("/")
    below = join_uri(root, within) if within else root
    files = storage.list_files(below)
    named = ((path_of_uri(file.uri)[len(root) + 1 :], file) for file in files)
    return {path: file for path, file in named if is_audio_file(path)}


def index_by_stem(files: dict[str, FileInfo]) -> dict[str, str]:
    """Index paths by file name without extension. Of two files with one name the first counts."""
    stems: dict[str, str] = {}
    for path in files:
        stems.setdefault(path.rpartition("/")[2].rpartition(".")[0], path)
    return stems


def build_eval_set(
    name: str,
    split: str,
    listed: Iterable[tuple[str | None, EvalClip]],
    files: dict[str, FileInfo],
    folder: str,
    expected: str,
    classes: Iterable[str] = (),
    multi_label: bool = False,
) -> EvalSet:
    """Build the set of clips whose path is among `files`. The others are counted as missing.

    Args:
        listed: for each clip, the expected path (None if unknown) and an `EvalClip` with labels or
            captions. This function fills in its name, URI and size.

    Raises InputError if nothing is listed, or no listed clip exists.
    """
    clips: list[EvalClip] = []
    missing = 0
    for path, clip in listed:
        if path in files:
            file = files[path]
            clips.append(replace(clip, name=path, uri=file.uri, size_bytes=file.size_bytes))
        else:
            missing += 1
    if not clips:
        raise InputError(
            f"{folder}: of {missing:,} clips listed in split {split} none exists; expected "
            f"{expected}"
        )
    return EvalSet(name, split, tuple(clips), tuple(sorted(set(classes))), multi_label, missing)


def describe_clip(labels: Iterable[str] = (), captions: Iterable[str] = ()) -> EvalClip:
    """Return an `EvalClip` that has only labels or captions."""
    return EvalClip("", "", 0, labels=tuple(labels), captions=tuple(captions))
