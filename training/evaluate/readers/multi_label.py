"""Reads data sets with several classes per clip: FSD50K and AudioSet."""

from collections.abc import Iterator

from curation.catalog.catalog import list_clips
from curation.config.catalog import AudiosetConfig
from curation.errors import InputError
from curation.storage.files import Storage
from curation.tags import ontology
from curation.uris import absolute_uri, join_uri
from training.evaluate.evalset import EvalClip, EvalSet
from training.evaluate.readers.listing import (
    build_eval_set,
    choose_split,
    describe_clip,
    list_audio_files,
    read_csv_rows,
)

_AUDIOSET_SPLITS = ("eval", "balanced_train", "unbalanced_train")


def read_fsd50k(storage: Storage, folder: str, split: str | None) -> EvalSet:
    """FSD50K (Fonseca 2022): 200 classes; splits `eval` (default) and `dev`.

    The published labels of a clip contain the classes that they imply.

    Raises InputError, as all readers here, for a folder or split that the data set does not have.
    """
    split = choose_split(split, ("eval", "dev"), "eval")
    path, audio = f"FSD50K.ground_truth/{split}.csv", f"FSD50K.{split}_audio"
    rows = read_csv_rows(
        storage, folder, path, ("fname", "labels"), f"FSD50K as published: {path} and {audio}/"
    )
    labels = [row["labels"].split(",") for row in rows]
    listed = (
        (f"{audio}/{row['fname']}.wav", describe_clip(names))
        for row, names in zip(rows, labels, strict=True)
    )
    classes = (label for names in labels for label in names)
    files = list_audio_files(storage, folder, audio)
    return build_eval_set(
        "fsd50k", split, listed, files, folder, f"{audio}/<fname>.wav", classes, True
    )


def read_audioset(storage: Storage, folder: str, split: str | None) -> EvalSet:
    """AudioSet (Gemmeke 2017): 527 classes; splits `eval` (default) and the two `_train` lists.

    The list is `<split>_segments.csv`. Cut clips may be anywhere below the folder, under the names
    of the `audioset` catalog. A class implies its parent if it has only one parent.
    """
    split = choose_split(split, _AUDIOSET_SPLITS, "eval")
    segments = join_uri(folder, f"{split}_segments.csv")
    if not storage.exists(segments):
        raise InputError(
            f"{folder}: no {split}_segments.csv; expected AudioSet's list, and clips named by "
            "YouTube id below the folder"
        )
    listing = list_clips(storage, AudiosetConfig(segments=segments, audio=folder))
    files = list_audio_files(storage, folder)
    root = absolute_uri(folder).rstrip("/")

    def listed() -> Iterator[tuple[str | None, EvalClip]]:
        for row in listing.clips.select(["uri", "tags"]).to_pylist():
            targets = ontology.evaluation_targets(tag["mid"] for tag in row["tags"])
            path = row["uri"] and row["uri"][len(root) + 1 :]
            yield path, describe_clip(sorted(map(ontology.class_name, targets)))

    classes = map(ontology.class_name, ontology.labelled_mids())
    expected = "files named <YouTube id>_<start>, with any extension of audio"
    return build_eval_set("audioset", split, listed(), files, folder, expected, classes, True)
