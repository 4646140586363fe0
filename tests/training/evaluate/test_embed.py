"""Embedding: the same alone, in batches and over ranks; unreadable clips are listed."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from curation.models.scorers.dual_encoder import DualEncoderScorer
from curation.schema import Failure
from curation.storage.files import Storage
from tests.training.evaluate.conftest import Write
from training.evaluate.embed import embed_clips, load_eval_clip
from training.evaluate.evalset import EvalClip
from training.evaluate.evaluation import evaluate_on_dataset

# An embedding's components between two batch sizes: float32 sums in another order.
TOLERANCE = 1e-5


def clip_of(path: Path, start_s: float | None = None, end_s: float | None = None) -> EvalClip:
    return EvalClip(path.name, str(path), path.stat().st_size, start_s, end_s)


@pytest.fixture
def clips(tmp_path: Path) -> list[EvalClip]:
    """Nine sounds of several lengths and rates."""
    rng = np.random.default_rng(8)
    (tmp_path / "audio").mkdir()
    for index in range(9):
        samples = rng.normal(0, 0.1, 4000 + 3000 * index).astype(np.float32)
        soundfile.write(tmp_path / f"audio/{index}.wav", samples, (16000, 22050, 44100)[index % 3])
    return [clip_of(tmp_path / f"audio/{index}.wav") for index in range(9)]


def test_a_clip_alone_is_embedded_as_in_a_batch(
    clips: list[EvalClip], reference: DualEncoderScorer
) -> None:
    alone = embed_clips(Storage(), reference, clips, batch=1, quiet=True)
    together = embed_clips(Storage(), reference, clips, batch=8, quiet=True)
    again = embed_clips(Storage(), reference, clips, batch=8, quiet=True)
    assert alone.rows == together.rows == list(range(9))
    np.testing.assert_allclose(alone.embeddings, together.embeddings, atol=TOLERANCE)
    assert np.array_equal(together.embeddings, again.embeddings)


def test_the_centre_of_a_long_clip_is_used(tmp_path: Path) -> None:
    ramp = np.linspace(0, 0.5, 48000, dtype=np.float32)
    soundfile.write(tmp_path / "ramp.wav", ramp, 16000, subtype="FLOAT")
    waveform = load_eval_clip(Storage(), clip_of(tmp_path / "ramp.wav"), 16000, max_duration_s=1.0)
    assert isinstance(waveform, np.ndarray)
    np.testing.assert_array_equal(waveform, ramp[16000:32000])
    segment = load_eval_clip(
        Storage(), clip_of(tmp_path / "ramp.wav", 0.5, 1.0), 16000, max_duration_s=1.0
    )
    assert isinstance(segment, np.ndarray)
    np.testing.assert_array_equal(segment, ramp[8000:16000])


def test_what_cannot_be_read_is_listed_in_its_place(
    tmp_path: Path, sound_file: Write, reference: DualEncoderScorer
) -> None:
    good = [clip_of(sound_file(name)) for name in ("a.wav", "b.wav")]
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_text("no sound at all")
    bad_samples = np.full(8000, np.nan, dtype=np.float32)
    soundfile.write(tmp_path / "nan.wav", bad_samples, 16000, subtype="FLOAT")
    bad = [clip_of(tmp_path / name) for name in ("empty.wav", "text.wav", "nan.wav")]
    gone = EvalClip("gone.wav", str(tmp_path / "gone.wav"), 1)
    embedded = embed_clips(
        Storage(), reference, [bad[0], good[0], *bad[1:], good[1], gone], 2, quiet=True
    )
    assert embedded.rows == [1, 4]
    found = {row: (failure.stage, failure.kind) for row, failure in embedded.failures.items()}
    assert found == {
        0: ("decode", "empty_file"),
        2: ("decode", "unknown_format"),
        3: ("score", "not_finite"),
        5: ("read", "FileNotFoundError"),
    }
    expected = embed_clips(Storage(), reference, good, 2, quiet=True).embeddings
    np.testing.assert_allclose(embedded.embeddings, expected, atol=TOLERANCE)


def test_nothing_readable_gives_no_embedding(reference: DualEncoderScorer) -> None:
    gone = EvalClip("gone.wav", "/nowhere/gone.wav", 1)
    embedded = embed_clips(Storage(), reference, [gone], quiet=True)
    assert embedded.rows == [] and len(embedded.embeddings) == 0
    assert isinstance(embedded.failures[0], Failure)


RANK = """
import json, sys
import numpy as np
import torch.distributed as dist
from curation.models.scorers.dual_encoder import DualEncoderScorer
from curation.storage.files import Storage
from training.evaluate.evaluation import evaluate_on_dataset
from training.evaluate.embed import embed_clips
from training.evaluate.evalset import EvalClip

folder, rank = sys.argv[1], int(sys.argv[2])
dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
scorer = DualEncoderScorer(device="cpu")
scorer.setup()
clips = [EvalClip(f"{i}.wav", f"{folder}/audio/{i}.wav", 1) for i in range(9)]
embedded = embed_clips(Storage(), scorer, clips, batch=2, quiet=True)
assert list(embedded.failures) == [5], embedded.failures
np.savez(f"{folder}/{rank}.npz", rows=embedded.rows, vectors=embedded.embeddings)
out = f"{folder}/written-by-{rank}.json"
result = evaluate_on_dataset(Storage(), scorer, "esc10", folder, out=out, quiet=True)
print(json.dumps(result))
"""


@pytest.mark.slow
def test_two_ranks_find_what_one_does_and_the_first_writes_it(
    clips: list[EvalClip], tmp_path: Path, reference: DualEncoderScorer
) -> None:
    (tmp_path / "audio/5.wav").write_bytes(b"")
    rows = [f"{index}.wav,{'Dog' if index % 2 else 'Rain'},1" for index in range(9)]
    (tmp_path / "clips.csv").write_text("\n".join(["file,esc10_class,fold", *rows, ""]))
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(tmp_path), str(rank)], stdout=subprocess.PIPE
        )
        for rank in range(2)
    ]
    results = [json.loads(process.communicate(timeout=120)[0]) for process in ranks]
    assert [process.returncode for process in ranks] == [0, 0]
    expected = embed_clips(Storage(), reference, clips, batch=2, quiet=True)
    for rank in range(2):
        found = np.load(tmp_path / f"{rank}.npz")
        assert found["rows"].tolist() == expected.rows == [0, 1, 2, 3, 4, 6, 7, 8]
        np.testing.assert_allclose(found["vectors"], expected.embeddings, atol=TOLERANCE)
    assert (
        results[0]
        == results[1]
        == evaluate_on_dataset(Storage(), reference, "esc10", str(tmp_path), quiet=True)
    )
    assert json.loads((tmp_path / "written-by-0.json").read_text()) == results[0]
    assert not (tmp_path / "written-by-1.json").exists()


def test_a_clip_of_another_rate_is_resampled(tmp_path: Path) -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(44100) / 44100).astype(np.float32) / 2
    soundfile.write(tmp_path / "tone.wav", tone, 44100)
    waveform = load_eval_clip(Storage(), clip_of(tmp_path / "tone.wav"), 16000, max_duration_s=10.0)
    assert isinstance(waveform, np.ndarray)
    expected = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000) / 2
    np.testing.assert_allclose(waveform[500:-500], expected[500:-500], atol=1e-2)
