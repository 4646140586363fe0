"""Decodes a clip to int16 samples, or the clips of a batch to padded waveforms.

The loader decides which clips are decoded, and when.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from curation.audio.decode import decode_audio
from curation.audio.errors import AudioError
from curation.audio.waveform import from_int16, resample, to_int16
from curation.catalog.clip_bytes import read_clip_bytes
from curation.storage.files import Storage
from training.data.sampling import TrainingExample
from training.data.table_index import AudioLocation

Samples = npt.NDArray[np.int16]


def decode_training_clip(storage: Storage, location: AudioLocation, sample_rate_hz: int) -> Samples:
    """Decode a clip to int16 `[sample]`. Raises AudioError, OSError."""
    data, name = read_clip_bytes(storage, location.uri)
    decoded = decode_audio(data, name, location.start_s, location.end_s, float("inf"))
    waveform = decoded.waveform
    if location.embedded:
        # The very samples written: to_int16 takes 32767 for full scale, libsndfile 32768.
        waveform = from_int16(np.rint(waveform * np.float32(32768)).astype(np.int16))
    return to_int16(resample(waveform, decoded.sample_rate_hz, sample_rate_hz))


@dataclass(frozen=True)
class DecodedBatch:
    """Audio of a batch: int16 `[row, sample]`, samples of each row, and errors by failed row."""

    waveforms: Tensor
    lengths: list[int]
    failures: dict[int, str]


class BatchDecoder(Dataset[DecodedBatch]):
    """Decodes the clips of a batch. It is small when pickled, so any process can receive it.

    Clips that are not cropped are cached after decoding, up to `cache_bytes` in each process.
    """

    def __init__(self, storage: Storage, sample_rate_hz: int, cache_bytes: int = 0) -> None:
        self._storage = storage
        self.sample_rate_hz = sample_rate_hz
        self._free_bytes = cache_bytes
        self._cache: dict[int, Samples] = {}

    def __getitem__(self, samples: list[TrainingExample]) -> DecodedBatch:
        waveforms_int16: list[Samples] = []
        failures: dict[int, str] = {}
        for row, sample in enumerate(samples):
            try:
                waveforms_int16.append(self._decode(sample))
            except (AudioError, OSError) as error:
                failures[row] = str(error)
                waveforms_int16.append(np.zeros(0, np.int16))
        waveforms, lengths = pad_waveforms(waveforms_int16)
        if get_worker_info() is not None:
            # Else the queue's own thread does it, and aborts the process when it ends meanwhile.
            waveforms.share_memory_()
        return DecodedBatch(waveforms, lengths, failures)

    def _decode(self, sample: TrainingExample) -> Samples:
        if sample.clip in self._cache:
            return self._cache[sample.clip]
        samples = decode_training_clip(self._storage, sample.location, self.sample_rate_hz)
        if sample.whole and samples.nbytes <= self._free_bytes:
            self._free_bytes -= samples.nbytes
            self._cache[sample.clip] = samples
        return samples


def pad_waveforms(waveforms_int16: Sequence[Samples]) -> tuple[Tensor, list[int]]:
    """Pad waveforms with zeros to int16 `[row, sample]`; also return the samples of each row."""
    lengths = [len(samples) for samples in waveforms_int16]
    waveforms = torch.zeros(len(waveforms_int16), max(lengths), dtype=torch.int16)
    for row, samples in enumerate(waveforms_int16):
        waveforms[row, : len(samples)] = torch.from_numpy(samples)
    return waveforms, lengths
