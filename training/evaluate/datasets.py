"""The data sets by name, and the one call that reads any of them."""

from collections.abc import Callable, Mapping

from curation.errors import InputError
from training.evaluate.evalset import EvalSet
from training.evaluate.readers.captioned import audiocaps, clotho
from training.evaluate.readers.labelled import esc10, esc50, urbansound8k, vggsound
from training.evaluate.readers.multi_label import audioset, fsd50k

_READERS: Mapping[str, Callable[[str, str | None], EvalSet]] = {
    "esc50": esc50,
    "esc10": esc10,
    "urbansound8k": urbansound8k,
    "vggsound": vggsound,
    "fsd50k": fsd50k,
    "audioset": audioset,
    "audiocaps": audiocaps,
    "clotho": clotho,
}

DATASETS = tuple(_READERS)


def read(name: str, folder: str, split: str | None = None) -> EvalSet:
    """Read a split of a data set out of its folder, which may be local or `s3://`.

    Args:
        name: one of `DATASETS`.
        folder: the data set as published; docs/evaluation.md has the layouts.
        split: None is the split on which figures are published.

    Raises InputError for an unknown name or split, a list that is not there or cannot be read, or
    a folder where no listed clip is found.
    """
    if name not in _READERS:
        raise InputError(f"data set {name!r}: expected one of {', '.join(DATASETS)}")
    return _READERS[name](folder, split)
