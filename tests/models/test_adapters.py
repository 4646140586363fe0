"""The adapters keep their contracts: repeatable clip by clip, in order, never raising for one."""

import copy
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from curation.errors import InputError
from curation.models import weights
from curation.models.captioners import tag_guided_generator
from curation.models.captioners.base import Candidate
from curation.models.captioners.tag_guided import TagGuidedAdapter, map_to_vocabulary
from curation.models.decoding.next_token import draw_uniform_noise
from curation.models.networks.dual_encoder import DualEncoder
from curation.models.networks.tag_guided_captioner import TagGuidedCaptioner
from curation.models.scorers.dual_encoder import DualEncoderScorer
from curation.models.word_tokenizer import build_word_tokenizer
from curation.schema import Failure, Tag
from tests.support.tiny_networks import CAPTIONS

SEEDS = [100, 101, 102, 103, 104, 105, 106, 107]
GUIDANCE: list[list[Tag]] = [[], [Tag("/m/0bt9lr", "Dog")], [Tag("/m/06mb1", "Rain", 0.4)]] * 3


@pytest.fixture(scope="session")
def captioner_folder(
    captioner: TagGuidedCaptioner, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("captioner")
    weights.save_network(captioner, folder)
    build_word_tokenizer(CAPTIONS, 20).save(folder)
    return folder


@pytest.fixture(scope="session")
def clap_folder(dual_encoder: DualEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clap")
    dual_encoder.save_pretrained(folder)
    build_word_tokenizer(CAPTIONS, 20).save(folder)
    return folder


@pytest.fixture(scope="session")
def adapter(captioner_folder: Path) -> TagGuidedAdapter:
    made = TagGuidedAdapter(str(captioner_folder), max_tokens=10)
    made.setup()
    return made


@pytest.fixture(scope="session")
def scorer(clap_folder: Path) -> DualEncoderScorer:
    made = DualEncoderScorer(str(clap_folder))
    made.setup()
    return made


def reported(result: list[Candidate] | Failure) -> list[tuple[str, str]]:
    assert not isinstance(result, Failure), result
    return [(candidate.method, candidate.caption) for candidate in result]


def test_a_clip_alone_in_a_batch_and_in_another_order_is_the_same(
    adapter: TagGuidedAdapter, waveforms: list[np.ndarray]
) -> None:
    torch.manual_seed(0)
    together = adapter.caption(waveforms, GUIDANCE[:8], SEEDS)
    torch.manual_seed(1)
    reverse = adapter.caption(waveforms[::-1], GUIDANCE[7::-1], SEEDS[::-1])[::-1]
    for row, result in enumerate(together):
        [alone] = adapter.caption(waveforms[row : row + 1], [GUIDANCE[row]], [SEEDS[row]])
        assert reported(result) == reported(alone) == reported(reverse[row])
        assert not isinstance(result, Failure)
        assert not isinstance(alone, Failure)
        assert [candidate.log_prob for candidate in result] == pytest.approx(
            [candidate.log_prob for candidate in alone], abs=1e-5
        )


def test_what_is_not_set_up_brings_no_torch() -> None:
    """Drivers and decoders hold the adapters too, and start sooner without."""
    code = """
import sys
from curation.models.captioners.tag_guided import TagGuidedAdapter
from curation.models.scorers.dual_encoder import DualEncoderScorer
for adapter in (TagGuidedAdapter(), DualEncoderScorer()):
    assert adapter.identity and adapter.sample_rate_hz
assert not {"torch", "transformers"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_samples_follow_the_seed(adapter: TagGuidedAdapter, waveforms: list[np.ndarray]) -> None:
    clip = [waveforms[0]] * 2
    same = adapter.caption(clip, [[], []], [1, 1])
    assert reported(same[0]) == reported(same[1])
    first, second = adapter.caption(clip, [[], []], [1, 2])
    assert reported(first)[0] == reported(second)[0]  # the beam does not
    assert reported(first) != reported(second)


def test_the_beam_comes_first_and_then_every_sample(
    adapter: TagGuidedAdapter, waveforms: list[np.ndarray]
) -> None:
    for result in adapter.caption(waveforms, GUIDANCE[:8], SEEDS):
        assert [method for method, _ in reported(result)] == ["beam", "sample", "sample", "sample"]
    assert adapter.max_tokens_per_clip == 4 * 10


@pytest.mark.parametrize(("first", "last"), [(0, 1), (0, 3), (1, 2), (1, None), (3, 4)])
def test_a_candidate_requested_by_itself_is_the_same(
    adapter: TagGuidedAdapter, waveforms: list[np.ndarray], first: int, last: int | None
) -> None:
    whole = adapter.caption(waveforms, GUIDANCE[:8], SEEDS)
    part = adapter.caption(waveforms, GUIDANCE[:8], SEEDS, first, last)
    for all_of_it, requested in zip(whole, part, strict=True):
        assert reported(requested) == reported(all_of_it)[first:last]
        assert not isinstance(all_of_it, Failure)
        assert not isinstance(requested, Failure)
        assert [candidate.log_prob for candidate in requested] == pytest.approx(
            [candidate.log_prob for candidate in all_of_it[first:last]], abs=1e-5
        )


def test_clips_whose_noise_is_too_large_write_in_parts(
    adapter: TagGuidedAdapter, waveforms: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = adapter.caption(waveforms, GUIDANCE[:8], SEEDS)
    batches: list[int] = []

    def counted(seeds: Sequence[int], *sizes: int) -> torch.Tensor:
        batches.append(len(seeds))
        return draw_uniform_noise(seeds, *sizes)

    words = len(build_word_tokenizer(CAPTIONS, 20))
    monkeypatch.setattr(tag_guided_generator, "_MAX_NOISE_BYTES", 3 * 3 * 10 * words * 8)
    monkeypatch.setattr(tag_guided_generator, "draw_uniform_noise", counted)
    parts = adapter.caption(waveforms, GUIDANCE[:8], SEEDS)
    assert batches == [3, 3, 2]
    assert [reported(part) for part in parts] == [reported(one) for one in whole]


def test_offloaded_and_restored_they_give_the_same(
    adapter: TagGuidedAdapter, scorer: DualEncoderScorer, waveforms: list[np.ndarray]
) -> None:
    captions = adapter.caption(waveforms, GUIDANCE[:8], SEEDS)
    embeddings = scorer.embed_audio(waveforms)
    for model in (adapter, scorer):
        model.offload()
        model.restore()
    assert adapter.caption(waveforms, GUIDANCE[:8], SEEDS) == captions
    np.testing.assert_array_equal(scorer.embed_audio(waveforms), embeddings)


def test_one_candidate_is_the_beam_alone(
    captioner_folder: Path, adapter: TagGuidedAdapter, waveforms: list[np.ndarray]
) -> None:
    single = TagGuidedAdapter(str(captioner_folder), candidates=1, max_tokens=10)
    [result] = single.caption(waveforms[:1], [[]], [0])
    assert reported(result) == reported(adapter.caption(waveforms[:1], [[]], [0])[0])[:1]


def test_bad_clips_are_failures_in_their_place(
    adapter: TagGuidedAdapter, scorer: DualEncoderScorer, waveforms: list[np.ndarray]
) -> None:
    broken = np.full(9000, np.nan, dtype="f4")
    clips = [np.zeros(0, "f4"), waveforms[0], broken, np.zeros((2, 9000), "f4"), np.ones(3, "f4")]
    captions = adapter.caption(clips, [[]] * 5, [7] * 5)
    embeddings = scorer.embed_audio(clips)
    for results, stage in ((captions, "caption"), (embeddings, "score")):
        assert [r.kind if isinstance(r, Failure) else "ok" for r in results] == [
            "empty",
            "ok",
            "not_finite",
            "not_mono",
            "ok",
        ]
        assert isinstance(results[0], Failure)
        assert results[0].stage == stage
    assert reported(captions[1]) == reported(adapter.caption([waveforms[0]], [[]], [7])[0])


@pytest.mark.parametrize(("first", "last"), [(0, None), (0, 1), (1, None)])
def test_a_captioner_that_is_broken_says_so_for_each_clip(
    captioner: TagGuidedCaptioner,
    waveforms: list[np.ndarray],
    tmp_path: Path,
    first: int,
    last: int | None,
) -> None:
    broken = copy.deepcopy(captioner)
    with torch.no_grad():
        broken.decoder.norm.weight[0] = torch.nan
    weights.save_network(broken, tmp_path)
    build_word_tokenizer(CAPTIONS, 20).save(tmp_path)
    results = TagGuidedAdapter(str(tmp_path), max_tokens=10).caption(
        waveforms[:2], [[]] * 2, [0, 1], first, last
    )
    for result in results:
        assert isinstance(result, Failure)
        assert (result.stage, result.kind) == ("caption", "not_finite")


def test_nothing_in_nothing_out(adapter: TagGuidedAdapter, scorer: DualEncoderScorer) -> None:
    assert adapter.caption([], [], []) == []
    assert scorer.embed_audio([]) == []
    assert scorer.embed_text([]).shape == (0, 8)


def test_known_before_setup_and_picklable(captioner_folder: Path, clap_folder: Path) -> None:
    said = {"model", "revision", "weights_sha256"}
    for adapter, more in (
        (TagGuidedAdapter(str(captioner_folder)), set()),
        (DualEncoderScorer(str(clap_folder)), {"long_captions"}),
    ):
        assert adapter.sample_rate_hz == 8000
        assert set(adapter.identity) == said | more
        digest = subprocess.check_output(
            ["sha256sum", Path(adapter.model) / "tagscribe.safetensors"]
        )
        assert adapter.identity["weights_sha256"] == digest.decode().split()[0]
        adapter.setup()
        assert len(pickle.dumps(adapter)) < 1000
        assert pickle.loads(pickle.dumps(adapter)) == adapter


def test_audio_embeddings_do_not_depend_on_the_batch(
    scorer: DualEncoderScorer, waveforms: list[np.ndarray]
) -> None:
    together = scorer.embed_audio(waveforms)
    for waveform, embedding in zip(waveforms, together, strict=True):
        [alone] = scorer.embed_audio([waveform])
        assert isinstance(embedding, np.ndarray)
        assert isinstance(alone, np.ndarray)
        np.testing.assert_allclose(embedding, alone, atol=1e-5)
        assert embedding.dtype == np.float32
        assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-5)


def test_text_embeddings_are_in_order_and_cut_at_the_towers_length(
    scorer: DualEncoderScorer,
) -> None:
    captions = ["rain falls and then a cat meows", "a dog barks", "rain falls"]
    together = scorer.embed_text(captions)
    for caption, embedding in zip(captions, together, strict=True):
        np.testing.assert_allclose(embedding, scorer.embed_text([caption])[0], atol=1e-5)
    long = "a dog barks while rain falls and a cat meows in the background"
    same = "a dog barks while rain falls and a cat meows then then then"
    np.testing.assert_allclose(*scorer.embed_text([long, same]), atol=1e-6)


def test_bad_directories_are_refused(tmp_path: Path, clap_folder: Path) -> None:
    with pytest.raises(InputError, match="no such directory; expected 'reference', a directory"):
        TagGuidedAdapter(str(tmp_path / "none")).setup()
    with pytest.raises(
        InputError, match="config.json, tagscribe.safetensors or model.safetensors, tokenizer"
    ):
        TagGuidedAdapter(str(tmp_path)).setup()
    with pytest.raises(
        InputError, match="'tagscribe-dual-encoder', expected 'tagscribe-captioner'"
    ):
        TagGuidedAdapter(str(clap_folder)).setup()


def test_weights_of_another_size_are_refused(clap_folder: Path, tmp_path: Path) -> None:
    for file in clap_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace('"embed_dim": 8', '"embed_dim": 9'))
    with pytest.raises(InputError, match=f"{tmp_path.name}: not a loadable DualEncoder"):
        DualEncoderScorer(str(tmp_path)).setup()


@pytest.mark.parametrize(
    ("mid", "vocabulary", "expected"),
    [
        ("/m/05tny_", ["/m/05tny_", "/m/0bt9lr"], "/m/05tny_"),  # Bark itself
        ("/m/05tny_", ["/m/0bt9lr", "/m/0jbk"], "/m/0bt9lr"),  # Bark: Dog is nearer than Animal
        ("/m/0bt9lr", ["/m/05tny_", "/m/06mb1"], "/m/05tny_"),  # Dog: Bark alone lies below
        ("/m/0bt9lr", ["/m/05tny_", "/m/07qf0zm"], None),  # Dog: Bark and Howl lie below
        ("/m/06mb1", ["/m/05tny_"], None),  # Rain
        ("/m/none", ["/m/05tny_"], None),  # no class at all
    ],
)
def test_unknown_tags_stand_for_known_ones(
    mid: str, vocabulary: list[str], expected: str | None
) -> None:
    assert (
        map_to_vocabulary(mid, {known: index for index, known in enumerate(vocabulary)}) == expected
    )
