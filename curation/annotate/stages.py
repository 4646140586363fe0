"""The stages a clip goes through, as plain code: decode, caption, and its evidence row.

Those between are in `tagging` and `scoring`. Nothing here knows of Ray; `annotate` places the
stages on a cluster. A clip that a stage cannot serve carries a `Failure` from there on and is
passed over, so that every clip that goes in comes out as one evidence row.
"""

import hashlib
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from curation.annotate.batching import OomThreshold, run_with_oom_backoff
from curation.audio.decode import check_audible, decode_audio, sha256_hex
from curation.audio.errors import AudioError
from curation.audio.waveform import Levels, from_int16, measure_levels, resample, to_int16
from curation.catalog.clip_bytes import read_clip_bytes
from curation.config.run import AudioConfig
from curation.models.captioners.base import Candidate, Captioner, ReusableEncoding
from curation.schema import ERROR, EVIDENCE_SCHEMA, OK, Failure, Tag
from curation.storage.files import Storage
from curation.storage.read_budget import ObjectTooLargeError, ReadBudget, ReadReservation
from curation.storage.retry import RetriesExhausted, count_faults
from curation.tags.guidance import class_phrase

# Clips decoded ahead and sorted by length together; bounds memory, and fixes the batches. A shard's
# first chunk is small and the next ones double, so that its models wait for few clips.
FIRST_CHUNK_CLIPS = 16
CHUNK_CLIPS = 128

# Every candidate that a captioner is set to write.
ALL = slice(0, None)


@dataclass
class Clip:
    """A planned clip and what has been learned of it so far."""

    clip_id: str
    uri: str | None
    start_s: float | None
    end_s: float | None
    tags: list[Tag]
    duration_s: float | None = None
    sample_rate_hz: int | None = None
    levels: Levels | None = None
    audio_sha256: str | None = None
    waveforms: dict[int, np.ndarray] = field(default_factory=dict)  # int16, by rate in Hz
    guidance: list[Tag] = field(default_factory=list)
    tag_scores: list[float] | None = None  # of `tags`, where they were verified
    heard: Any = None  # what a captioner that draws twice goes on from (`HearsOnce`)
    candidates: list[Candidate] = field(default_factory=list)
    clap_scores: list[float] = field(default_factory=list)
    second_scores: list[float] = field(default_factory=list)
    agreement: float | None = None
    embedding: np.ndarray | None = None
    failure: Failure | None = None
    encoded_bytes: int = 0
    read_s: float = 0.0  # what reading took, and decoding
    decode_s: float = 0.0
    faults: dict[str, int] = field(default_factory=dict)  # of storage, by kind, while it was read


class Encoded(NamedTuple):
    """A clip's audio as it lies in storage, and a name for it in messages."""

    data: bytes
    name: str


@dataclass(frozen=True)
class Listening:
    """What the decode stage needs to know: where silence lies, and who listens at which rate."""

    audio: AudioConfig
    sample_rates_hz: tuple[int, ...]


def clips_of(planned: pa.Table) -> list[Clip]:
    """The clips of a shard as planned (CLIP_SCHEMA); those without audio have already failed."""
    clips = []
    for row in planned.to_pylist():
        clip = Clip(
            clip_id=row["clip_id"],
            uri=row["uri"],
            start_s=row["start_s"],
            end_s=row["end_s"],
            tags=[Tag(**tag) for tag in row["tags"]],
        )
        if clip.uri is None:
            clip.failure = Failure(
                "catalog", "missing", "listed in the catalog, but its audio was not found"
            )
        clips.append(clip)
    return clips


def chunks(clips: Sequence[Clip]) -> list[list[Clip]]:
    """A shard's clips in the runs that are decoded, sorted by length and batched together."""
    cut: list[list[Clip]] = []
    start, size = 0, FIRST_CHUNK_CLIPS
    while start < len(clips):
        cut.append(list(clips[start : start + size]))
        start, size = start + size, min(2 * size, CHUNK_CLIPS)
    return cut


