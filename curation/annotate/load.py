"""The load stage: reads clips from storage and decodes them before the models need them.

`audio.decode` does the decoding. A clip that cannot be read or decoded becomes a record with a
`Failure`, so every planned clip has a record.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

from curation.annotate.clip import AnnotatedClip, ClipAudio, LoadCost, PlannedClip
from curation.audio.decode import check_audible, decode_audio, sha256_hex
from curation.audio.errors import AudioError
from curation.audio.waveform import measure_levels, resample, to_int16
from curation.catalog.clip_bytes import read_clip_bytes
from curation.config.run import AudioConfig
from curation.schema import Failure
from curation.storage.files import Storage
from curation.storage.read_budget import ObjectTooLargeError, ReadBudget, ReadReservation
from curation.storage.retry import RetriesExhausted, count_faults

# Clips decoded ahead and sorted by length together; bounds memory, and fixes the batches. A shard's
# first chunk is small and the next ones double, so that its models wait for few clips.
FIRST_CHUNK_CLIPS = 16
CHUNK_CLIPS = 128

T = TypeVar("T")


class EncodedClip(NamedTuple):
    """The bytes of a clip's audio file, or the reason why the file could not be read.

    `name` is the name of the file in messages.
    """

    data: bytes = b""
    name: str = ""
    failure: Failure | None = None
    read_s: float = 0.0
    faults: Mapping[str, int] = {}


@dataclass(frozen=True)
class DecodeSettings:
    """The audio settings of a run, and the sample rates that its models take."""

    audio: AudioConfig
    sample_rates_hz: tuple[int, ...]


class AudioLoader:
    """Loads clips with two groups of threads: readers read files ahead, and decoders decode them.

    There are more readers than decoders, because readers wait for storage and decoders use the CPU.
    A budget in bytes bounds the encoded audio that is read and not yet decoded.
    """

    def __init__(self, settings: DecodeSettings, storage: Storage, decode_threads: int) -> None:
        self.budget = ReadBudget(storage.settings.read_ahead_mb * 2**20)
        self._storage = storage
        self._settings = settings
        self._readers = ThreadPoolExecutor(storage.settings.readers)
        self._decoders = ThreadPoolExecutor(decode_threads)

    def submit(self, clips: Sequence[PlannedClip]) -> list[Future[AnnotatedClip]]:
        """Start loading these clips, and return a future for each clip, in order."""
        loads = [_Load(clip, ReadReservation(self.budget), Future()) for clip in clips]
        for load in loads:
            self._readers.submit(self._read, load)
        return [load.result for load in loads]

    def _read(self, load: "_Load") -> None:
        try:
            encoded = read_clip(self._storage, load.clip, load.reservation.acquire)
            self._decoders.submit(self._decode, load, encoded)
        except BaseException as error:
            load.reservation.release()
            load.result.set_exception(error)

    def _decode(self, load: "_Load", encoded: EncodedClip) -> None:
        try:
            try:
                loaded = decode_clip(load.clip, encoded, self._settings)
            finally:
                load.reservation.release()
            load.result.set_result(loaded)
        except BaseException as error:
            load.result.set_exception(error)


class _Load(NamedTuple):
    """One clip on its way through the loader's threads."""

    clip: PlannedClip
    reservation: ReadReservation
    result: Future[AnnotatedClip]


def load_clip(storage: Storage, clip: PlannedClip, settings: DecodeSettings) -> AnnotatedClip:
    """Read and decode one clip in the calling thread."""
    return decode_clip(clip, read_clip(storage, clip), settings)


