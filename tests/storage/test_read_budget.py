"""What is read ahead never exceeds its budget, measured from outside; nothing waits for ever."""

import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from curation.annotate import load
from curation.annotate.clip import AnnotatedClip, PlannedClip
from curation.config.run import AudioConfig
from curation.storage.files import Storage
from curation.storage.settings import StorageConfig

RATE = 16000
MIB = 2**20
SETTINGS = load.DecodeSettings(AudioConfig(), (RATE,))


class Watch:
    """Bytes between their reading and the end of their decoding, as they really are held."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.held = self.most = self.at_once = 0
        self._lock = threading.Lock()
        self._ahead = threading.Event()
        read_clip, decode_clip = load.read_clip, load.decode_clip

        def watched_read(storage: Storage, clip: PlannedClip, reserve: object) -> load.EncodedClip:
            encoded = read_clip(storage, clip, reserve)
            if not encoded.failure:
                self._move(len(encoded.data), 1)
            return encoded

        def watched_decode(
            clip: PlannedClip, encoded: load.EncodedClip, settings: load.DecodeSettings
        ) -> AnnotatedClip:
            # The first one waits until more is read than is being decoded.
            self._ahead.wait(timeout=60)
            try:
                return decode_clip(clip, encoded, settings)
            finally:
                if not encoded.failure:
                    self._move(-len(encoded.data), -1)

        monkeypatch.setattr(load, "read_clip", watched_read)
        monkeypatch.setattr(load, "decode_clip", watched_decode)

    @property
    def was_ahead(self) -> bool:
        return self._ahead.is_set()

    def _move(self, size: int, number: int) -> None:
        with self._lock:
            self.held += size
            self.at_once += number
            self.most = max(self.most, self.held)
            if self.at_once > 2:
                self._ahead.set()


@pytest.mark.parametrize("place", ["local", "s3_folder"])
def test_what_is_read_ahead_never_exceeds_its_budget(
    place: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = str(tmp_path) if place == "local" else request.getfixturevalue(place)
    clips = []
    for index in range(80):
        # From 0.1 to 0.5 MiB; the last one alone is more than may be read.
        seconds = 40.0 if index == 79 else 3.3 * (1 + index % 5)
        sound = np.sin(np.arange(int(seconds * RATE)) / 9).astype(np.float32)
        file = tmp_path / f"{index}.wav"
        soundfile.write(file, sound, RATE, subtype="PCM_16")
        if place != "local":
            Storage().put(f"{root}/{index}.wav", file.read_bytes())
        clips.append(PlannedClip(f"c{index}", f"{root}/{index}.wav", None, None, []))
    watch = Watch(monkeypatch)
    loader = load.AudioLoader(SETTINGS, Storage(StorageConfig(readers=16, read_ahead_mb=1)), 2)
    loaded = [clip for chunk in load.load_chunks_ahead(clips, loader) for clip in chunk]
    assert [clip.planned for clip in loaded] == clips
    assert watch.most <= loader.budget.peak_bytes <= MIB
    assert watch.was_ahead, "more was read at once than is decoded at once"
    assert watch.held == loader.budget.held_bytes == 0, "all was given back"
    assert [clip.failure for clip in loaded[:-1]] == [None] * 79
    failure = loaded[-1].failure
    assert failure is not None and (failure.stage, failure.kind) == ("read", "too_large")
    assert "1280044 bytes, more than the 1048576" in failure.message
    assert "storage.read_ahead_mb" in failure.message


def test_what_cannot_be_read_holds_nothing(tmp_path: Path) -> None:
    clips = [PlannedClip(f"c{n}", f"{tmp_path}/{n}.wav", None, None, []) for n in range(40)]
    loader = load.AudioLoader(SETTINGS, Storage(StorageConfig(readers=4, read_ahead_mb=1)), 1)
    loaded = [clip for chunk in load.load_chunks_ahead(clips, loader) for clip in chunk]
    assert {clip.failure.kind for clip in loaded if clip.failure} == {"FileNotFoundError"}
    assert loader.budget.held_bytes == 0
