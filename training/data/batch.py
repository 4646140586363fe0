"""A batch of waveforms and captions, as the loader returns it."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class AudioTextBatch:
    """This rank's rows of one global batch.

    Attributes:
        waveforms: int16 `[row, sample]`, zero after a clip's end.
        lengths: samples of each clip, int64 `[row]`.
        captions: one a row.
        clips: which clip of the pairs each row is, int64 `[row]`.
        epoch: from 0.
        index: of the batch within its epoch, from 0.
        start: the first row's place within the global batch.
        global_rows: rows of all ranks together.
        replaced: for each clip that could not be read, why, and which took its place.
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
