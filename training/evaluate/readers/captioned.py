"""Reads data sets with captions that people wrote: AudioCaps and Clotho."""

from collections.abc import Iterator

from curation.errors import InputError
from curation.storage.files import Storage
from training.evaluate.evalset import EvalSet
from training.evaluate.readers.listing import (
    build_eval_set,
    choose_split,
    describe_clip,
    index_by_stem,
    list_audio_files,
    read_csv_rows,
)

_CLOTHO_CAPTIONS = tuple(f"caption_{index}" for index in range(1, 6))


def read_audiocaps(storage: Storage, folder: str, split: str | None) -> EvalSet:
    """AudioCaps (Kim 2019): `test` (default) and `val` with five captions a clip, `train` with one.

    The list of a split is `<split>.csv`. Rows with the same clip are joined to one clip with
    several captions. The clips of 10 s may be anywhere below the folder, under the names
    <id>_<start>, <id>_<start in ms> or <id>, or one of these names with a Y before it.

    Raises InputError, as all readers here, for a folder or split that the data set does not have.
    """
    split = choose_split(split, ("test", "val", "train"), "test")
    columns = ("audiocap_id", "youtube_id", "start_time", "caption")
    layout = f"AudioCaps' list, {split}.csv, and clips below the folder"
    rows = read_csv_rows(storage, folder, f"{split}.csv", columns, layout)
    captions: dict[tuple[str, float], list[str]] = {}
    for number, row in enumerate(rows, 1):
        try:
            start_s = float(row["start_time"])
        except ValueError:
            raise InputError(
                f"{folder}/{split}.csv row {number}: found {row['start_time']!r} as start_time; "
                "expected seconds"
            ) from None
        captions.setdefault((row["youtube_id"], start_s), []).append(row["caption"])
    files = list_audio_files(storage, folder)
    paths = index_by_stem(files)
    listed = (
        (
            next((paths[name] for name in _names(*key) if name in paths), None),
            describe_clip((), texts),
        )
        for key, texts in captions.items()
    )
    expected = "files named <youtube_id>_<start_time> or Y<youtube_id>"
    return build_eval_set("audiocaps", split, listed, files, folder, expected)


def read_clotho(storage: Storage, folder: str, split: str | None) -> EvalSet:
    """Clotho (Drossos 2020): clips of 15 to 30 s, five captions each.

    Splits: `evaluation` (default), `validation` and `development`.
    """
    split = choose_split(split, ("evaluation", "validation", "development"), "evaluation")
    path = f"clotho_captions_{split}.csv"
    layout = f"Clotho as published: {path} and {split}/"
    rows = read_csv_rows(storage, folder, path, ("file_name", *_CLOTHO_CAPTIONS), layout)
    listed = (
        (f"{split}/{row['file_name']}", describe_clip((), [row[name] for name in _CLOTHO_CAPTIONS]))
        for row in rows
    )
    files = list_audio_files(storage, folder, split)
    return build_eval_set("clotho", split, listed, files, folder, f"{split}/<file_name>")


def _names(youtube_id: str, start_s: float) -> Iterator[str]:
    """The names that a clip may have, those that say its start before the others."""
    for ending in (f"_{start_s:g}", f"_{start_s * 1000:.0f}", ""):
        yield f"{youtube_id}{ending}"
        yield f"Y{youtube_id}{ending}"
