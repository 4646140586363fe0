"""Defines the common form of all data sets: clips with their labels or captions."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EvalClip:
    """One clip. It has labels or captions, depending on its data set.

    Attributes:
        name: the file's path within the data set's folder.
        uri: the URI of the file.
        size_bytes: the file's size.
        start_s, end_s: start and end of the clip in the file; None for the file's beginning and
            end.
        labels: the true classes; exactly one if the data set is not multi-label.
        captions: captions written by people.
    """

    name: str
    uri: str
    size_bytes: int
    start_s: float | None = None
    end_s: float | None = None
    labels: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()


@dataclass(frozen=True)
class EvalSet:
    """A split of a data set: the clips that have a file, and the number of `missing` clips.

    `classes` contains all labels, and is empty if the clips have captions.
    """

    name: str
    split: str
    clips: tuple[EvalClip, ...]
    classes: tuple[str, ...]
    multi_label: bool
    missing: int