class Hearing:
    """Threads that read clips ahead, within a budget of bytes, and threads that decode them.

    Reading waits and decoding works, so there are many of the former; what they have read and
    nobody has decoded yet is all the encoded audio that this process holds.
    """

    def __init__(self, listening: Listening, storage: Storage, decode_threads: int) -> None:
        self.budget = ReadBudget(storage.settings.read_ahead_mb * 2**20)
        self._storage = storage
        self._listening = listening
        self._readers = ThreadPoolExecutor(storage.settings.readers)
        self._decoders = ThreadPoolExecutor(decode_threads)

    def submit(self, clips: Sequence[Clip]) -> list[Future[Future[Clip]]]:
        """Begin to read these clips, in order; each is read first, then decoded."""
        return [self._readers.submit(self._read, clip) for clip in clips]

    def _read(self, clip: Clip) -> Future[Clip]:
        reservation = ReadReservation(self.budget)
        try:
            encoded = read(self._storage, clip, reservation.acquire)
        except BaseException:
            reservation.release()
            raise
        return self._decoders.submit(self._decode, clip, encoded, reservation)

    def _decode(self, clip: Clip, encoded: Encoded | None, reservation: ReadReservation) -> Clip:
        try:
            return decode_read(clip, encoded, self._listening)
        finally:
            reservation.release()


def decode(storage: Storage, clip: Clip, listening: Listening) -> Clip:
    """Read and decode one clip, here and now."""
    return decode_read(clip, read(storage, clip), listening)


def read(
    storage: Storage, clip: Clip, reserve: Callable[[int], None] | None = None
) -> Encoded | None:
    """A clip's encoded audio; None where it has failed, or fails here.

    `reserve` is called with its size before it is read; a size that it refuses fails the clip.
    """
    if clip.failure:
        return None
    assert clip.uri is not None
    begun_s = time.perf_counter()
    try:
        with count_faults() as clip.faults:
            encoded = Encoded(*read_clip_bytes(storage, clip.uri, reserve))
        clip.encoded_bytes = len(encoded.data)
        return encoded
    except RetriesExhausted as error:
        clip.failure = Failure("read", error.kind, str(error))
    except ObjectTooLargeError as error:
        clip.failure = Failure("read", "too_large", f"{clip.uri} has {error}")
    except Exception as error:  # One clip's fault, whatever it is, is that clip's row.
        clip.failure = Failure("read", type(error).__name__, str(error))
    finally:
        clip.read_s = time.perf_counter() - begun_s
    return None


def decode_read(clip: Clip, encoded: Encoded | None, listening: Listening) -> Clip:
    """Decode what was read, measure it, and keep it as int16 at each listener's rate.

    Int16 in every placement: half the memory of float32, and the same samples reach the models
    whether the clip crossed the object store or not.
    """
    if encoded is None:
        return clip
    data, name = encoded.data, encoded.name
    begun_s = time.perf_counter()
    try:
        clip.audio_sha256 = sha256_hex(data)
        heard = decode_audio(data, name, clip.start_s, clip.end_s, listening.audio.max_duration_s)
        clip.start_s, clip.end_s, clip.duration_s = heard.start_s, heard.end_s, heard.duration_s
        clip.sample_rate_hz = heard.sample_rate_hz
        found = measure_levels(heard.waveform)
        clip.levels = found if math.isfinite(found.rms_dbfs) else None
        check_audible(heard, name, listening.audio.silence_dbfs)
        for rate in listening.sample_rates_hz:
            clip.waveforms[rate] = to_int16(resample(heard.waveform, heard.sample_rate_hz, rate))
    except AudioError as error:
        clip.failure = Failure("decode", error.type, str(error))
    except Exception as error:
        clip.failure = Failure("decode", type(error).__name__, str(error))
    clip.decode_s = time.perf_counter() - begun_s
    return clip


def decode_ahead(
    clips: Sequence[Clip], hearing: Hearing, on_wait: Callable[[], None] = lambda: None
) -> Iterator[list[Clip]]:
    """Decoded chunks in order, the next one decoding while the caller works on this one.

    `on_wait` is called before each chunk that is not decoded by the time it is wanted.
    """
    # One after the other: of two begun at once, the first would be decoded last.
    submitted = map(hearing.submit, chunks(clips))
    ahead = next(submitted, None)
    while ahead is not None:
        if not all(future.done() and future.result().done() for future in ahead):
            on_wait()
        decoded = [future.result().result() for future in ahead]
        ahead = next(submitted, None)
        yield decoded


