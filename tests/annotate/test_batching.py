"""Batches: of like length, within their budgets, the same in every run, and within memory."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from curation.annotate.batching import BatchCutter, OomThreshold, run_with_oom_backoff
from curation.annotate.clip import AnnotatedClip
from curation.schema import Failure
from tests.fakes import LimitedMemoryModel
from tests.support.clips import RATE_HZ, silent_clip


def cut(clips: Sequence[AnnotatedClip], budget_s: float, max_clips: float = math.inf) -> list:
    """The ids of the clips of each batch."""
    chunk = BatchCutter(RATE_HZ, budget_s, max_clips).cut(clips)
    return [[clips[position].clip_id for position in batch] for batch in chunk.batches]


def test_batches_hold_clips_of_like_length_within_the_budget() -> None:
    lengths = [10.0, 1.0, 5.0, 10.0, 1.0, 2.0]
    clips = [silent_clip(f"c{index}", seconds) for index, seconds in enumerate(lengths)]
    assert cut(clips, budget_s=10.0) == [["c1", "c4", "c5"], ["c2"], ["c0"], ["c3"]]


def test_batches_do_not_depend_on_the_order_of_clips() -> None:
    clips = [silent_clip(f"c{index}", 1 + index % 4) for index in range(20)]
    assert cut(clips, 12.0) == cut(clips[::-1], 12.0)


def test_clips_that_failed_are_in_no_batch() -> None:
    failed = replace(silent_clip("a", 1.0), failure=Failure("decode", "silent", "silent"))
    assert cut([failed, silent_clip("b", 1.0)], 10) == [["b"]]


def test_a_chunk_is_cut_again_only_where_a_clip_has_failed() -> None:
    cutter = BatchCutter(RATE_HZ, budget_s=2.0)
    chunk = cutter.cut([silent_clip(f"c{index}", 1.0) for index in range(5)])
    assert cutter.drop_failed(chunk) is chunk

    def fail_first(batch: list[AnnotatedClip]) -> list[AnnotatedClip]:
        return [
            replace(clip, failure=Failure("tag", "odd", "odd")) if clip.clip_id == "c0" else clip
            for clip in batch
        ]

    failed = chunk.map_batches(fail_first)
    assert [clip.clip_id for clip in failed.clips] == [f"c{index}" for index in range(5)]
    assert cutter.drop_failed(failed).batches == [[1, 2], [3, 4]]


def test_a_batch_holds_no_more_clips_than_it_may() -> None:
    clips = [silent_clip(f"c{index}", 1.0) for index in range(5)]
    assert [len(batch) for batch in cut(clips, 10.0, max_clips=2)] == [2, 2, 1]
    assert [len(batch) for batch in cut(clips, 10.0, max_clips=0)] == [1] * 5


def test_halves_keep_the_order_of_their_clips() -> None:
    clips = [silent_clip(f"c{index}", 1.0) for index in range(7)]
    results = run_with_oom_backoff(
        clips, RATE_HZ, LimitedMemoryModel(room_s=2.0), "caption", OomThreshold()
    )
    assert results == [clip.clip_id for clip in clips]


def test_what_failed_once_is_cut_before_it_fails_again() -> None:
    limit, model = OomThreshold(), LimitedMemoryModel(room_s=5.0)
    run_with_oom_backoff(
        [silent_clip(f"a{n}", 2.0) for n in range(4)], RATE_HZ, model, "caption", limit
    )
    assert model.tried == [4, 2, 2]
    # As many seconds in twice as many clips, then fewer seconds.
    run_with_oom_backoff(
        [silent_clip(f"b{n}", 1.0) for n in range(8)], RATE_HZ, model, "caption", limit
    )
    assert model.tried[3:] == [4, 4]
    run_with_oom_backoff(
        [silent_clip(f"c{n}", 1.0) for n in range(5)], RATE_HZ, model, "caption", limit
    )
    assert model.tried[5:] == [5]


def test_a_known_limit_cuts_as_failing_would() -> None:
    clips = [silent_clip(f"c{index}", 1 + index % 3) for index in range(16)]
    cuts = []
    limit = OomThreshold()
    for _ in range(2):
        halves: list[list[str]] = []

        def work(
            batch: list[AnnotatedClip], halves: list[list[str]] = halves
        ) -> list[str | Failure]:
            results = LimitedMemoryModel(room_s=9.0)(batch)
            halves.append([clip.clip_id for clip in batch])
            return results

        run_with_oom_backoff(clips, RATE_HZ, work, "caption", limit)
        cuts.append(halves)
    assert cuts[0] == cuts[1]
    assert len(cuts[0]) > 1


def test_a_clip_that_never_fits_fails_and_limits_nobody() -> None:
    limit, model = OomThreshold(), LimitedMemoryModel(room_s=5.0)
    [failed] = run_with_oom_backoff([silent_clip("long", 6.0)], RATE_HZ, model, "score", limit)
    assert failed == Failure("score", "out_of_memory", "no memory left")
    model.room_s = 100.0
    run_with_oom_backoff(
        [silent_clip(f"c{n}", 6.0) for n in range(8)], RATE_HZ, model, "score", limit
    )
    assert model.tried == [1, 8]


def test_a_model_that_answers_for_too_few_fails_them_all() -> None:
    clips = [silent_clip(name, 1.0) for name in "ab"]
    results = run_with_oom_backoff(clips, RATE_HZ, lambda batch: ["one"], "caption", OomThreshold())
    message = "the model answered 1 of 2 clips"
    assert results == [Failure("caption", "wrong_count", message)] * 2


@pytest.mark.parametrize("clips", [1, 3])
def test_a_model_that_raises_fails_its_batch(clips: int) -> None:
    def broken(batch: list[AnnotatedClip]) -> list[str | Failure]:
        raise RuntimeError("broken")

    batch = [silent_clip(f"c{index}", 1.0) for index in range(clips)]
    results = run_with_oom_backoff(batch, RATE_HZ, broken, "caption", OomThreshold())
    assert results == [Failure("caption", "RuntimeError", "broken")] * clips
