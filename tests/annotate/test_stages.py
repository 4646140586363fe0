"""The stages of a clip: one row for every clip, whatever a model or a file does."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import soundfile

from curation.annotate import stages
from curation.annotate.batching import OomThreshold
from curation.config.run import AudioConfig
from curation.schema import CLIP_SCHEMA, Failure, Tag
from curation.storage.files import Storage
from tests.fakes import FailingCaptioner

RATE = 16000


def sound_clip(clip_id: str, seconds: float) -> stages.Clip:
    clip = stages.Clip(clip_id, f"/{clip_id}.wav", None, None, [])
    clip.waveforms[RATE] = np.zeros(int(seconds * RATE), dtype=np.int16)
    return clip


def test_out_of_memory_halves_the_batch_until_it_fits() -> None:
    batch = [sound_clip(f"c{index}", 1.0) for index in range(8)]
    writer = FailingCaptioner(largest_batch=2)
    stages.write_captions(writer, batch, seed=0)
    assert [clip.failure for clip in batch] == [None] * 8
    assert writer.batches == [8, 4, 2, 2, 2, 2]
    seeds = [stages.clip_seed(0, clip.clip_id) for clip in batch]
    assert [c.candidates[0].caption for c in batch] == [f"seed {seed}" for seed in seeds]


def test_what_had_no_memory_is_remembered_where_it_is_kept() -> None:
    limit, writer = OomThreshold(), FailingCaptioner(largest_batch=2)
    for _ in range(2):
        batch = [sound_clip(f"c{index}", 1.0) for index in range(4)]
        stages.write_captions(writer, batch, seed=0, limit=limit)
    assert writer.batches == [4, 2, 2, 2, 2]


def test_equal_captions_are_kept_once_over_all_draws() -> None:
    drawn, whole = sound_clip("a", 1.0), sound_clip("a", 1.0)
    stages.write_captions(FailingCaptioner(), [whole], seed=0)
    for part in (slice(0, 1), slice(1, 2), slice(2, None)):
        stages.write_captions(FailingCaptioner(), [drawn], seed=0, drawn=part)
    assert [c.log_prob for c in whole.candidates] == [-1.0, -2.0]
    assert drawn.candidates == whole.candidates


def test_a_clip_that_never_fits_is_an_error_row() -> None:
    batch = [sound_clip("a", 1.0)]
    stages.write_captions(FailingCaptioner(largest_batch=0), batch, seed=0)
    assert batch[0].failure == Failure("caption", "out_of_memory", "no memory left")


def test_a_captioner_that_raises_fails_its_batch_and_no_more() -> None:
    batch = [sound_clip("a", 1.0), sound_clip("b", 1.0)]
    stages.write_captions(FailingCaptioner(fault=RuntimeError("broken")), batch, seed=0)
    assert [c.failure for c in batch] == [Failure("caption", "RuntimeError", "broken")] * 2


def test_a_seed_is_the_clips_own() -> None:
    seeds = {stages.clip_seed(seed, clip) for seed in (0, 1) for clip in ("a", "b")}
    assert len(seeds) == 4
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_missing_clips_fail_before_any_work() -> None:
    planned = pa.Table.from_pylist([{"clip_id": "gone", "tags": []}], schema=CLIP_SCHEMA)
    (clip,) = stages.clips_of(planned)
    assert clip.failure is not None
    assert (clip.failure.stage, clip.failure.type) == ("catalog", "missing")


def test_chunks_decode_ahead_and_come_in_order(tmp_path: Path) -> None:
    waveform = np.sin(np.arange(RATE // 4) / 10).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", waveform, RATE)
    clips = [
        stages.Clip(f"c{index}", str(tmp_path / "a.wav"), None, None, [Tag("/m/0bt9lr", "Dog")])
        for index in range(2 * stages.CHUNK_CLIPS + 3)
    ]
    listening = stages.Listening(AudioConfig(), (8000, RATE))
    hearing = stages.Hearing(listening, Storage(), decode_threads=2)
    decoded = list(stages.decode_ahead(clips, hearing))
    assert [c for chunk in decoded for c in chunk] == clips
    assert {len(c.waveforms[8000]) for c in clips} == {RATE // 8}
    assert {c.failure for c in clips} == {None}
    np.testing.assert_allclose(clips[0].waveforms[RATE] / 32767, waveform, atol=1.5 / 32767)


def test_a_file_that_has_gone_is_an_error_row_of_its_reading(tmp_path: Path) -> None:
    clip = stages.Clip("a", str(tmp_path / "gone.wav"), None, None, [])
    stages.decode(Storage(), clip, stages.Listening(AudioConfig(), (RATE,)))
    assert clip.failure is not None
    assert (clip.failure.stage, clip.failure.type) == ("read", "FileNotFoundError")
