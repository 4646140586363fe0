"""A batch of waveforms and captions, as the loader returns it."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class AudioTextBatch:
    """This rank's rows of one global batch.

    Attributes:
        waveforms: int16 `[row, sample]`; samples after a clip's end are zero.
        lengths: number of samples of each clip, int64 `[row]`.
        captions: one per row.
        clips: index of each row's clip in the table index, int64 `[row]`.
        epoch: number of the epoch, from 0.
        index: number of the batch within its epoch, from 0.
        start: index of the first row within the global batch.
        global_rows: number of rows of all ranks.
        replaced: for each unreadable clip, the reason and its replacement.
    """

    waveforms: Tensor
    lengths: Tensor
    captions: list[str]
    clips: Tensor
    epoch: int
    index: int
    start: int
    global_rows: int
    replaced: list[str]
