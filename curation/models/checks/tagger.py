"""The tests of a tagger: classes of AudioSet, with probabilities, and always the same ones."""

from curation.errors import InputError
from curation.models.checks.findings import Outcome, Tests, bad_clips, served
from curation.models.checks.sounds import sounds, unlike_in_length
from curation.models.taggers.base import Tagger
from curation.schema import Tag
from curation.tags import ontology

MOST_MOVED_AGAIN = 0.001
MOST_MOVED_BY_BATCH = 0.02
_CLIPS = 3


def tags_well_formed(tagger: Tagger) -> Outcome:
    """Tags are AudioSet's classes, surest first, with probabilities; how many are right is told."""
    every = sounds(tagger.sample_rate_hz)
    found = served(tagger.tag([sound.waveform for sound in every]))
    fault = next((fault for fault in map(fault_of, found) if fault), None)
    right = sum(
        any(_names(tag, sound.tag) for tag in tags)
        for tags, sound in zip(found, every, strict=True)
    )
    told = f"{sum(map(len, found))} tags on {len(every)} sounds, {right} of them named"
    return Outcome(fault is None, fault or told)


def fault_of(tags: list[Tag]) -> str | None:
    """What is wrong with the tags of a clip, None where nothing is."""
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


def same_again(tagger: Tagger) -> Outcome:
    """The same batch gives the same tags."""
    clips = [sound.waveform for sound in sounds(tagger.sample_rate_hz)[:_CLIPS]]
    return _moved(served(tagger.tag(clips)), served(tagger.tag(clips)), MOST_MOVED_AGAIN)


def same_in_another_batch(tagger: Tagger) -> Outcome:
    """Whatever lies beside a clip, its tags are the same: alone, with long, with short ones."""
    clips = unlike_in_length(tagger.sample_rate_hz)
    together = served(tagger.tag(clips))
    alone = [served(tagger.tag([clip]))[0] for clip in clips]
    return _moved(together, alone, MOST_MOVED_BY_BATCH)


def refuses_clips(tagger: Tagger) -> Outcome:
    """What cannot be heard is a failure in its place."""
    return bad_clips(tagger.tag, sounds(tagger.sample_rate_hz)[0].waveform)


TESTS: Tests[Tagger] = {
    "tags": tags_well_formed,
    "the same again": same_again,
    "the same in another batch": same_in_another_batch,
    "clips without sound": refuses_clips,
}


def _names(tag: Tag, truth: Tag) -> bool:
    return tag.mid == truth.mid or tag.mid in ontology.ancestor_classes(truth.mid)


def _moved(one: list[list[Tag]], other: list[list[Tag]], most: float) -> Outcome:
    """By how much confidences differ, a tag near the threshold that comes and goes apart."""
    pairs = [
        (mine[mid], theirs[mid])
        for mine, theirs in zip(map(_by_mid, one), map(_by_mid, other), strict=True)
        for mid in mine.keys() & theirs.keys()
    ]
    moved = max((abs(mine - theirs) for mine, theirs in pairs), default=0.0)
    tags = sum(map(len, one))
    return Outcome(
        moved <= most and 2 * len(pairs) >= tags,
        f"{len(pairs)} of {tags} tags are the same, confidences moved by {moved:.1e} (at most "
        f"{most})",
    )


def _by_mid(tags: list[Tag]) -> dict[str, float]:
    return {tag.mid: tag.confidence for tag in tags}
