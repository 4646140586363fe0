"""Builds the evidence rows, a table of the results of all stages for each clip."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from curation.annotate.clip import AnnotatedClip
from curation.schema import ERROR, EVIDENCE_SCHEMA, OK, Failure
from curation.tags.guidance import class_phrase


def build_evidence_table(clips: Sequence[AnnotatedClip]) -> pa.Table:
    """Build the evidence rows (EVIDENCE_SCHEMA) of processed clips, in the order of the clips."""
    return pa.Table.from_pylist([_build_row(clip) for clip in clips], schema=EVIDENCE_SCHEMA)


def count_read_faults(clips: Iterable[AnnotatedClip]) -> dict[str, int]:
    """Count the storage faults that occurred while these clips were read, by kind."""
    total: Counter[str] = Counter()
    for clip in clips:
        total.update(clip.cost.faults)
    return dict(sorted(total.items()))


def count_failed_second_draws(clips: Iterable[AnnotatedClip]) -> dict[str, int]:
    """Count the clips whose second draw failed, by `stage/type` of the error."""
    failures = [clip.second_draw_failure for clip in clips if clip.second_draw_failure]
    return dict(sorted(Counter(f"{each.stage}/{each.kind}" for each in failures).items()))


def _build_row(clip: AnnotatedClip) -> dict[str, Any]:
    planned, audio, failure = clip.planned, clip.audio, clip.failure
    return {
        "clip_id": planned.clip_id,
        "uri": planned.uri,
        "start_s": audio.start_s,
        "end_s": audio.end_s,
        "duration_s": audio.duration_s,
        "sample_rate_hz": audio.sample_rate_hz,
        "peak_dbfs": audio.levels.peak_dbfs if audio.levels else None,
        "rms_dbfs": audio.levels.rms_dbfs if audio.levels else None,
        "audio_sha256": audio.sha256,
        "tags": [vars(tag) for tag in clip.tags],
        "tag_scores": None if clip.tag_scores is None else list(clip.tag_scores),
        "guidance": [class_phrase(tag.mid) for tag in clip.guidance],
        "candidates": [] if failure else [vars(candidate) for candidate in clip.candidates],
        "scorer_agreement": clip.agreement,
        "audio_embedding": None if clip.embedding is None else clip.embedding.astype(np.float16),
        "outcome": ERROR if failure else OK,
        "error": _build_error(failure) if failure else None,
    }


def _build_error(failure: Failure) -> dict[str, str]:
    return {"stage": failure.stage, "type": failure.kind, "message": failure.message}
