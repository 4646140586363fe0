"""Clips embedded by a scorer, once each."""

from dataclasses import replace

import numpy as np

from curation.annotate.batching import (
    OomThreshold,
    has_not_failed,
    run_with_oom_backoff,
    update_clips,
)
from curation.annotate.clip import AnnotatedClip
from curation.models.scorers.base import Scorer
from curation.schema import Failure


def add_embeddings(
    scorer: Scorer, batch: list[AnnotatedClip], threshold: OomThreshold
) -> list[AnnotatedClip]:
    """Embed each clip that has no embedding yet; those that cannot be embedded fail."""
    return update_clips(
        batch,
        lambda clips: compute_embeddings(scorer, clips, threshold),
        lambda clip, embedding: replace(clip, embedding=embedding),
        lambda clip: has_not_failed(clip) and clip.embedding is None,
    )


def compute_embeddings(
    scorer: Scorer, clips: list[AnnotatedClip], threshold: OomThreshold
) -> list[np.ndarray | Failure]:
    """Unit vectors `[dim]`, or a Failure, one a clip."""
    rate_hz = scorer.sample_rate_hz
    return run_with_oom_backoff(
        clips,
        rate_hz,
        lambda part: scorer.embed_audio([clip.waveform(rate_hz) for clip in part]),
        "score",
        threshold,
    )