def read_clip(
    storage: Storage, clip: PlannedClip, reserve: Callable[[int], None] | None = None
) -> EncodedClip:
    """Read the audio file of a clip, unless the clip has failed.

    `reserve` is called with the size in bytes before the file is read. If it raises, the clip
    fails.
    """
    if clip.failure:
        return EncodedClip(failure=clip.failure)
    assert clip.uri is not None
    started_s = time.perf_counter()
    data, name, failure = b"", "", None
    with count_faults() as faults:
        try:
            data, name = read_clip_bytes(storage, clip.uri, reserve)
        except RetriesExhausted as error:
            failure = Failure("read", error.kind, str(error))
        except ObjectTooLargeError as error:
            failure = Failure("read", "too_large", f"{clip.uri} has {error}")
        except Exception as error:  # Whatever it is, it fails this clip alone.
            failure = Failure("read", type(error).__name__, str(error))
    return EncodedClip(data, name, failure, time.perf_counter() - started_s, faults)


def decode_clip(clip: PlannedClip, encoded: EncodedClip, settings: DecodeSettings) -> AnnotatedClip:
    """Decode the bytes of a clip, measure the audio, and convert it to each model's rate.

    The samples are int16 for `placement: fused` and `placement: separate`. Int16 takes half the
    memory of float32, and the models get the same samples whether or not the clip was sent through
    Ray's object store.
    """
    audio, failure = ClipAudio(clip.start_s, clip.end_s), encoded.failure
    started_s = time.perf_counter()
    if failure is None:
        audio, failure = _decode_and_measure(audio, encoded, settings)
        decode_s = time.perf_counter() - started_s
    else:
        decode_s = 0.0
    cost = LoadCost(len(encoded.data), encoded.read_s, decode_s, encoded.faults)
    return AnnotatedClip(clip, audio, cost, clip.tags, failure=failure)


def _decode_and_measure(
    audio: ClipAudio, encoded: EncodedClip, settings: DecodeSettings
) -> tuple[ClipAudio, Failure | None]:
    """The audio, as far as decoding and its checks got, and why they stopped."""
    try:
        audio = replace(audio, sha256=sha256_hex(encoded.data))
        decoded = decode_audio(
            encoded.data,
            encoded.name,
            audio.start_s,
            audio.end_s,
            settings.audio.max_duration_s,
            audio.sha256,
        )
        levels, rate_hz = measure_levels(decoded.waveform), decoded.sample_rate_hz
        audio = replace(
            audio,
            start_s=decoded.start_s,
            end_s=decoded.end_s,
            duration_s=decoded.duration_s,
            sample_rate_hz=rate_hz,
            levels=levels if math.isfinite(levels.rms_dbfs) else None,
        )
        check_audible(decoded, levels, encoded.name, settings.audio.silence_dbfs)
        waveforms = {
            rate: to_int16(resample(decoded.waveform, rate_hz, rate))
            for rate in settings.sample_rates_hz
        }
    except AudioError as error:
        return audio, Failure("decode", error.kind, str(error))
    except Exception as error:
        return audio, Failure("decode", type(error).__name__, str(error))
    return replace(audio, waveforms=waveforms), None


def split_chunks(clips: Sequence[T]) -> list[list[T]]:
    """Split a shard's clips into chunks. Each chunk is decoded and cut into batches as a whole."""
    chunks: list[list[T]] = []
    start, size = 0, FIRST_CHUNK_CLIPS
    while start < len(clips):
        chunks.append(list(clips[start : start + size]))
        start, size = start + size, min(2 * size, CHUNK_CLIPS)
    return chunks


def load_chunks_ahead(
    clips: Sequence[PlannedClip], loader: AudioLoader, on_wait: Callable[[], None] = lambda: None
) -> Iterator[list[AnnotatedClip]]:
    """Yield the loaded chunks in order. While the caller processes a chunk, the next one loads.

    If a chunk has not finished loading when it is needed, `on_wait` is called before the wait.
    """
    # One after the other: of two submitted at once, the first would be decoded last.
    submitted = map(loader.submit, split_chunks(clips))
    ahead = next(submitted, None)
    while ahead is not None:
        if not all(future.done() for future in ahead):
            on_wait()
        loaded = [future.result() for future in ahead]
        ahead = next(submitted, None)
        yield loaded
        del loaded  # its waveforms must not wait in memory for the next chunk
