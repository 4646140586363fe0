"""Selects and orders the entries to show: masks and indices over the columns of an index."""

from bisect import bisect_left

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.errors import InputError
from curation.review.index import ReviewIndex
from curation.review.labels import Labels
from curation.review.postings import split_words
from curation.review.request_schema import EntryFilter, ViewRequest
from curation.select.policy import ACCEPTED_CODE, REASONS


def filter_mask(
    index: ReviewIndex,
    labels: Labels,
    wanted: EntryFilter,
    first: np.ndarray,
    second: np.ndarray | None,
) -> np.ndarray:
    """Return which entries pass a filter, bool `[entries]`.

    Args:
        first, second: codes of the two policies' decisions, from `apply_rules`.

    Raises InputError for an outcome, a tag or an error that does not exist.
    """
    shown = _match_text(index, wanted.text)
    if wanted.tags:
        clips = index.tag_clips.of(
            _check_numbers(wanted.tags, len(index.metadata.tag_names), "tag")
        )
        shown &= _entries_of_clips(index, clips)
    if wanted.error is not None:
        _check_numbers([wanted.error], len(index.metadata.errors), "error")
        shown &= _entries_of_clips(index, np.flatnonzero(index.columns["error"] == wanted.error))
    score = index.score(wanted.score)
    if wanted.lowest is not None:
        shown &= score >= wanted.lowest
    if wanted.highest is not None:
        shown &= score <= wanted.highest
    if wanted.outcome is not None:
        shown &= first == _reason_code(wanted.outcome)
    if wanted.marked != "all":
        shown &= _marked(index, labels, wanted.marked)
    if wanted.compared != "all" and second is not None:
        shown &= compare_decisions(first, second)[wanted.compared]
    return shown


def compare_decisions(first: np.ndarray, second: np.ndarray) -> dict[str, np.ndarray]:
    """Return which entries both policies accept, and which only one accepts; bool `[entries]`."""
    one, other = first == ACCEPTED_CODE, second == ACCEPTED_CODE
    return {"both": one & other, "only_first": one & ~other, "only_second": other & ~one}


def page_entries(
    index: ReviewIndex, labels: Labels, view: ViewRequest, shown: np.ndarray, cutoff: float | None
) -> np.ndarray:
    """Return the entries of a page, in order; entries without a caption come last.

    Args:
        cutoff: the lowest accepted score; None if nothing is accepted.
    """
    part = slice(view.offset, view.offset + view.limit)
    if view.sort == "sample":
        unmarked = np.ones(index.metadata.entries, bool)
        unmarked[labels.sample()[0]] = False
        drawn = index.columns["drawn"]
        return drawn[unmarked[drawn]][part]
    if view.sort == "clip":
        return np.flatnonzero(shown)[part]
    score, order = index.score(view.policy.score), index.columns[f"order_{view.policy.score}"]
    found = order[shown[order]]
    if view.sort == "threshold":
        found = _nearest(found, score, cutoff or 0.0, part.stop)
    elif view.sort == "worst":
        found = found[::-1]
    without = np.flatnonzero(shown & ~index.has_caption)
    return np.concatenate([found, without])[part]


def _match_text(index: ReviewIndex, text: str) -> np.ndarray:
    """Captions with all words, the last perhaps only begun; or clips whose id begins so."""
    shown = np.ones(index.metadata.entries, bool)
    words = split_words(pa.array([text]))[0].as_py()
    for number, word in enumerate(words):
        of_word = np.zeros(index.metadata.entries, bool)
        # A word that others begin with counts alone, unless it is the one being typed.
        rows = (
            index.words.beginning_with(word)
            if number == len(words) - 1
            else index.words.whole(word)
        )
        of_word[rows] = True
        shown &= of_word
    if text.strip():
        named = pc.starts_with(index.clip_ids, text.strip())
        shown |= _entries_of_clips(index, np.flatnonzero(named.to_numpy()))
    return shown


def _entries_of_clips(index: ReviewIndex, clips: np.ndarray) -> np.ndarray:
    chosen = np.zeros(index.metadata.clips, bool)
    chosen[clips] = True
    return chosen[index.columns["clip"]]


def _marked(index: ReviewIndex, labels: Labels, wanted: str) -> np.ndarray:
    verdicts = () if wanted in ("marked", "unmarked") else (wanted,)
    marked = np.zeros(index.metadata.entries, bool)
    marked[labels.entries(*verdicts)] = True
    return ~marked if wanted == "unmarked" else marked


def _nearest(best_first: np.ndarray, score: np.ndarray, cutoff: float, count: int) -> np.ndarray:
    """The entries whose scores are nearest to the cutoff, the nearest first.

    Of entries equally far away those come first that are fewer places away, so that a page begins
    where the one before it ended.
    """
    place = bisect_left(best_first, -cutoff, key=lambda entry: -score[entry])
    start = max(0, place - count)
    near = best_first[start : place + count]
    away = np.abs(score[near] - cutoff)
    places = np.abs(np.arange(start, start + len(near)) - place + 0.5)
    return near[np.lexsort((places, away))][:count]


def _check_numbers(numbers: tuple[int, ...] | list[int], count: int, what: str) -> list[int]:
    for number in numbers:
        if not 0 <= number < count:
            raise InputError(f"{what} {number}: there are {count} of them, from 0 on")
    return list(numbers)


def _reason_code(wanted: str) -> int:
    if wanted not in REASONS:
        raise InputError(f"outcome {wanted!r}: expected one of {', '.join(REASONS)}")
    return REASONS.index(wanted)
