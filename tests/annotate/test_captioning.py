"""The caption stage: each clip has its candidates or its failure, whatever a captioner does."""

from curation.annotate.batching import OomThreshold
from curation.annotate.captioning import caption_clips, clip_seed
from curation.schema import Failure
from tests.fakes import FailingCaptioner
from tests.support.clips import silent_clip


def test_out_of_memory_halves_the_batch_until_it_fits() -> None:
    batch = [silent_clip(f"c{index}", 1.0) for index in range(8)]
    writer = FailingCaptioner(largest_batch=2)
    batch = caption_clips(writer, batch, seed=0)
    assert [clip.failure for clip in batch] == [None] * 8
    assert writer.batches == [8, 4, 2, 2, 2, 2]
    seeds = [clip_seed(0, clip.clip_id) for clip in batch]
    assert [c.candidates[0].caption for c in batch] == [f"seed {seed}" for seed in seeds]


def test_what_had_no_memory_is_remembered_where_it_is_kept() -> None:
    limit, writer = OomThreshold(), FailingCaptioner(largest_batch=2)
    for _ in range(2):
        batch = [silent_clip(f"c{index}", 1.0) for index in range(4)]
        batch = caption_clips(writer, batch, seed=0, threshold=limit)
    assert writer.batches == [4, 2, 2, 2, 2]


def test_equal_captions_are_kept_once_over_all_draws() -> None:
    drawn, whole = silent_clip("a", 1.0), silent_clip("a", 1.0)
    [whole] = caption_clips(FailingCaptioner(), [whole], seed=0)
    for part in (slice(0, 1), slice(1, 2), slice(2, None)):
        [drawn] = caption_clips(FailingCaptioner(), [drawn], seed=0, drawn=part)
    assert [c.log_prob for c in whole.candidates] == [-1.0, -2.0]
    assert drawn.candidates == whole.candidates


def test_a_clip_that_never_fits_is_an_error_row() -> None:
    batch = [silent_clip("a", 1.0)]
    batch = caption_clips(FailingCaptioner(largest_batch=0), batch, seed=0)
    assert batch[0].failure == Failure("caption", "out_of_memory", "no memory left")


def test_a_captioner_that_raises_fails_its_batch_and_no_more() -> None:
    batch = [silent_clip("a", 1.0), silent_clip("b", 1.0)]
    batch = caption_clips(FailingCaptioner(fault=RuntimeError("broken")), batch, seed=0)
    assert [c.failure for c in batch] == [Failure("caption", "RuntimeError", "broken")] * 2


def test_a_seed_is_the_clips_own() -> None:
    seeds = {clip_seed(seed, clip) for seed in (0, 1) for clip in ("a", "b")}
    assert len(seeds) == 4
    assert all(0 <= seed < 2**63 for seed in seeds)
