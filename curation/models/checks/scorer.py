"""Tests of a scorer: sounds match their captions, and embeddings are repeatable."""

import numpy as np

from curation.models.checks.findings import (
    ModelTestOutcome,
    ModelTests,
    check_bad_clips,
    require_results,
)
from curation.models.checks.probe_sounds import (
    make_clips_of_unequal_length,
    make_probe_sounds,
    resize_sound,
)
from curation.models.scorers.base import Scorer
from curation.stats import separation

# Randomly assigned captions reach this once in 30,000 times.
MIN_SEPARATION_DEVIATIONS = 4.0
# Between unit vectors; no score moves further than its vector does. Rounding in half precision
# depends on the batch; the same batch leaves nothing to chance.
MAX_EMBEDDING_SHIFT_REPEATED = 0.001
MAX_EMBEDDING_SHIFT_BY_BATCH = 0.02
_NORM_TOLERANCE = 0.001
_CLIPS = 3
_LONG_S = 25.0
_LONG_CAPTION = " ".join(["a dog barks and then rain falls"] * 430)  # 3,010 words


def embeddings_are_unit_vectors(scorer: Scorer) -> ModelTestOutcome:
    """Test that embeddings of sounds and captions are finite unit vectors of one dimension."""
    some = make_probe_sounds(scorer.sample_rate_hz)[:_CLIPS]
    audio = np.stack(require_results(scorer.embed_audio([sound.waveform for sound in some])))
    text = scorer.embed_text([sound.caption for sound in some])
    if audio.shape != text.shape:
        return ModelTestOutcome(False, f"sounds become {audio.shape}, captions {text.shape}")
    lengths = np.linalg.norm(np.concatenate([audio, text]), axis=1)
    off = float(np.abs(lengths - 1).max())
    return ModelTestOutcome(
        off <= _NORM_TOLERANCE,  # not so where it is not a number
        f"{audio.shape[1]} dimensions, lengths off by {off:.1e} (at most {_NORM_TOLERANCE})",
    )


def scores_separate_matched_pairs(scorer: Scorer) -> ModelTestOutcome:
    """Test that sounds score higher with their own captions than with captions of other sounds."""
    every = make_probe_sounds(scorer.sample_rate_hz)
    audio = np.stack(require_results(scorer.embed_audio([sound.waveform for sound in every])))
    text = scorer.embed_text([sound.caption for sound in every])
    found = separation(audio @ text.T)
    return ModelTestOutcome(
        found.deviations >= MIN_SEPARATION_DEVIATIONS,
        f"matched {found.gap:+.3f} above shuffled over {len(every)} sounds, AUC {found.auc:.3f}, "
        f"{found.deviations:.1f} standard deviations of chance (at least "
        f"{MIN_SEPARATION_DEVIATIONS})",
    )


def embeddings_are_repeatable(scorer: Scorer) -> ModelTestOutcome:
    """Test that the same batch gives the same embeddings, without random crops or dropout."""
    rate = scorer.sample_rate_hz
    clips = [
        resize_sound(make_probe_sounds(rate)[0], rate, _LONG_S),
        make_probe_sounds(rate)[1].waveform,
    ]
    once, again = (np.stack(require_results(scorer.embed_audio(clips))) for _ in range(2))
    return _compare_embeddings(once, again, MAX_EMBEDDING_SHIFT_REPEATED)


def audio_embeddings_are_batch_independent(scorer: Scorer) -> ModelTestOutcome:
    """Test that a clip's embedding does not depend on other clips, whether short or long."""
    clips = make_clips_of_unequal_length(scorer.sample_rate_hz)
    batched = np.stack(require_results(scorer.embed_audio(clips)))
    single = np.concatenate([require_results(scorer.embed_audio([clip])) for clip in clips])
    reversed_ = np.stack(require_results(scorer.embed_audio(clips[::-1])))[::-1]
    return _compare_embeddings(
        np.stack([batched, batched]), np.stack([single, reversed_]), MAX_EMBEDDING_SHIFT_BY_BATCH
    )


def text_embeddings_are_batch_independent(scorer: Scorer) -> ModelTestOutcome:
    """Test that a caption's embedding does not depend on other captions, even of 3,000 words."""
    captions = [sound.caption for sound in make_probe_sounds(scorer.sample_rate_hz)[:_CLIPS]]
    batched = scorer.embed_text([*captions, _LONG_CAPTION])
    single = np.concatenate([scorer.embed_text([each]) for each in [*captions, _LONG_CAPTION]])
    return _compare_embeddings(batched, single, MAX_EMBEDDING_SHIFT_BY_BATCH)


def scorer_rejects_bad_clips(scorer: Scorer) -> ModelTestOutcome:
    """Test that an empty or non-finite clip becomes a failure at its position in the results."""
    return check_bad_clips(scorer.embed_audio, make_probe_sounds(scorer.sample_rate_hz)[0].waveform)


SCORER_TESTS: ModelTests[Scorer] = {
    "unit vectors": embeddings_are_unit_vectors,
    "matched against shuffled": scores_separate_matched_pairs,
    "the same again": embeddings_are_repeatable,
    "the same in another batch": audio_embeddings_are_batch_independent,
    "captions in another batch": text_embeddings_are_batch_independent,
    "clips without sound": scorer_rejects_bad_clips,
}


def _compare_embeddings(one: np.ndarray, other: np.ndarray, most: float) -> ModelTestOutcome:
    moved = float(np.linalg.norm(one - other, axis=-1).max())
    return ModelTestOutcome(moved <= most, f"embeddings moved by {moved:.1e} (at most {most})")
