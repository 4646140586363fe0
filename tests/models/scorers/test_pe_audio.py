"""PE-AV embeds what transformers' extractor and model embed, whatever else is in the batch."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PeAudioConfig, PeAudioFeatureExtractor, PeAudioModel, PeAudioProcessor

from curation.errors import InputError
from curation.models.networks.pe_audio import PeAudioTowers
from curation.models.scorers.build import build_scorer
from curation.models.scorers.pe_audio import PeAudioScorer
from curation.run import config_file
from curation.schema import Failure
from tests.support.tiny_networks import CAPTIONS
from tests.support.tiny_scorers import bytes_tokenizer, pe_audio

SHORT = ["a dog barks", "rain, and then a cat meows", "a"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pe_audio")
    pe_audio(made)
    return made


@pytest.fixture(scope="module")
def model(folder: Path) -> PeAudioModel:
    return PeAudioModel.from_pretrained(folder).eval()


@pytest.fixture(scope="module")
def scorer(folder: Path) -> PeAudioScorer:
    made = PeAudioScorer(str(folder), dtype="float32")
    made.setup()
    return made


def copied(folder: Path, to: Path) -> Path:
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


def embeddings(results: list[np.ndarray | Failure]) -> np.ndarray:
    assert not any(isinstance(result, Failure) for result in results), results
    return np.stack([result for result in results if isinstance(result, np.ndarray)])


def theirs(model: PeAudioModel, folder: Path, waveform: np.ndarray) -> tuple[np.ndarray, ...]:
    """A clip's and the captions' embeddings by the plain call, as unit vectors."""
    extractor = PeAudioFeatureExtractor.from_pretrained(folder)
    encoded_sound = extractor([waveform], sampling_rate=8000, return_tensors="pt")
    tokens = bytes_tokenizer()(SHORT, padding=True, return_tensors="pt")
    with torch.no_grad():
        out = model(**tokens, **encoded_sound)
    both = (out.audio_embeds, out.text_audio_embeds)
    return tuple(torch.nn.functional.normalize(each, dim=-1).numpy() for each in both)


def test_embeddings_are_those_of_transformers(
    scorer: PeAudioScorer, model: PeAudioModel, folder: Path, waveforms: list[np.ndarray]
) -> None:
    together = embeddings(scorer.embed_audio(waveforms))
    texts = scorer.embed_text(SHORT)
    assert together.dtype == texts.dtype == np.float32
    for waveform, embedding in zip(waveforms, together, strict=True):
        [audio], text = theirs(model, folder, waveform)
        np.testing.assert_allclose(embedding, audio, atol=1e-5)
        np.testing.assert_allclose(texts, text, atol=1e-5)
    # What is compared says something: no two clips, and no two captions, are alike.
    for vectors in (together, texts):
        assert np.abs(vectors @ vectors.T - np.eye(len(vectors))).max() < 0.999
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_an_embedding_does_not_depend_on_the_batch(
    scorer: PeAudioScorer, waveforms: list[np.ndarray]
) -> None:
    together = embeddings(scorer.embed_audio(waveforms))
    for waveform, embedding in zip(waveforms, together, strict=True):
        [alone] = embeddings(scorer.embed_audio([waveform]))
        np.testing.assert_allclose(embedding, alone, atol=1e-5)


def test_a_clip_is_reflected_to_whole_frames(folder: Path, scorer: PeAudioScorer) -> None:
    clip = np.random.default_rng(1).normal(size=4000).astype("f4")
    reflected = np.pad(clip[:3990], (0, 10), mode="reflect")
    first, second = embeddings(scorer.embed_audio([clip[:3990], reflected]))
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_invalid_clips_are_failures_in_their_place(scorer: PeAudioScorer) -> None:
    nan = np.full(900, np.nan, dtype="f4")
    tiny, empty, broken = scorer.embed_audio([np.ones(3, "f4"), np.zeros(0, "f4"), nan])
    assert isinstance(tiny, np.ndarray)
    assert isinstance(empty, Failure) and empty.kind == "empty"
    assert isinstance(broken, Failure) and broken.kind == "not_finite"


def test_weights_are_held_as_the_configuration_says(
    folder: Path, scorer: PeAudioScorer, waveforms: list[np.ndarray]
) -> None:
    run = {"run": "runs/x", "catalog": {"kind": "folder", "audio": "sounds"}}
    section = {"kind": "pe_audio", "model": str(folder)}
    half = build_scorer(config_file.parse_run_config({**run, "scorer": section}, "test").scorer)
    assert isinstance(half, PeAudioScorer) and half.dtype == "bfloat16"
    half.setup()
    held = {parameter.dtype for parameter in half._loaded._towers.parameters()}
    assert held == {torch.bfloat16}
    got, whole = half.embed_audio(waveforms), scorer.embed_audio(waveforms)
    cosines = (embeddings(got) * embeddings(whole)).sum(axis=1)
    assert 0.95 < cosines.min() < 1 - 1e-6
    assert embeddings(got).dtype == np.float32
    np.testing.assert_allclose(half.embed_text(CAPTIONS), scorer.embed_text(CAPTIONS), atol=0.1)


def test_the_audio_of_a_model_with_video_is_the_same(
    folder: Path, scorer: PeAudioScorer, waveforms: list[np.ndarray], tmp_path: Path
) -> None:
    """As PE-AV was released: one checkpoint of sound, video and text."""
    state = load_file(copied(folder, tmp_path) / "model.safetensors")
    whole = {
        name if name.startswith("text_model.") else f"audio_model.{name}": weight
        for name, weight in state.items()
    }
    whole["video_model.video_head.proj.weight"] = torch.zeros(2, 2)
    whole["audio_video_head.proj.weight"] = torch.zeros(2, 2)
    save_file(whole, tmp_path / "model.safetensors", metadata={"format": "pt"})
    values = json.loads((folder / "config.json").read_text())
    composite = {
        "model_type": "pe_audio_video",
        "text_config": values["text_config"],
        "audio_video_config": {
            "model_type": "pe_audio_video_encoder",
            "audio_config": values["audio_config"],
        },
    }
    (tmp_path / "config.json").write_text(json.dumps(composite))
    again = PeAudioScorer(str(tmp_path), dtype="float32")
    assert again.sample_rate_hz == 8000
    got, expected = again.embed_audio(waveforms), scorer.embed_audio(waveforms)
    np.testing.assert_allclose(embeddings(got), embeddings(expected), atol=1e-6)
    np.testing.assert_allclose(again.embed_text(SHORT), scorer.embed_text(SHORT), atol=1e-6)


def test_known_before_setup_light_and_picklable(folder: Path) -> None:
    code = f"""
