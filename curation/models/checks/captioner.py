"""The tests of a captioner: it writes captions, and the same ones for the same clip and seed."""

import math
from collections.abc import Sequence

import numpy as np

from curation.config.models import Guidance
from curation.models.captioners.base import Candidate, Captioner
from curation.models.captioners.cleaning import MAX_WORDS, loops
from curation.models.checks.findings import Outcome, Tests, bad_clips, served
from curation.models.checks.sounds import Sound, cut, sounds
from curation.schema import Tag

EMPTY = "one is empty"
# Sampling runs astray now and then.
LEAST_USABLE = 0.75
# Half precision rounds otherwise in another batch, and a sample that differs in one word goes on
# from there; a captioner that draws for a batch and not for a clip keeps hardly any.
LEAST_KEPT_BY_BATCH = 0.5
_CLIPS = 6
_SHORT_S, _LONG_S = 0.5, 10.0


def writes(captioner: Captioner) -> Outcome:
    """Every sound gets captions of its own, most of them usable and none of them empty."""
    some = _sounds(captioner)
    written = _captions(captioner, [sound.waveform for sound in some])
    faults = [fault for clip in written for fault in map(fault_of, clip)]
    usable = faults.count(None) / max(1, len(faults))
    barren = sum(all(map(fault_of, clip)) for clip in written)
    different = len({text for clip in written for text in _texts(clip)[:1]})
    example = next(filter(None, faults), f'"{written[0][0].caption}"')
    return Outcome(
        usable >= LEAST_USABLE and EMPTY not in faults and not barren and different > 1,
        f"{usable:.0%} of {len(faults)} captions usable (at least {LEAST_USABLE:.0%}), "
        f"{faults.count(EMPTY)} empty (none), {barren} of {len(some)} sounds without a usable one "
        f"(none), {different} told apart (at least 2): {example}",
    )


def fault_of(candidate: Candidate) -> str | None:
    """Why a candidate is no caption, None where it may be one."""
    words = candidate.caption.split()
    shown = " ".join(words[:12])
    if not words:
        return EMPTY
    if candidate.log_prob is not None and not math.isfinite(candidate.log_prob):
        return f'the log-probability of "{shown}" is {candidate.log_prob}'
    if len(words) > MAX_WORDS:
        return f'one has {len(words)} words (at most {MAX_WORDS}): "{shown} ..."'
    if loops(candidate.caption):
        return f'one repeats itself: "{shown} ..."'
    return None


def same_again(captioner: Captioner) -> Outcome:
    """The same batch and seeds give the same captions."""
    clips = [sound.waveform for sound in _sounds(captioner)]
    return _alike(_captions(captioner, clips), _captions(captioner, clips), 1.0)


def same_in_another_batch(captioner: Captioner) -> Outcome:
    """Whatever lies beside a clip, its captions are the same."""
    rate = captioner.sample_rate_hz
    some = _sounds(captioner)
    clips = [cut(some[0], rate, _SHORT_S), cut(some[1], rate, _LONG_S), some[2].waveform]
    together = _captions(captioner, clips)
    alone = [served(captioner.caption([clip], [[]], [seed]))[0] for seed, clip in enumerate(clips)]
    return _alike(together, alone, LEAST_KEPT_BY_BATCH)


def takes_tags(captioner: Captioner) -> Outcome:
    """Tags are accepted, and how many clips they change is told."""
    some = _sounds(captioner)
    clips = [sound.waveform for sound in some]
    # Each clip gets the next one's tag, which an untagged caption would hardly name.
    tags = [[sound.tag] for sound in (*some[1:], some[0])]
    untagged, tagged = _captions(captioner, clips), _captions(captioner, clips, tags)
    changed = sum(_texts(one) != _texts(other) for one, other in zip(untagged, tagged, strict=True))
    barren = sum(all(map(fault_of, clip)) for clip in tagged)
    return Outcome(
        not barren and bool(changed),
        f"wrong tags change the captions of {changed} of {len(some)} clips (at least 1) and leave "
        f"{barren} without a usable one (at most 0)",
    )


def refuses_clips(captioner: Captioner) -> Outcome:
    """What cannot be heard is a failure in its place."""

    def caption(clips: list[np.ndarray]) -> Sequence[object]:
        return captioner.caption(clips, [[]] * len(clips), range(len(clips)))

    return bad_clips(caption, _sounds(captioner)[0].waveform)


def tests(guidance: Guidance) -> Tests[Captioner]:
    """The tests of a captioner that is handed the clip's tags, or not."""
    return {
        "writes captions": writes,
        "the same again": same_again,
        "the same in another batch": same_in_another_batch,
        **({"takes tags": takes_tags} if guidance == "tags" else {}),
        "clips without sound": refuses_clips,
    }


def _sounds(captioner: Captioner) -> tuple[Sound, ...]:
    return sounds(captioner.sample_rate_hz)[:_CLIPS]


def _captions(
    captioner: Captioner, clips: list[np.ndarray], tags: list[list[Tag]] | None = None
) -> list[list[Candidate]]:
    return served(captioner.caption(clips, tags or [[]] * len(clips), range(len(clips))))


def _texts(clip: list[Candidate]) -> list[str]:
    return [candidate.caption for candidate in clip]


def _alike(one: list[list[Candidate]], other: list[list[Candidate]], least: float) -> Outcome:
    kept = [
        sum(text in _texts(theirs) for text in _texts(mine))
        for mine, theirs in zip(one, other, strict=True)
    ]
    share = sum(kept) / max(1, sum(map(len, one)))
    return Outcome(
        share >= least, f"{share:.0%} of the captions are the same (at least {least:.0%})"
    )
