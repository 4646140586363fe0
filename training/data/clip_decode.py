"""One clip as an epoch hears it: its caption, its stretch, its samples, and many of them padded.

Runs in whichever process decodes; which clips are heard, and when, is the loader's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from curation.audio.decode import decode_audio
from curation.audio.errors import AudioError
from curation.audio.waveform import from_int16, resample, to_int16
from curation.catalog.clip_bytes import read_clip_bytes
from training.data.table_index import AudioLocation

SCORE_TEMPERATURE = 0.05

# A whole number of samples at every usual rate: embedded and referenced audio are cut alike.
_CROP_STEP_S = 0.04

Samples = npt.NDArray[np.int16]
CaptionSampling = Literal["uniform", "rank", "score"]


@dataclass(frozen=True)
class TrainingExample:
    """What is heard of a clip in one epoch, and the caption that goes with it.

    A clip heard `whole` is heard alike in every epoch.
    """

    clip: int
    location: AudioLocation
    caption: str
    whole: bool


def caption_probabilities(
    choice: CaptionSampling,
    ranks: npt.NDArray[np.int32],
    clap_scores: npt.NDArray[np.float32],
) -> npt.NDArray[np.float64]:
    """The probability of each of a clip's captions, `[caption]`; see `LoaderConfig`."""
    if choice == "uniform":
        weights = np.ones(len(ranks))
    elif choice == "rank":
        weights = 1.0 / ranks
    else:
        above = (clap_scores - clap_scores.max()).astype(np.float64)
        weights = np.exp(above / SCORE_TEMPERATURE)
    return weights / weights.sum()


def crop_location(
    location: AudioLocation, crop_s: float, surplus_s: float, draw: float
) -> AudioLocation:
    """The stretch of `crop_s` at the place drawn in 0..1, where a clip is longer by `surplus_s`."""
    if surplus_s <= 0:
        return location
    offset_s = _CROP_STEP_S * int(draw * (int(surplus_s / _CROP_STEP_S) + 1))
    start_s = location.start_s + offset_s
    return AudioLocation(location.uri, start_s, start_s + crop_s, location.embedded)


def decode_training_clip(location: AudioLocation, sample_rate_hz: int) -> Samples:
    """The sound of a clip as int16 `[sample]`. Raises AudioError, OSError."""
    data, name = read_clip_bytes(location.uri)
    heard = decode_audio(data, name, location.start_s, location.end_s, float("inf"))
    waveform = heard.waveform
    if location.embedded:
        # The very samples written: to_int16 takes 32767 for full scale, libsndfile 32768.
        waveform = from_int16(np.rint(waveform * np.float32(32768)).astype(np.int16))
    return to_int16(resample(waveform, heard.sample_rate_hz, sample_rate_hz))


@dataclass(frozen=True)
class DecodedBatch:
    """A batch's sound: int16 `[row, sample]`, samples of each row, why rows could not be read."""

    waveforms: Tensor
    lengths: list[int]
    failures: dict[int, str]


class BatchDecoder(Dataset[DecodedBatch]):
    """Samples become sound, in whichever process; it knows nothing else, so it is sent at once.

    Clips heard whole are kept as they were decoded, up to `cache_bytes` in each process.
    """

    def __init__(self, sample_rate_hz: int, cache_bytes: int = 0) -> None:
        self.sample_rate_hz = sample_rate_hz
        self._free_bytes = cache_bytes
        self._cache: dict[int, Samples] = {}

    def __getitem__(self, samples: list[TrainingExample]) -> DecodedBatch:
        heard: list[Samples] = []
        failures: dict[int, str] = {}
        for row, sample in enumerate(samples):
            try:
                heard.append(self._decode(sample))
            except (AudioError, OSError) as error:
                failures[row] = str(error)
                heard.append(np.zeros(0, np.int16))
        waveforms, lengths = pad_waveforms(heard)
        if get_worker_info() is not None:
            # Else the queue's own thread does it, and aborts the process when it ends meanwhile.
            waveforms.share_memory_()
        return DecodedBatch(waveforms, lengths, failures)

    def _decode(self, sample: TrainingExample) -> Samples:
        if sample.clip in self._cache:
            return self._cache[sample.clip]
        samples = decode_training_clip(sample.location, self.sample_rate_hz)
        if sample.whole and samples.nbytes <= self._free_bytes:
            self._free_bytes -= samples.nbytes
            self._cache[sample.clip] = samples
        return samples


def pad_waveforms(waveforms_int16: Sequence[Samples]) -> tuple[Tensor, list[int]]:
    """Zero-padded int16 `[row, sample]`, and the samples of each row."""
    lengths = [len(samples) for samples in waveforms_int16]
    waveforms = torch.zeros(len(waveforms_int16), max(lengths), dtype=torch.int16)
    for row, samples in enumerate(waveforms_int16):
        waveforms[row, : len(samples)] = torch.from_numpy(samples)
    return waveforms, lengths
