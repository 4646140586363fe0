"""The data sets by name, and one function that reads any of them."""

from collections.abc import Callable, Mapping

from curation.errors import InputError
from curation.storage.files import Storage
from training.evaluate.evalset import EvalSet
from training.evaluate.readers.captioned import read_audiocaps, read_clotho
from training.evaluate.readers.labelled import (
    read_esc10,
    read_esc50,
    read_urbansound8k,
    read_vggsound,
)
from training.evaluate.readers.multi_label import read_audioset, read_fsd50k

_READERS: Mapping[str, Callable[[Storage, str, str | None], EvalSet]] = {
    "esc50": read_esc50,
    "esc10": read_esc10,
    "urbansound8k": read_urbansound8k,
    "vggsound": read_vggsound,
    "fsd50k": read_fsd50k,
    "audioset": read_audioset,
    "audiocaps": read_audiocaps,
    "clotho": read_clotho,
}

DATASETS = tuple(_READERS)


def read_eval_set(storage: Storage, name: str, folder: str, split: str | None = None) -> EvalSet:
    """Read a split of a data set from its folder, local or on `s3://`.

    Args:
        name: one of `DATASETS`.
        folder: the data set as published; docs/evaluation.md has the layouts.
        split: None for the split on which figures are published.

    Raises InputError for an unknown name or split, a list that is missing or cannot be read, or a
    folder without any listed clip.
    """
    if name not in _READERS:
        raise InputError(f"data set {name!r}: expected one of {', '.join(DATASETS)}")
    return _READERS[name](storage, folder, split)
