"""Reads data sets with one class per clip: ESC-50, ESC-10, UrbanSound8K and VGGSound."""

from curation.errors import InputError
from curation.storage.files import Storage
from curation.uris import join_uri
from training.evaluate.evalset import EvalSet
from training.evaluate.readers.listing import (
    build_eval_set,
    choose_split,
    describe_clip,
    index_by_stem,
    list_audio_files,
    read_csv_rows,
)

ALL = "all"
_ESC_FOLDS = ("1", "2", "3", "4", "5", ALL)
_ESC_LAYOUT = "ESC-50 as published: meta/esc50.csv and audio/"
_ESC10_LAYOUT = f"{_ESC_LAYOUT}; or ESC-10 alone: clips.csv and audio/"


def read_esc50(storage: Storage, folder: str, split: str | None) -> EvalSet:
    """ESC-50 (Piczak 2015): 2,000 clips of 5 s, 50 classes; splits are its folds, or `all`.

    Raises InputError, as all readers here, for a folder or split that the data set does not have.
    """
    return _esc(storage, folder, split, "esc50", _ESC_LAYOUT)


def read_esc10(storage: Storage, folder: str, split: str | None) -> EvalSet:
    """ESC-10: ten classes, 400 clips, from ESC-50's folder or from its own.

    The folder of ESC-10 has `clips.csv`, with the columns file, esc10_class and fold, and `audio/`.
    """
    if not storage.exists(join_uri(folder, "clips.csv")):
        return _esc(storage, folder, split, "esc10", _ESC10_LAYOUT)
    split = choose_split(split, _ESC_FOLDS, ALL)
    rows = read_csv_rows(
        storage, folder, "clips.csv", ("file", "esc10_class", "fold"), _ESC10_LAYOUT
    )
    listed = (
        (f"audio/{row['file']}", describe_clip([row["esc10_class"]]))
        for row in rows
        if split in (ALL, row["fold"])
    )
    files = list_audio_files(storage, folder, "audio")
    classes = (row["esc10_class"] for row in rows)
    return build_eval_set("esc10", split, listed, files, folder, "audio/<file>", classes)


def read_urbansound8k(storage: Storage, folder: str, split: str | None) -> EvalSet:
    """UrbanSound8K (Salamon 2014): 8,732 clips up to 4 s, 10 classes; splits: folds, or `all`."""
    layout = "UrbanSound8K as published: metadata/UrbanSound8K.csv and audio/fold1/ to fold10/"
    split = choose_split(split, (*map(str, range(1, 11)), ALL), ALL)
    columns = ("slice_file_name", "fold", "class")
    rows = read_csv_rows(storage, folder, "metadata/UrbanSound8K.csv", columns, layout)
    listed = (
        (f"audio/fold{row['fold']}/{row['slice_file_name']}", describe_clip([row["class"]]))
        for row in rows
        if split in (ALL, row["fold"])
    )
    classes = (row["class"] for row in rows)
    files = list_audio_files(storage, folder, "audio")
    expected = "audio/fold<n>/<slice_file_name>"
    return build_eval_set("urbansound8k", split, listed, files, folder, expected, classes)


def read_vggsound(storage: Storage, folder: str, split: str | None) -> EvalSet:
    """VGGSound (Chen 2020): clips of 10 s, 309 classes; splits `test` (default) and `train`.

    Clips may be anywhere below the folder, as <YouTube id>_<start in six digits> with any extension
    of audio or video.
    """
    layout = "VGGSound's list, vggsound.csv (id, start, label, split), and clips below the folder"
    split = choose_split(split, ("test", "train"), "test")
    columns = ("id", "start", "label", "split")
    rows = read_csv_rows(storage, folder, "vggsound.csv", columns, layout, header=False)
    files = list_audio_files(storage, folder)
    paths = index_by_stem(files)
    for number, row in enumerate(rows, 1):
        if not row["start"].isdecimal():
            raise InputError(
                f"{folder}/vggsound.csv row {number}: found {row['start']!r} as the start; "
                "expected whole seconds"
            )
    listed = (
        (paths.get(f"{row['id']}_{int(row['start']):06d}"), describe_clip([row["label"]]))
        for row in rows
        if row["split"] == split
    )
    expected = "<id>_<start in six digits>.wav, .flac or .mp4"
    classes = (row["label"] for row in rows)
    return build_eval_set("vggsound", split, listed, files, folder, expected, classes)


def _esc(storage: Storage, folder: str, split: str | None, name: str, layout: str) -> EvalSet:
    split = choose_split(split, _ESC_FOLDS, ALL)
    columns = ("filename", "fold", "category", "esc10")
    rows = read_csv_rows(storage, folder, "meta/esc50.csv", columns, layout)
    if name == "esc10":
        rows = [row for row in rows if row["esc10"].lower() == "true"]
    listed = (
        (f"audio/{row['filename']}", describe_clip([row["category"]]))
        for row in rows
        if split in (ALL, row["fold"])
    )
    classes = (row["category"] for row in rows)
    return build_eval_set(
        name,
        split,
        listed,
        list_audio_files(storage, folder, "audio"),
        folder,
        "audio/<filename>",
        classes,
    )
