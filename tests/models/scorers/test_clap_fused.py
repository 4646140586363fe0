"""CLAP with fusion equals transformers' extractor and model, without random choices."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

from curation.config.models import DualEncoderScorerConfig
from curation.models.networks.clap import FusedClap
from curation.models.networks.clap_frontend import build_laion_extractor, fused_views
from curation.models.networks.load_towers import load_towers
from curation.models.scorers.base import Scorer
from curation.models.scorers.build import build_scorer
from tests.support.tiny_scorers import as_int16, bytes_tokenizer, clap

CAPTIONS = ["a dog barks", "rain falls and a cat meows"]

# Of these lengths transformers' extractor draws nothing at random: each third of the frames at
# which a chunk may start has one frame at most. The last two alone are longer than a view.
SETTLED = [300, 3000, 8000, 8079, 8080, 8160]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("fused")
    clap(made, fused=True)
    return made


@pytest.fixture(scope="module")
def towers(folder: Path) -> FusedClap:
    loaded, _ = load_towers(folder, "cpu")
    assert isinstance(loaded, FusedClap)
    return loaded


@pytest.fixture(scope="module")
def scorer(folder: Path) -> Scorer:
    made = build_scorer(DualEncoderScorerConfig(model=str(folder)))
    made.setup()
    return made


@pytest.fixture(scope="module")
def model(folder: Path) -> ClapModel:
    return ClapModel.from_pretrained(folder).eval()


@pytest.fixture(scope="module")
def extractor(folder: Path) -> ClapFeatureExtractor:
    return ClapFeatureExtractor.from_pretrained(folder)


def noise(samples: int) -> np.ndarray:
    """Noise that grows louder, so that no part of it is like another."""
    loudness = np.linspace(0.001, 0.3, samples)
    return (np.random.default_rng(samples).normal(size=samples) * loudness).astype("f4")


def stored(samples: list[int]) -> list[np.ndarray]:
    return [as_int16(noise(length)) for length in samples]


def test_views_are_the_extractors(towers: FusedClap, extractor: ClapFeatureExtractor) -> None:
    encoded_sound = extractor(stored(SETTLED), sampling_rate=8000, return_tensors="pt")
    clips = [torch.from_numpy(noise(length)) for length in SETTLED]
    padded = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True, padding_value=9.0)
    got, frames = towers.features(padded, torch.tensor(SETTLED))
    assert got.shape == encoded_sound["input_features"].shape == (6, 4, 101, 64)
    # Float against double, in dB.
    assert (got - encoded_sound["input_features"]).abs().max() < 0.05
    assert (got - encoded_sound["input_features"]).abs().mean() < 1e-4
    assert frames.tolist() == [101, 101, 101, 101, 102, 103]
    assert encoded_sound["is_longer"].flatten().tolist() == [False] * 4 + [True] * 2


def test_embeddings_are_those_of_transformers(
    scorer: Scorer, model: ClapModel, extractor: ClapFeatureExtractor
) -> None:
    encoded_sound = extractor(stored(SETTLED), sampling_rate=8000, return_tensors="pt")
    tokens = bytes_tokenizer()(CAPTIONS, padding=True, return_tensors="pt")
    with torch.no_grad():
        sounds = model.get_audio_features(**encoded_sound).pooler_output
        captions = model.get_text_features(**tokens).pooler_output
    got = np.stack(scorer.embed_audio([noise(length) for length in SETTLED]))
    np.testing.assert_allclose(got, sounds, atol=1e-4)
    np.testing.assert_allclose(scorer.embed_text(CAPTIONS), captions, atol=1e-5)
    assert np.abs(got[:, None] - got).max(axis=2)[~np.eye(6, dtype=bool)].min() > 1e-3


def test_a_short_clip_is_never_marked_as_longer(scorer: Scorer, model: ClapModel) -> None:
    extractor = ClapFeatureExtractor.from_pretrained(scorer.identity["model"])
    encoded_sound = extractor(stored([3000]), sampling_rate=8000, return_tensors="pt")
    embedded = []
    for is_longer in (False, True):
        with torch.no_grad():
            out = model.get_audio_features(
                encoded_sound["input_features"], torch.tensor([[is_longer]])
            )
        embedded.append(out.pooler_output[0].numpy())
    # The mark that transformers gives this clip, which is alone in its batch, would change it.
    assert encoded_sound["is_longer"].tolist() == [[True]]
    assert np.abs(embedded[0] - embedded[1]).max() > 1e-3
    for batch in ([3000], [3000, 200, 8000], [3000, 40_000]):
        got = scorer.embed_audio([noise(length) for length in batch])[0]
        np.testing.assert_allclose(got, embedded[0], atol=1e-4)


@pytest.mark.parametrize("frames", [104, 105, 106, 107, 500, 1234])
def test_chunks_start_in_the_middle_of_each_third(
    frames: int, extractor: ClapFeatureExtractor
) -> None:
    mel = np.arange(frames, dtype="f4")[:, None] * np.ones(64, dtype="f4")
    views = fused_views(torch.from_numpy(mel), 101).numpy()
    possible = np.array_split(np.arange(frames - 100), 3)
    for view, third in zip(views[1:], possible, strict=True):
        start = int(view[0, 0])
        assert (view == mel[start : start + 101]).all()
        assert start in third
        assert abs((start - third[0]) - (third[-1] - start)) <= 1
    theirs = extractor._random_mel_fusion(mel, frames, 101)
    np.testing.assert_array_equal(views[0], theirs[0])


def test_a_long_clip_is_the_same_in_every_call(scorer: Scorer) -> None:
    clip = noise(30_000)
    first, again = scorer.embed_audio([clip]), scorer.embed_audio([clip])
    np.testing.assert_array_equal(first, again)


def test_the_full_size_builds() -> None:
    """As laion/clap-htsat-fused: HTSAT-tiny with fusion and RoBERTa-base."""
    with torch.device("meta"):
        model = ClapModel(ClapConfig(audio_config={"enable_fusion": True}))
    towers = FusedClap(model, build_laion_extractor({"truncation": "fusion"}))
    assert (towers.sample_rate_hz, towers.embed_dim, towers.max_text_tokens) == (48_000, 512, 77)
    assert towers.window_samples is None
    assert sum(each.numel() for each in towers.parameters()) == 153_507_530
