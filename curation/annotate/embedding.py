"""Embeds clips with a scorer. Each clip is embedded only once."""

from dataclasses import replace
from typing import Any, cast

import numpy as np

from curation.annotate.batching import (
    OomThreshold,
    has_not_failed,
    run_with_oom_backoff,
    update_clips,
)
from curation.annotate.clip import AnnotatedClip
from curation.annotate.features import add_features, find_front_end, select_features
from curation.models.scorers.base import Scorer
from curation.schema import Failure


def add_embeddings(
    scorer: Scorer, batch: list[AnnotatedClip], threshold: OomThreshold
) -> list[AnnotatedClip]:
    """Embed each clip that has no embedding yet. A clip that cannot be embedded fails."""
    return update_clips(
        add_features(scorer, batch, "score", threshold),
        lambda clips: compute_embeddings(scorer, clips, threshold),
        lambda clip, embedding: replace(clip, embedding=embedding),
        lambda clip: has_not_failed(clip) and clip.embedding is None,
    )


def compute_embeddings(
    scorer: Scorer, clips: list[AnnotatedClip], threshold: OomThreshold
) -> list[np.ndarray | Failure]:
    """Return a unit vector `[dim]` or a Failure for each clip.

    The clips must have the features that the scorer takes.
    """
    rate_hz, front_end = scorer.sample_rate_hz, find_front_end(scorer)

    def embed(part: list[AnnotatedClip]) -> list[np.ndarray | Failure]:
        if front_end:
            return cast(Any, scorer).embed_features(select_features(part, front_end))
        return scorer.embed_audio([clip.waveform(rate_hz) for clip in part])

    return run_with_oom_backoff(clips, rate_hz, embed, "score", threshold)