import pickle, sys
from curation.models.scorers.pe_audio import PeAudioScorer
adapter = PeAudioScorer({str(folder)!r})
assert adapter.identity["long_captions"] == "mean of sentences"
assert adapter.sample_rate_hz == 8000
assert pickle.loads(pickle.dumps(adapter)) == adapter
assert not {{"torch", "transformers"}} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    loaded = PeAudioScorer(str(folder))
    loaded.setup()
    assert len(pickle.dumps(loaded)) < 1000


def test_a_processors_own_file_has_the_front_end(folder: Path, tmp_path: Path) -> None:
    copied(folder, tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    extractor = PeAudioFeatureExtractor(sampling_rate=8000, hop_length=32)
    PeAudioProcessor(extractor, bytes_tokenizer()).save_pretrained(tmp_path)
    assert (tmp_path / "processor_config.json").is_file()
    assert not (tmp_path / "preprocessor_config.json").exists()
    scorer = PeAudioScorer(str(tmp_path))
    assert scorer.sample_rate_hz == 8000
    scorer.setup()


def test_directories_of_something_else_are_refused(folder: Path, tmp_path: Path) -> None:
    copied(folder, tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "clap"}')
    with pytest.raises(InputError, match="'clap', expected 'pe_audio' or 'pe_audio_video'"):
        PeAudioScorer(str(tmp_path)).setup()
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(InputError, match="no sampling_rate in processor_config.json or preproc"):
        _ = PeAudioScorer(str(tmp_path)).sample_rate_hz
    with pytest.raises(InputError, match="none: no such directory"):
        PeAudioScorer(str(tmp_path / "none")).setup()


def test_a_model_of_frames_is_refused(folder: Path, tmp_path: Path) -> None:
    """PE-A-Frame: the same weights by name, of another training."""
    values = json.loads((copied(folder, tmp_path) / "config.json").read_text())
    assert values["architectures"] == ["PeAudioModel"]
    frames = {**values, "architectures": ["PeAudioFrameLevelModel"]}
    (tmp_path / "config.json").write_text(json.dumps(frames))
    with pytest.raises(InputError, match="a PeAudioFrameLevelModel.*expected a model that "):
        PeAudioScorer(str(tmp_path)).setup()


def test_a_front_end_of_another_hop_is_refused(folder: Path, tmp_path: Path) -> None:
    copied(folder, tmp_path)
    PeAudioFeatureExtractor(sampling_rate=8000, hop_length=40).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="frames of 40 samples .*, the codec of 32"):
        PeAudioScorer(str(tmp_path)).setup()


def test_the_full_size_builds() -> None:
    with torch.device("meta"):
        model = PeAudioModel(PeAudioConfig())
    towers = PeAudioTowers(model, PeAudioFeatureExtractor())
    assert (towers.sample_rate_hz, towers.embed_dim) == (48_000, 1024)
    assert towers.window_samples / 48_000 == pytest.approx(400, rel=1e-3)
    assert towers.text_vocab_size == 50_368
