"""Tests of a captioner: it writes captions, and repeats them for the same clip and seed."""

import math
from collections.abc import Sequence

import numpy as np

from curation.config.models import Guidance
from curation.models.captioners.base import Candidate, Captioner
from curation.models.captioners.cleaning import MAX_WORDS, has_repetition
from curation.models.checks.findings import (
    ModelTestOutcome,
    ModelTests,
    check_bad_clips,
    require_results,
)
from curation.models.checks.probe_sounds import ProbeSound, make_probe_sounds, resize_sound
from curation.schema import Tag

EMPTY = "one is empty"
# Sampling runs astray now and then.
LEAST_USABLE = 0.75
# Half precision rounds otherwise in another batch, and a sample that differs in one word goes on
# from there; a captioner that draws for a batch and not for a clip keeps hardly any.
LEAST_KEPT_BY_BATCH = 0.5
_CLIPS = 6
_SHORT_S, _LONG_S = 0.5, 10.0


def writes_usable_captions(captioner: Captioner) -> ModelTestOutcome:
    """Test that every sound gets its own captions, of which most are usable and none is empty."""
    some = _probe_sounds(captioner)
    written = _captions(captioner, [sound.waveform for sound in some])
    faults = [fault for clip in written for fault in map(caption_fault, clip)]
    usable = faults.count(None) / max(1, len(faults))
    barren = sum(all(map(caption_fault, clip)) for clip in written)
    different = len({text for clip in written for text in _texts(clip)[:1]})
    example = next(filter(None, faults), f'"{written[0][0].caption}"')
    return ModelTestOutcome(
        usable >= LEAST_USABLE and EMPTY not in faults and not barren and different > 1,
        f"{usable:.0%} of {len(faults)} captions usable (at least {LEAST_USABLE:.0%}), "
        f"{faults.count(EMPTY)} empty (none), {barren} of {len(some)} sounds without a usable one "
        f"(none), {different} different (at least 2): {example}",
    )


def caption_fault(candidate: Candidate) -> str | None:
    """Return why a candidate is not a usable caption; None if no fault is found."""
    words = candidate.caption.split()
    shown = " ".join(words[:12])
    if not words:
        return EMPTY
    if candidate.log_prob is not None and not math.isfinite(candidate.log_prob):
        return f'the log-probability of "{shown}" is {candidate.log_prob}'
    if len(words) > MAX_WORDS:
        return f'one has {len(words)} words (at most {MAX_WORDS}): "{shown} ..."'
    if has_repetition(candidate.caption):
        return f'one repeats itself: "{shown} ..."'
    return None


def captions_are_repeatable(captioner: Captioner) -> ModelTestOutcome:
    """Test that the same batch with the same seeds gives the same captions."""
    clips = [sound.waveform for sound in _probe_sounds(captioner)]
    return _compare_captions(_captions(captioner, clips), _captions(captioner, clips), 1.0)


def captions_are_batch_independent(captioner: Captioner) -> ModelTestOutcome:
    """Test that a clip's captions do not depend on the other clips of the batch."""
    rate = captioner.sample_rate_hz
    some = _probe_sounds(captioner)
    clips = [
        resize_sound(some[0], rate, _SHORT_S),
        resize_sound(some[1], rate, _LONG_S),
        some[2].waveform,
    ]
    batched = _captions(captioner, clips)
    single = [
        require_results(captioner.caption([clip], [[]], [seed]))[0]
        for seed, clip in enumerate(clips)
    ]
    return _compare_captions(batched, single, LEAST_KEPT_BY_BATCH)


def tags_change_captions(captioner: Captioner) -> ModelTestOutcome:
    """Test that tags are accepted and change captions; report the number of changed clips."""
    some = _probe_sounds(captioner)
    clips = [sound.waveform for sound in some]
    # Each clip gets the next one's tag, which an untagged caption would hardly name.
    tags = [[sound.tag] for sound in (*some[1:], some[0])]
    untagged, tagged = _captions(captioner, clips), _captions(captioner, clips, tags)
    changed = sum(_texts(one) != _texts(other) for one, other in zip(untagged, tagged, strict=True))
    barren = sum(all(map(caption_fault, clip)) for clip in tagged)
    return ModelTestOutcome(
        not barren and bool(changed),
        f"wrong tags change the captions of {changed} of {len(some)} clips (at least 1) and leave "
        f"{barren} without a usable one (at most 0)",
    )


def captioner_rejects_bad_clips(captioner: Captioner) -> ModelTestOutcome:
    """Test that an invalid clip becomes a failure at its position in the results."""

    def caption(clips: list[np.ndarray]) -> Sequence[object]:
        return captioner.caption(clips, [[]] * len(clips), range(len(clips)))

    return check_bad_clips(caption, _probe_sounds(captioner)[0].waveform)


def captioner_tests(guidance: Guidance) -> ModelTests[Captioner]:
    """List the tests of a captioner with or without guidance."""
    return {
        "writes captions": writes_usable_captions,
        "the same again": captions_are_repeatable,
        "the same in another batch": captions_are_batch_independent,
        **({"takes tags": tags_change_captions} if guidance == "tags" else {}),
        "clips without sound": captioner_rejects_bad_clips,
    }


def _probe_sounds(captioner: Captioner) -> tuple[ProbeSound, ...]:
    return make_probe_sounds(captioner.sample_rate_hz)[:_CLIPS]


def _captions(
    captioner: Captioner, clips: list[np.ndarray], tags: list[list[Tag]] | None = None
) -> list[list[Candidate]]:
    return require_results(captioner.caption(clips, tags or [[]] * len(clips), range(len(clips))))


def _texts(clip: list[Candidate]) -> list[str]:
    return [candidate.caption for candidate in clip]


def _compare_captions(
    one: list[list[Candidate]], other: list[list[Candidate]], least: float
) -> ModelTestOutcome:
    shared = [
        sum(text in _texts(theirs) for text in _texts(mine))
        for mine, theirs in zip(one, other, strict=True)
    ]
    share = sum(shared) / max(1, sum(map(len, one)))
    return ModelTestOutcome(
        share >= least, f"{share:.0%} of the captions are the same (at least {least:.0%})"
    )
