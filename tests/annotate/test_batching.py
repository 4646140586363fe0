"""Batches: of like length, within their budgets, the same in every run, and within memory."""

import numpy as np
import pytest

from curation.annotate import stages
from curation.annotate.batching import OomThreshold, cut_batches, run_with_oom_backoff
from curation.schema import Failure
from tests.fakes import LimitedMemoryModel

RATE = 16000


def sound_clip(clip_id: str, seconds: float) -> stages.Clip:
    clip = stages.Clip(clip_id, f"/{clip_id}.wav", None, None, [])
    clip.waveforms[RATE] = np.zeros(int(seconds * RATE), dtype=np.int16)
    return clip


def test_batches_hold_clips_of_like_length_within_the_budget() -> None:
    lengths = [10.0, 1.0, 5.0, 10.0, 1.0, 2.0]
    clips = [sound_clip(f"c{index}", seconds) for index, seconds in enumerate(lengths)]
    cut = list(cut_batches(clips, RATE, budget_s=10.0))
    assert [[c.clip_id for c in batch] for batch in cut] == [
        ["c1", "c4", "c5"],
        ["c2"],
        ["c0"],
        ["c3"],
    ]


def test_batches_do_not_depend_on_the_order_of_clips() -> None:
    clips = [sound_clip(f"c{index}", 1 + index % 4) for index in range(20)]
    one = [[c.clip_id for c in b] for b in cut_batches(clips, RATE, 12.0)]
    other = [[c.clip_id for c in b] for b in cut_batches(clips[::-1], RATE, 12.0)]
    assert one == other


def test_clips_that_failed_are_in_no_batch() -> None:
    clips = [sound_clip("a", 1.0), sound_clip("b", 1.0)]
    clips[0].failure = Failure("decode", "silent", "silent")
    assert [[c.clip_id for c in b] for b in cut_batches(clips, RATE, 10)] == [["b"]]


def test_a_batch_holds_no_more_clips_than_it_may() -> None:
    clips = [sound_clip(f"c{index}", 1.0) for index in range(5)]
    sizes = [len(batch) for batch in cut_batches(clips, RATE, 10.0, most_clips=2)]
    assert sizes == [2, 2, 1]
    assert [len(batch) for batch in cut_batches(clips, RATE, 10.0, most_clips=0)] == [1] * 5


def test_halves_keep_the_order_of_their_clips() -> None:
    clips = [sound_clip(f"c{index}", 1.0) for index in range(7)]
    told = run_with_oom_backoff(
        clips, RATE, LimitedMemoryModel(room_s=2.0), "caption", OomThreshold()
    )
    assert told == [clip.clip_id for clip in clips]


def test_what_failed_once_is_cut_before_it_fails_again() -> None:
    limit, model = OomThreshold(), LimitedMemoryModel(room_s=5.0)
    run_with_oom_backoff(
        [sound_clip(f"a{n}", 2.0) for n in range(4)], RATE, model, "caption", limit
    )
    assert model.tried == [4, 2, 2]
    # As many seconds in twice as many clips, then fewer seconds.
    run_with_oom_backoff(
        [sound_clip(f"b{n}", 1.0) for n in range(8)], RATE, model, "caption", limit
    )
    assert model.tried[3:] == [4, 4]
    run_with_oom_backoff(
        [sound_clip(f"c{n}", 1.0) for n in range(5)], RATE, model, "caption", limit
    )
    assert model.tried[5:] == [5]


def test_a_known_limit_cuts_as_failing_would() -> None:
    clips = [sound_clip(f"c{index}", 1 + index % 3) for index in range(16)]
    cuts = []
    limit = OomThreshold()
    for _ in range(2):
        cut: list[list[str]] = []

        def work(batch: list[stages.Clip], cut: list[list[str]] = cut) -> list[str | Failure]:
            told = LimitedMemoryModel(room_s=9.0)(batch)
            cut.append([clip.clip_id for clip in batch])
            return told

        run_with_oom_backoff(clips, RATE, work, "caption", limit)
        cuts.append(cut)
    assert cuts[0] == cuts[1]
    assert len(cuts[0]) > 1


def test_a_clip_that_never_fits_fails_and_limits_nobody() -> None:
    limit, model = OomThreshold(), LimitedMemoryModel(room_s=5.0)
    [failed] = run_with_oom_backoff([sound_clip("long", 6.0)], RATE, model, "score", limit)
    assert failed == Failure("score", "out_of_memory", "no memory left")
    model.room_s = 100.0
    run_with_oom_backoff([sound_clip(f"c{n}", 6.0) for n in range(8)], RATE, model, "score", limit)
    assert model.tried == [1, 8]


def test_a_model_that_answers_for_too_few_fails_them_all() -> None:
    clips = [sound_clip(name, 1.0) for name in "ab"]
    told = run_with_oom_backoff(clips, RATE, lambda batch: ["one"], "caption", OomThreshold())
    message = "the model answered 1 of 2 clips"
    assert told == [Failure("caption", "wrong_count", message)] * 2


@pytest.mark.parametrize("clips", [1, 3])
def test_a_model_that_raises_fails_its_batch(clips: int) -> None:
    def broken(batch: list[stages.Clip]) -> list[str | Failure]:
        raise RuntimeError("broken")

    batch = [sound_clip(f"c{index}", 1.0) for index in range(clips)]
    told = run_with_oom_backoff(batch, RATE, broken, "caption", OomThreshold())
    assert told == [Failure("caption", "RuntimeError", "broken")] * clips