def faults(clips: Iterable[Clip]) -> dict[str, int]:
    """Faults of storage, by kind, that reading these clips took."""
    total: Counter[str] = Counter()
    for clip in clips:
        total.update(clip.faults)
    return dict(sorted(total.items()))


def write_captions(
    captioner: Captioner,
    batch: list[Clip],
    seed: int,
    drawn: slice = ALL,
    limit: OomThreshold | None = None,
) -> None:
    """Caption a batch of clips; those the captioner cannot serve fail one by one.

    Args:
        drawn: the candidates to write; those that a clip has already keep their places.
        limit: what is known of the captioner's memory; None forgets what is learned here.
    """
    written = run_with_oom_backoff(
        batch,
        captioner.sample_rate_hz,
        lambda part: _captions(captioner, part, seed, drawn),
        "caption",
        limit or OomThreshold(),
    )
    for clip, result in zip(batch, written, strict=True):
        take_candidates(clip, result)


def take_candidates(clip: Clip, result: list[Candidate] | Failure) -> None:
    """Put what was written for a clip, or why nothing was, behind what it has already."""
    if isinstance(result, Failure):
        clip.failure = result
        return
    clip.candidates = _distinct([*clip.candidates, *result])
    if not clip.candidates:
        clip.failure = Failure("caption", "no_caption", "the captioner wrote nothing")


def _captions(
    captioner: Captioner, clips: list[Clip], seed: int, drawn: slice
) -> list[list[Candidate] | Failure]:
    """The candidates drawn; where not all are, each clip is heard once, if the captioner can."""
    seeds = [clip_seed(seed, clip.clip_id) for clip in clips]
    if drawn == ALL or not isinstance(captioner, ReusableEncoding):
        return captioner.caption(*_heard_by(captioner, clips), seeds, drawn.start, drawn.stop)
    if new := [clip for clip in clips if clip.heard is None]:
        for clip, heard in zip(new, captioner.encode(*_heard_by(captioner, new)), strict=True):
            clip.heard = heard
    return captioner.write([clip.heard for clip in clips], seeds, drawn.start, drawn.stop)


def _heard_by(captioner: Captioner, clips: list[Clip]) -> tuple[list[np.ndarray], list[list[Tag]]]:
    """Clips as a captioner is given them: waveforms and guidance."""
    rate = captioner.sample_rate_hz
    waveforms = [from_int16(clip.waveforms[rate]) for clip in clips]
    return waveforms, [clip.guidance for clip in clips]


def _distinct(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Of equal captions the first."""
    by_caption: dict[str, Candidate] = {}
    for candidate in candidates:
        by_caption.setdefault(candidate.caption, candidate)
    return list(by_caption.values())


def clip_seed(seed: int, clip_id: str) -> int:
    """The seed of what is sampled for one clip: of the run and the clip alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{clip_id}".encode()).digest()[:8]) >> 1


def evidence(clips: Sequence[Clip]) -> pa.Table:
    """The evidence rows (EVIDENCE_SCHEMA) of clips that went through all stages, in order."""
    return pa.Table.from_pylist([_row(clip) for clip in clips], schema=EVIDENCE_SCHEMA)


def _row(clip: Clip) -> dict[str, Any]:
    failure = clip.failure
    return {
        "clip_id": clip.clip_id,
        "uri": clip.uri,
        "start_s": clip.start_s,
        "end_s": clip.end_s,
        "duration_s": clip.duration_s,
        "sample_rate_hz": clip.sample_rate_hz,
        "peak_dbfs": clip.levels.peak_dbfs if clip.levels else None,
        "rms_dbfs": clip.levels.rms_dbfs if clip.levels else None,
        "audio_sha256": clip.audio_sha256,
        "tags": [vars(tag) for tag in clip.tags],
        "tag_scores": clip.tag_scores,
        "guidance": [class_phrase(tag.mid) for tag in clip.guidance],
        "candidates": [
            {**vars(candidate), "clap_score": first, "second_score": second}
            for candidate, first, second in zip_longest(
                clip.candidates, clip.clap_scores, clip.second_scores
            )
        ]
        if failure is None
        else [],
        "scorer_agreement": clip.agreement,
        "audio_embedding": None if clip.embedding is None else clip.embedding.astype(np.float16),
        "outcome": ERROR if failure else OK,
        "error": vars(failure) if failure else None,
    }
