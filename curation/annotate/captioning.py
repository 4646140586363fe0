"""The caption stage: candidates are written for clips, guided by their tags."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from curation.annotate.batching import (
    OomThreshold,
    has_not_failed,
    run_with_oom_backoff,
    update_clips,
)
from curation.annotate.clip import AnnotatedClip
from curation.models.captioners.base import Candidate, Captioner, ReusableEncoding
from curation.schema import Failure, Tag

# Every candidate that a captioner is set to write.
ALL_CANDIDATES = slice(0, None)


def caption_clips(
    captioner: Captioner,
    batch: list[AnnotatedClip],
    seed: int,
    drawn: slice = ALL_CANDIDATES,
    threshold: OomThreshold | None = None,
) -> list[AnnotatedClip]:
    """Caption a batch of clips; those the captioner cannot serve fail one by one.

    Args:
        captioner: writes the captions.
        batch: clips with their guidance.
        seed: of the run.
        drawn: the candidates to write; those that a clip has already keep their places. Where not
            all are drawn at once, each clip is encoded once, if the captioner can.
        threshold: what is known of the captioner's memory; None starts from nothing.
    """
    threshold = threshold or OomThreshold()
    if drawn != ALL_CANDIDATES and isinstance(captioner, ReusableEncoding):
        batch = _encode_clips(captioner, batch, threshold)

    def write(clips: list[AnnotatedClip]) -> list[list[Candidate] | Failure]:
        seeds = [clip_seed(seed, clip.clip_id) for clip in clips]
        if drawn != ALL_CANDIDATES and isinstance(captioner, ReusableEncoding):
            encodings = [clip.encoding for clip in clips]
            return captioner.write(encodings, seeds, drawn.start, drawn.stop)
        return captioner.caption(*_inputs(captioner, clips), seeds, drawn.start, drawn.stop)

    rate_hz = captioner.sample_rate_hz
    return update_clips(
        batch,
        lambda clips: run_with_oom_backoff(clips, rate_hz, write, "caption", threshold),
        add_candidates,
    )


def add_candidates(clip: AnnotatedClip, result: list[Candidate] | Failure) -> AnnotatedClip:
    """Add what was written for a clip, or why nothing was, to its candidates; equal ones once."""
    if isinstance(result, Failure):
        return replace(clip, failure=result)
    candidates = _first_of_equal([*clip.candidates, *result])
    if candidates:
        return replace(clip, candidates=candidates)
    return replace(clip, failure=Failure("caption", "no_caption", "the captioner wrote nothing"))


def clip_seed(seed: int, clip_id: str) -> int:
    """The seed of what is sampled for one clip: of the run and the clip alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{clip_id}".encode()).digest()[:8]) >> 1


def _encode_clips(
    captioner: Any, batch: list[AnnotatedClip], threshold: OomThreshold
) -> list[AnnotatedClip]:
    """Encode each clip that is not encoded yet, for all its draws."""
    return update_clips(
        batch,
        lambda clips: run_with_oom_backoff(
            clips,
            captioner.sample_rate_hz,
            lambda part: captioner.encode(*_inputs(captioner, part)),
            "caption",
            threshold,
        ),
        lambda clip, encoding: replace(clip, encoding=encoding),
        lambda clip: has_not_failed(clip) and clip.encoding is None,
    )


def _inputs(
    captioner: Captioner, clips: list[AnnotatedClip]
) -> tuple[list[np.ndarray], list[list[Tag]]]:
    """Waveforms and guidance of clips."""
    rate_hz = captioner.sample_rate_hz
    return [clip.waveform(rate_hz) for clip in clips], [list(clip.guidance) for clip in clips]


def _first_of_equal(candidates: Iterable[Candidate]) -> list[Candidate]:
    by_caption: dict[str, Candidate] = {}
    for candidate in candidates:
        by_caption.setdefault(candidate.caption, candidate)
    return list(by_caption.values())
