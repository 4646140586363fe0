"""The tests of a scorer: sounds and their captions must belong together, and always alike."""

import numpy as np

from curation.models.checks.findings import Outcome, Tests, bad_clips, served
from curation.models.checks.sounds import cut, sounds, unlike_in_length
from curation.models.scorers.base import Scorer
from curation.stats import separation

# Captions handed out at random reach this once in 30,000 times.
LEAST_DEVIATIONS = 4.0
# Between unit vectors; no score moves further than its vector does. Rounding in half precision
# depends on the batch; the same batch leaves nothing to chance.
MOST_MOVED_AGAIN = 0.001
MOST_MOVED_BY_BATCH = 0.02
_NORM_TOLERANCE = 0.001
_CLIPS = 3
_LONG_S = 25.0
_LONG_CAPTION = " ".join(["a dog barks and then rain falls"] * 430)  # 3,010 words


def unit_vectors(scorer: Scorer) -> Outcome:
    """Sounds and captions become finite vectors of one dimension and of length one."""
    some = sounds(scorer.sample_rate_hz)[:_CLIPS]
    heard = np.stack(served(scorer.embed_audio([sound.waveform for sound in some])))
    read = scorer.embed_text([sound.caption for sound in some])
    if heard.shape != read.shape:
        return Outcome(False, f"sounds become {heard.shape}, captions {read.shape}")
    lengths = np.linalg.norm(np.concatenate([heard, read]), axis=1)
    off = float(np.abs(lengths - 1).max())
    return Outcome(
        off <= _NORM_TOLERANCE,  # not so where it is not a number
        f"{heard.shape[1]} dimensions, lengths off by {off:.1e} (at most {_NORM_TOLERANCE})",
    )


def separates(scorer: Scorer) -> Outcome:
    """Sounds score higher with their own captions than captions handed out at random would."""
    every = sounds(scorer.sample_rate_hz)
    heard = np.stack(served(scorer.embed_audio([sound.waveform for sound in every])))
    read = scorer.embed_text([sound.caption for sound in every])
    found = separation(heard @ read.T)
    return Outcome(
        found.deviations >= LEAST_DEVIATIONS,
        f"matched {found.gap:+.3f} above shuffled over {len(every)} sounds, AUC {found.auc:.3f}, "
        f"{found.deviations:.1f} standard deviations of chance (at least {LEAST_DEVIATIONS})",
    )


def same_again(scorer: Scorer) -> Outcome:
    """The same batch gives the same embeddings: nothing is cropped or dropped at random."""
    rate = scorer.sample_rate_hz
    clips = [cut(sounds(rate)[0], rate, _LONG_S), sounds(rate)[1].waveform]
    once, again = (np.stack(served(scorer.embed_audio(clips))) for _ in range(2))
    return _moved(once, again, MOST_MOVED_AGAIN)


def same_in_another_batch(scorer: Scorer) -> Outcome:
    """Whatever lies beside a clip, its embedding is the same: alone, with long, with short ones."""
    clips = unlike_in_length(scorer.sample_rate_hz)
    together = np.stack(served(scorer.embed_audio(clips)))
    alone = np.concatenate([served(scorer.embed_audio([clip])) for clip in clips])
    turned = np.stack(served(scorer.embed_audio(clips[::-1])))[::-1]
    return _moved(np.stack([together, together]), np.stack([alone, turned]), MOST_MOVED_BY_BATCH)


def captions_alike(scorer: Scorer) -> Outcome:
    """Whatever stands beside a caption, its embedding is the same, beside 3,000 words too."""
    captions = [sound.caption for sound in sounds(scorer.sample_rate_hz)[:_CLIPS]]
    together = scorer.embed_text([*captions, _LONG_CAPTION])
    alone = np.concatenate([scorer.embed_text([each]) for each in [*captions, _LONG_CAPTION]])
    return _moved(together, alone, MOST_MOVED_BY_BATCH)


def refuses_clips(scorer: Scorer) -> Outcome:
    """What cannot be heard is a failure in its place."""
    return bad_clips(scorer.embed_audio, sounds(scorer.sample_rate_hz)[0].waveform)


TESTS: Tests[Scorer] = {
    "unit vectors": unit_vectors,
    "matched against shuffled": separates,
    "the same again": same_again,
    "the same in another batch": same_in_another_batch,
    "captions in another batch": captions_alike,
    "clips without sound": refuses_clips,
}


def _moved(one: np.ndarray, other: np.ndarray, most: float) -> Outcome:
    moved = float(np.linalg.norm(one - other, axis=-1).max())
    return Outcome(moved <= most, f"embeddings moved by {moved:.1e} (at most {most})")
