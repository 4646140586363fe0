"""Clips and captions longer than a model's limits are scored whole."""

import numpy as np
import pytest

from curation.models.scorers.dual_encoder import DualEncoderScorer
from curation.models.scorers.embedder import (
    average_unit_vectors,
    split_into_windows,
    split_sentences,
)
from curation.models.scorers.pe_audio import PeAudioScorer
from curation.schema import Failure
from tests.support.tiny_scorers import clap, pe_audio


@pytest.fixture(scope="module", params=["clap", "fused", "pe_audio"])
def scorer(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> DualEncoderScorer | PeAudioScorer:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "pe_audio":
        pe_audio(folder)
        return PeAudioScorer(str(folder), dtype="float32")
    clap(folder, fused=request.param == "fused")
    return DualEncoderScorer(str(folder))


def noise(samples: int, seed: int) -> np.ndarray:
    """Louder and softer, and brighter and darker, as it goes on."""
    rng = np.random.default_rng(seed)
    time = np.arange(samples) / 8000
    tone = np.sin(2 * np.pi * 300 * (seed + 1) * time * (1 + time))
    return ((0.02 * rng.normal(size=samples) + tone * (0.1 + time)) / (3 + time)).astype("f4")


def embedded(scorer: DualEncoderScorer | PeAudioScorer, clips: list[np.ndarray]) -> np.ndarray:
    results = scorer.embed_audio(clips)
    assert not any(isinstance(result, Failure) for result in results), results
    return np.stack([result for result in results if isinstance(result, np.ndarray)])


def mean_of(vectors: np.ndarray) -> np.ndarray:
    mean = vectors.mean(axis=0)
    return mean / np.linalg.norm(mean)


@pytest.mark.parametrize("samples", [1, 9, 10, 11, 19, 20, 21, 30, 34])
def test_windows_cover_a_clip_and_the_last_is_flush_with_its_end(samples: int) -> None:
    cuts = [range(samples)[cut] for cut in split_into_windows(samples, 10)]
    assert {index for cut in cuts for index in cut} == set(range(samples))
    assert {len(cut) for cut in cuts} == {min(10, samples)}
    assert len(cuts) == max(1, -(-samples // 10))
    assert [cut.start for cut in cuts[:-1]] == list(range(0, 10 * (len(cuts) - 1), 10))
    assert cuts[-1].stop == samples


def test_models_without_a_limit_have_one_window() -> None:
    assert list(split_into_windows(10**9, None)) == [slice(0, 10**9)]


@pytest.mark.parametrize(
    ("scorer", "window"), [("clap", 8000), ("pe_audio", 16_000)], indirect=["scorer"]
)
def test_a_long_clip_is_the_mean_of_its_windows(
    scorer: DualEncoderScorer | PeAudioScorer, window: int
) -> None:
    clip = noise(2 * window + 1234, seed=0)
    parts = embedded(scorer, [clip[:window], clip[window : 2 * window], clip[-window:]])
    [got] = embedded(scorer, [clip])
    np.testing.assert_allclose(got, mean_of(parts), atol=1e-5)
    # Not what any of the windows alone would give.
    assert (parts @ got).max() < 1 - 1e-4


def test_the_end_of_a_long_clip_counts(scorer: DualEncoderScorer | PeAudioScorer) -> None:
    clip = noise(36_000, seed=0)
    changed = np.concatenate([clip[:30_000], noise(6000, seed=4)])
    first, second = embedded(scorer, [clip, changed])
    assert first @ second < 1 - 1e-4


def test_embeddings_do_not_depend_on_the_batch(
    scorer: DualEncoderScorer | PeAudioScorer,
) -> None:
    lengths = [500, 4000, 8000, 8001, 8100, 16_001, 21_000, 40_000]
    clips = [noise(length, seed) for seed, length in enumerate(lengths)]
    together = embedded(scorer, clips)
    again = embedded(scorer, clips[::-1])[::-1]
    np.testing.assert_array_equal(np.linalg.norm(together, axis=1) > 0.999, True)
    np.testing.assert_allclose(together, again, atol=1e-5)
    for clip, embedding in zip(clips, together, strict=True):
        np.testing.assert_allclose(embedded(scorer, [clip])[0], embedding, atol=1e-5)


def test_a_long_caption_is_the_mean_of_its_sentences(
    scorer: DualEncoderScorer | PeAudioScorer,
) -> None:
    parts = ["A dog barks at the door.", "Rain falls on a roof!", "Is that thunder?"]
    got = scorer.embed_text([" ".join(parts)])[0]
    np.testing.assert_allclose(got, mean_of(scorer.embed_text(parts)), atol=1e-5)
    assert scorer.identity["long_captions"] == "mean of sentences"


def test_what_a_long_caption_says_last_counts(
    scorer: DualEncoderScorer | PeAudioScorer,
) -> None:
    start = "A dog barks while rain falls on the roof of a car. "
    first, second = scorer.embed_text([start + "A cat meows.", start + "Thunder."])
    assert np.abs(first - second).max() > 1e-3


def test_a_caption_that_fits_is_read_whole(scorer: DualEncoderScorer | PeAudioScorer) -> None:
    caption = "A dog barks. Rain falls."
    got = scorer.embed_text([caption, "A. " * 100])[0]
    np.testing.assert_allclose(got, scorer.embed_text([caption])[0], atol=1e-5)
    sentence_by_sentence = mean_of(scorer.embed_text(split_sentences(caption)))
    assert np.abs(got - sentence_by_sentence).max() > 1e-3


def test_a_sentence_that_is_too_long_is_cut(scorer: DualEncoderScorer | PeAudioScorer) -> None:
    start = "a dog barks while rain falls on the roof of a car and "
    first, second = scorer.embed_text([start + "a cat meows", start + "thunder rolls"])
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_three_thousand_words_are_read_to_their_end(
    scorer: DualEncoderScorer | PeAudioScorer,
) -> None:
    words = "A dog barks in the rain. " * 500
    first, second, short = scorer.embed_text([words, words[:-6] + "cat.", words[:24]])
    assert np.isfinite([first, second]).all()
    np.testing.assert_allclose(first, short, atol=1e-5)
    assert first @ second > 0.99


def test_sentences_end_where_white_space_follows() -> None:
    caption = " A 3.5 kHz tone.  Then a dog?! It barks; twice... and on.\nEnd"
    expected = ["A 3.5 kHz tone.", "Then a dog?!", "It barks; twice...", "and on.", "End"]
    assert split_sentences(caption) == expected


def test_one_part_alone_is_taken_as_it_is() -> None:
    parts = np.array([[0.6, 0.8], [1, 0], [0, 1]], dtype="f4")
    means = average_unit_vectors(parts, [2, 0, 0], 3)
    np.testing.assert_array_equal(means[2], parts[0])
    np.testing.assert_allclose(means[0], [0.5**0.5, 0.5**0.5], rtol=1e-6)
    np.testing.assert_array_equal(means[1], [0, 0])
