"""Computes log-mel features of clips. Models with the same front end share them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from curation.annotate.batching import (
    OomThreshold,
    has_not_failed,
    run_with_oom_backoff,
    update_clips,
)
from curation.annotate.clip import AnnotatedClip
from curation.models.captioners.base import Captioner
from curation.models.log_mel_input import FrontEnd, LogMelInput
from curation.models.scorers.base import Scorer
from curation.schema import Stage


def find_front_end(model: Captioner | Scorer) -> FrontEnd | None:
    """Return the front end whose features the model takes; None if the model takes waveforms."""
    return model.front_end if isinstance(model, LogMelInput) else None


def add_features(
    model: Captioner | Scorer, batch: list[AnnotatedClip], stage: Stage, threshold: OomThreshold
) -> list[AnnotatedClip]:
    """Compute the features that a model takes, for the clips that lack them.

    A clip whose features cannot be computed fails. If the model takes waveforms, the clips are
    returned unchanged.
    """
    front_end = find_front_end(model)
    if front_end is None:
        return batch
    assert isinstance(model, LogMelInput)
    rate_hz, compute = model.sample_rate_hz, model.compute_features
    return update_clips(
        batch,
        lambda clips: run_with_oom_backoff(
            clips,
            rate_hz,
            lambda part: compute([clip.waveform(rate_hz) for clip in part]),
            stage,
            threshold,
        ),
        lambda clip, features: replace(clip, features={**clip.features, front_end: features}),
        lambda clip: has_not_failed(clip) and front_end not in clip.features,
    )


def select_features(clips: Sequence[AnnotatedClip], front_end: FrontEnd) -> list[np.ndarray]:
    """Return the features `[frame, mel]` of each clip for a front end. All clips must have them."""
    return [clip.features[front_end] for clip in clips]
