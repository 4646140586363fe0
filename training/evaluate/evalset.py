"""What every data set becomes before it is evaluated: clips with their labels or captions."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EvalClip:
    """One clip. It has labels or captions, by the kind of its data set.

    Attributes:
        name: the file's path within the data set's folder.
        uri: where the file lies.
        size_bytes: the file's size.
        start_s, end_s: the segment to hear, None for the file's beginning and end.
        labels: the true classes; exactly one where the data set is not multi-label.
        captions: what people wrote of it.
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
    """A split of a data set: the clips that are there, and how many listed ones are `missing`.

    `classes` is empty if clips have captions; else all labels are among them.
    """

    name: str
    split: str
    clips: tuple[EvalClip, ...]
    classes: tuple[str, ...]
    multi_label: bool
    missing: int
