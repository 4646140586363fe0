"""The load stage: one record for every planned clip, whatever its file is."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import soundfile

from curation.annotate import load
from curation.annotate.clip import PlannedClip, parse_planned_clips
from curation.config.run import AudioConfig
from curation.schema import CLIP_SCHEMA, Tag
from curation.storage.files import Storage

RATE = 16000


def test_missing_clips_fail_before_any_work() -> None:
    planned = pa.Table.from_pylist([{"clip_id": "gone", "tags": []}], schema=CLIP_SCHEMA)
    (clip,) = parse_planned_clips(planned)
    assert clip.failure is not None
    assert (clip.failure.stage, clip.failure.kind) == ("catalog", "missing")
    loaded = load.load_clip(Storage(), clip, load.DecodeSettings(AudioConfig(), (RATE,)))
    assert loaded.failure == clip.failure


def test_chunks_load_ahead_and_come_in_order(tmp_path: Path) -> None:
    waveform = np.sin(np.arange(RATE // 4) / 10).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", waveform, RATE)
    planned = [
        PlannedClip(f"c{index}", str(tmp_path / "a.wav"), None, None, [Tag("/m/0bt9lr", "Dog")])
        for index in range(2 * load.CHUNK_CLIPS + 3)
    ]
    settings = load.DecodeSettings(AudioConfig(), (8000, RATE))
    loader = load.AudioLoader(settings, Storage(), decode_threads=2)
    clips = [clip for chunk in load.load_chunks_ahead(planned, loader) for clip in chunk]
    assert [clip.planned for clip in clips] == planned
    assert {clip.count_samples(8000) for clip in clips} == {RATE // 8}
    assert {clip.failure for clip in clips} == {None}
    assert {clip.audio.duration_s for clip in clips} == {0.25}
    np.testing.assert_allclose(clips[0].audio.waveforms[RATE] / 32767, waveform, atol=1.5 / 32767)


def test_a_file_that_has_gone_is_an_error_row_of_its_reading(tmp_path: Path) -> None:
    planned = PlannedClip("a", str(tmp_path / "gone.wav"), None, None, [])
    clip = load.load_clip(Storage(), planned, load.DecodeSettings(AudioConfig(), (RATE,)))
    assert clip.failure is not None
    assert (clip.failure.stage, clip.failure.kind) == ("read", "FileNotFoundError")
