"""The caption stage: writes candidate captions for clips, guided by the tags of each clip."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from curation.annotate.batching import (
    OomThreshold,
    has_not_failed,
    run_with_oom_backoff,
    update_clips,
)
from curation.annotate.clip import AnnotatedClip
from curation.annotate.features import add_features, find_front_end, select_features
from curation.models.captioners.base import Candidate, Captioner, ReusableEncoding
from curation.schema import Failure

# Every candidate that a captioner is set to write.
ALL_CANDIDATES = slice(0, None)


def caption_clips(
    captioner: Captioner,
    batch: list[AnnotatedClip],
    seed: int,
    drawn: slice = ALL_CANDIDATES,
    threshold: OomThreshold | None = None,
) -> list[AnnotatedClip]:
    """Write candidate captions for a batch of clips.

    If the captioner cannot process a clip, only that clip fails.

    Args:
        captioner: writes the captions.
        batch: clips with their guidance.
        seed: the seed of the run.
        drawn: the indices of the candidates to write; the clip's other candidates stay. If the
            captioner supports it, a clip is encoded once for all its draws.
        threshold: the known limit of the captioner's memory; None if no limit is known.
    """
    threshold, rate_hz = threshold or OomThreshold(), captioner.sample_rate_hz
    if isinstance(captioner, ReusableEncoding):
        batch = _encode_clips(captioner, batch, threshold)

    def write(clips: list[AnnotatedClip]) -> list[list[Candidate] | Failure]:
        seeds = [clip_seed(seed, clip.clip_id) for clip in clips]
        if isinstance(captioner, ReusableEncoding):
            encodings = [clip.encoding for clip in clips]
            return captioner.write(encodings, seeds, drawn.start, drawn.stop)
        waveforms = [clip.waveform(rate_hz) for clip in clips]
        guidance = [list(clip.guidance) for clip in clips]
        return captioner.caption(waveforms, guidance, seeds, drawn.start, drawn.stop)

    def add(clip: AnnotatedClip, result: list[Candidate] | Failure) -> AnnotatedClip:
        is_last_draw = drawn.stop is None
        return add_candidates(replace(clip, encoding=None) if is_last_draw else clip, result)

    return update_clips(
        batch,
        lambda clips: run_with_oom_backoff(clips, rate_hz, write, "caption", threshold),
        add,
    )


def add_candidates(clip: AnnotatedClip, result: list[Candidate] | Failure) -> AnnotatedClip:
    """Add new candidates without duplicates, or a failure, to the record of a clip."""
    if isinstance(result, Failure):
        return replace(clip, failure=result)
    candidates = _first_of_equal([*clip.candidates, *result])
    if candidates:
        return replace(clip, candidates=candidates)
    return replace(clip, failure=Failure("caption", "no_caption", "the captioner wrote nothing"))


def clip_seed(seed: int, clip_id: str) -> int:
    """Return the seed for sampling captions of a clip, from the run's seed and the clip id."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{clip_id}".encode()).digest()[:8]) >> 1


def _encode_clips(
    captioner: Any, batch: list[AnnotatedClip], threshold: OomThreshold
) -> list[AnnotatedClip]:
    """Encode each clip that is not encoded yet, for all its draws."""
    rate_hz, front_end = captioner.sample_rate_hz, find_front_end(captioner)

    def encode(clips: list[AnnotatedClip]) -> list[Any | Failure]:
        guidance = [list(clip.guidance) for clip in clips]
        if front_end:
            return captioner.encode_features(select_features(clips, front_end), guidance)
        return captioner.encode([clip.waveform(rate_hz) for clip in clips], guidance)

    return update_clips(
        add_features(captioner, batch, "caption", threshold),
        lambda clips: run_with_oom_backoff(clips, rate_hz, encode, "caption", threshold),
        lambda clip, encoding: replace(clip, encoding=encoding),
        lambda clip: has_not_failed(clip) and clip.encoding is None,
    )


def _first_of_equal(candidates: Iterable[Candidate]) -> list[Candidate]:
    by_caption: dict[str, Candidate] = {}
    for candidate in candidates:
        by_caption.setdefault(candidate.caption, candidate)
    return list(by_caption.values())
