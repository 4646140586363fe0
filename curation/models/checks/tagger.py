"""Tests of a tagger: it returns AudioSet classes with probabilities, and repeats them."""

from curation.errors import InputError
from curation.models.checks.findings import (
    ModelTestOutcome,
    ModelTests,
    check_bad_clips,
    require_results,
)
from curation.models.checks.probe_sounds import make_clips_of_unequal_length, make_probe_sounds
from curation.models.taggers.base import Tagger
from curation.schema import Tag
from curation.tags import ontology

MAX_CONFIDENCE_SHIFT_REPEATED = 0.001
MAX_CONFIDENCE_SHIFT_BY_BATCH = 0.02
_CLIPS = 3


def tags_are_well_formed(tagger: Tagger) -> ModelTestOutcome:
    """Test that tags are AudioSet classes, the most probable first.

    The outcome also states how many sounds have a correct tag.
    """
    every = make_probe_sounds(tagger.sample_rate_hz)
    found = require_results(tagger.tag([sound.waveform for sound in every]))
    fault = next((fault for fault in map(tags_fault, found) if fault), None)
    right = sum(
        any(_names(tag, sound.tag) for tag in tags)
        for tags, sound in zip(found, every, strict=True)
    )
    details = f"{sum(map(len, found))} tags on {len(every)} sounds, {right} of them named"
    return ModelTestOutcome(fault is None, fault or details)


def tags_fault(tags: list[Tag]) -> str | None:
    """Return the first fault in a clip's tags; None if there is none."""
    for tag in tags:
        if not 0 <= tag.confidence <= 1:
            return f"{tag.name} has confidence {tag.confidence}, expected 0 to 1"
        try:
            ontology.class_name(tag.mid)
        except InputError as error:
            return str(error)
    confidences = [tag.confidence for tag in tags]
    if confidences != sorted(confidences, reverse=True):
        return f"confidences {confidences} are not in order, surest first"
    return None


def tags_are_repeatable(tagger: Tagger) -> ModelTestOutcome:
    """Test that the same batch gives the same tags."""
    clips = [sound.waveform for sound in make_probe_sounds(tagger.sample_rate_hz)[:_CLIPS]]
    return _compare_tags(
        require_results(tagger.tag(clips)),
        require_results(tagger.tag(clips)),
        MAX_CONFIDENCE_SHIFT_REPEATED,
    )


def tags_are_batch_independent(tagger: Tagger) -> ModelTestOutcome:
    """Test that a clip's tags do not depend on other clips, whether short or long."""
    clips = make_clips_of_unequal_length(tagger.sample_rate_hz)
    batched = require_results(tagger.tag(clips))
    single = [require_results(tagger.tag([clip]))[0] for clip in clips]
    return _compare_tags(batched, single, MAX_CONFIDENCE_SHIFT_BY_BATCH)


def tagger_rejects_bad_clips(tagger: Tagger) -> ModelTestOutcome:
    """Test that an empty or non-finite clip becomes a failure at its position in the results."""
    return check_bad_clips(tagger.tag, make_probe_sounds(tagger.sample_rate_hz)[0].waveform)


TAGGER_TESTS: ModelTests[Tagger] = {
    "tags": tags_are_well_formed,
    "the same again": tags_are_repeatable,
    "the same in another batch": tags_are_batch_independent,
    "clips without sound": tagger_rejects_bad_clips,
}


def _names(tag: Tag, truth: Tag) -> bool:
    return tag.mid == truth.mid or tag.mid in ontology.ancestor_classes(truth.mid)


def _compare_tags(one: list[list[Tag]], other: list[list[Tag]], most: float) -> ModelTestOutcome:
    """By how much confidences differ, a tag near the threshold that comes and goes apart."""
    pairs = [
        (mine[mid], theirs[mid])
        for mine, theirs in zip(map(_by_mid, one), map(_by_mid, other), strict=True)
        for mid in mine.keys() & theirs.keys()
    ]
    moved = max((abs(mine - theirs) for mine, theirs in pairs), default=0.0)
    tags = sum(map(len, one))
    return ModelTestOutcome(
        moved <= most and 2 * len(pairs) >= tags,
        f"{len(pairs)} of {tags} tags are the same, confidences moved by {moved:.1e} (at most "
        f"{most})",
    )


def _by_mid(tags: list[Tag]) -> dict[str, float]:
    return {tag.mid: tag.confidence for tag in tags}
