"""Models with one front end take each other's features, and give the same to the last bit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from curation.models import weights
from curation.models.captioners.tag_guided import TagGuidedAdapter
from curation.models.log_mel_input import LogMelInput
from curation.models.networks.dual_encoder import DualEncoder
from curation.models.networks.tag_guided_captioner import EncoderOutput, TagGuidedCaptioner
from curation.models.scorers.dual_encoder import DualEncoderScorer
from curation.models.word_tokenizer import build_word_tokenizer
from curation.schema import Failure
from tests.support.tiny_networks import CAPTIONS
from tests.support.tiny_scorers import clap

Model = TagGuidedCaptioner | DualEncoder


def write_model(model: Model, folder: Path) -> str:
    weights.save_network(model, folder)
    build_word_tokenizer(CAPTIONS, 20).save(folder)
    return str(folder)


@pytest.fixture
def writer(captioner: TagGuidedCaptioner, tmp_path: Path) -> TagGuidedAdapter:
    return TagGuidedAdapter(write_model(captioner, tmp_path / "captioner"), max_tokens=10)


@pytest.fixture
def scorer(dual_encoder: DualEncoder, tmp_path: Path) -> DualEncoderScorer:
    return DualEncoderScorer(write_model(dual_encoder, tmp_path / "clap"))


@pytest.fixture
def clips(waveforms: list[np.ndarray]) -> list[np.ndarray]:
    """Clips of all lengths in no order, one of them shorter than a frame of the encoders."""
    return [waveforms[0], waveforms[1][:150], *waveforms[2:]]


def test_a_scorer_takes_the_features_of_the_captioner(
    writer: TagGuidedAdapter, scorer: DualEncoderScorer, clips: list[np.ndarray]
) -> None:
    assert writer.front_end == scorer.front_end is not None
    features = writer.compute_features(clips)
    np.testing.assert_array_equal(scorer.embed_features(features), scorer.embed_audio(clips))


def test_a_captioner_takes_the_features_of_the_scorer(
    writer: TagGuidedAdapter, scorer: DualEncoderScorer, clips: list[np.ndarray]
) -> None:
    guidance = [[]] * len(clips)
    shared = writer.encode_features(scorer.compute_features(clips), guidance)
    for one, other in zip(shared, writer.encode(clips, guidance), strict=True):
        assert isinstance(other, EncoderOutput)
        np.testing.assert_array_equal(one.last_hidden_state, other.last_hidden_state)


def test_clips_without_features_fail_in_their_place(
    writer: TagGuidedAdapter, scorer: DualEncoderScorer, clips: list[np.ndarray]
) -> None:
    broken = [np.zeros(0, "f4"), clips[0], np.full(9000, np.nan, "f4")]
    for model, stage in ((writer, "caption"), (scorer, "score")):
        first, features, last = model.compute_features(broken)
        assert isinstance(first, Failure) and isinstance(last, Failure)
        assert (first.stage, first.kind, last.kind) == (stage, "empty", "not_finite")
        np.testing.assert_array_equal(features, model.compute_features(clips[:1])[0])


def test_another_hop_is_another_front_end(
    writer: TagGuidedAdapter, tmp_path: Path, dual_encoder: DualEncoder
) -> None:
    config = dual_encoder.config
    config = replace(config, frontend=replace(config.frontend, hop=80))
    other = DualEncoderScorer(write_model(DualEncoder(config), tmp_path / "other"))
    assert other.front_end not in (None, writer.front_end)


def test_a_clap_of_transformers_takes_waveforms(tmp_path: Path) -> None:
    clap(tmp_path, fused=False)
    scorer = DualEncoderScorer(str(tmp_path))
    assert isinstance(scorer, LogMelInput)
    assert scorer.front_end is None
