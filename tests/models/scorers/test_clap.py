"""CLAP equals transformers' extractor and model, and transformers opens what is saved."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    ClapProcessor,
    RobertaTokenizerFast,
    pipeline,
)

from curation.errors import InputError
from curation.models.caption_tokenizer import CaptionTokenizer
from curation.models.networks.clap import TrainableClap, build_clap
from curation.models.networks.clap_frontend import (
    build_laion_extractor,
    crop_or_pad,
    quantize_to_int16,
)
from curation.models.networks.load_towers import load_trainable_towers
from curation.models.pretrained_weights import convert_tokenizer
from curation.models.scorers.build import build_scorer
from curation.models.scorers.dual_encoder import DualEncoderScorer
from curation.run import config_file
from curation.schema import Failure
from tests.support.tiny_networks import CAPTIONS, sharpened
from tests.support.tiny_scorers import (
    AUDIO,
    FRONT_END,
    FUSED_AUDIO,
    FUSED_FRONT_END,
    TEXT,
    as_int16,
    bytes_tokenizer,
    clap,
)


@pytest.fixture(scope="module")
def tokenizer() -> CaptionTokenizer:
    return convert_tokenizer(bytes_tokenizer())


@pytest.fixture(scope="module")
def pair(tokenizer: CaptionTokenizer) -> TrainableClap:
    made = sharpened(build_clap(AUDIO, TEXT, tokenizer, FRONT_END, embed_dim=8))
    assert isinstance(made, TrainableClap)
    return made


@pytest.fixture(scope="module")
def folder(
    pair: TrainableClap,
    tokenizer: CaptionTokenizer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    made = tmp_path_factory.mktemp("clap")
    pair.save_pretrained(made)
    tokenizer.save(made)
    return made


def copied(folder: Path, to: Path) -> Path:
    to.mkdir(exist_ok=True)
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


def noise(samples: int) -> torch.Tensor:
    return torch.randn(samples, generator=torch.Generator().manual_seed(samples)) * 0.1


@pytest.mark.parametrize("padding", ["repeatpad", "repeat", "pad"])
def test_features_are_the_extractors(padding: str, tokenizer: CaptionTokenizer) -> None:
    audio = {**AUDIO, "spec_size": 256, "num_mel_bins": 64}
    pair = build_clap(audio, TEXT, tokenizer, {"padding": padding})
    clips = [noise(samples) for samples in (1000, 150_000, 480_000)]
    expected = pair.extractor(
        [as_int16(clip.numpy()) for clip in clips], sampling_rate=48_000, return_tensors="pt"
    )["input_features"][:, 0]
    lengths = torch.tensor([len(clip) for clip in clips])
    padded = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True, padding_value=9.0)
    got, frames = pair.features(padded, lengths)
    assert frames.tolist() == [1001] * 3
    assert got.shape == expected.shape == (3, 1001, 64)
    # Float against double, in dB.
    assert (got - expected).abs().max() < 0.05
    assert (got - expected).abs().mean() < 1e-4


def test_of_a_long_clip_the_central_window_is_used(pair: TrainableClap) -> None:
    long = noise(20_001)
    window = long[6000:14_000]
    got, _ = pair.features(long[None], torch.tensor([20_001]))
    expected, _ = pair.features(window[None], torch.tensor([8000]))
    torch.testing.assert_close(got, expected)


def test_a_clip_is_repeated_as_often_as_it_fits() -> None:
    clip = torch.tensor([1.0, 2.0, 3.0])
    assert crop_or_pad(clip, 8, "repeatpad").tolist() == [1, 2, 3, 1, 2, 3, 0, 0]
    assert crop_or_pad(clip, 8, "repeat").tolist() == [1, 2, 3, 1, 2, 3, 1, 2]
    assert crop_or_pad(clip, 8, "pad").tolist() == [1, 2, 3, 0, 0, 0, 0, 0]
    assert crop_or_pad(clip, 1, "repeatpad").tolist() == [2]


def test_transformers_opens_what_is_saved_and_embeds_the_same(
    pair: TrainableClap, folder: Path
) -> None:
    model = ClapModel.from_pretrained(folder).eval()
    processor = ClapProcessor.from_pretrained(folder)
    clips = [noise(3000), noise(8000)]
    tokens = processor.tokenizer(CAPTIONS, padding=True, truncation=True, return_tensors="pt")
    encoded_sound = processor.feature_extractor(
        [clip.numpy() for clip in clips], sampling_rate=8000, return_tensors="pt"
    )
    with torch.no_grad():
        theirs = model(**tokens, **encoded_sound)
        sounds = pair.encode_audio(
            torch.nn.utils.rnn.pad_sequence(clips, batch_first=True), torch.tensor([3000, 8000])
        )
        captions = pair.encode_text(tokens["input_ids"], tokens["attention_mask"])
    torch.testing.assert_close(sounds, theirs.audio_embeds, atol=1e-4, rtol=0)
    torch.testing.assert_close(captions, theirs.text_embeds, atol=1e-5, rtol=0)
    assert not torch.allclose(sounds[0], sounds[1], atol=1e-2)


def test_the_pipeline_of_transformers_names_sounds(folder: Path, pair: TrainableClap) -> None:
    classify = pipeline("zero-shot-audio-classification", folder, device="cpu")
    named = classify(noise(8000).numpy(), candidate_labels=["dog", "rain"])
    tokens = classify.tokenizer(
        ["This is a sound of dog.", "This is a sound of rain."], padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        text = pair.encode_text(tokens["input_ids"], tokens["attention_mask"])
        [sound] = pair.encode_audio(noise(8000)[None], torch.tensor([8000]))
        expected = (pair.logit_scale.exp() * text @ sound).softmax(dim=0)
    got = {label["label"]: label["score"] for label in named}
    assert [got["dog"], got["rain"]] == pytest.approx(expected.tolist(), abs=1e-3)


def test_saved_and_reloaded_it_is_the_same(pair: TrainableClap, folder: Path) -> None:
    again, tokenizer = load_trainable_towers(folder, "cpu")
    tokens = tokenizer.encode(CAPTIONS, 30)
    sound = noise(5000)[None], torch.tensor([5000])
    with torch.no_grad():
        torch.testing.assert_close(again.encode_audio(*sound), pair.encode_audio(*sound))
        torch.testing.assert_close(again.encode_text(*tokens), pair.encode_text(*tokens))
    assert (again.embed_dim, again.sample_rate_hz, again.max_text_tokens) == (8, 8000, 38)
    assert not again.training


def test_the_scale_of_sounds_becomes_that_of_captions(
    tokenizer: CaptionTokenizer, tmp_path: Path
) -> None:
    pair = build_clap(AUDIO, TEXT, tokenizer, FRONT_END)
    assert "clap.logit_scale_t" not in dict(trained(pair))
    with torch.no_grad():
        pair.logit_scale.fill_(3.5)
    pair.save_pretrained(tmp_path)
    saved = ClapModel.from_pretrained(tmp_path)
    assert saved.logit_scale_a.item() == saved.logit_scale_t.item() == 3.5


def trained(pair: TrainableClap) -> list[tuple[str, torch.nn.Parameter]]:
    return [(name, each) for name, each in pair.named_parameters() if each.requires_grad]


def test_checkpointing_changes_no_gradient(tokenizer: CaptionTokenizer) -> None:
    pair = build_clap(AUDIO, TEXT, tokenizer, FRONT_END).train()
    features, frames = pair.features(
        torch.stack([noise(8000), noise(8001)[:8000]]), torch.tensor([8000] * 2)
    )
    ids = torch.tensor([[0, 7, 8, 2], [0, 9, 6, 2]])
    gradients = []
    for enabled in (False, True):
        pair.gradient_checkpointing(enabled)
        pair.zero_grad()
        torch.manual_seed(0)
        similar = pair.encode_features(features, frames) @ pair.encode_text(ids, ids * 0 + 1).T
        similar.trace().backward()
        gradients.append({n: p.grad.clone() for n, p in trained(pair) if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys() and len(gradients[0]) > 40
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


def test_one_line_of_a_run_makes_it_the_scorer(pair: TrainableClap, folder: Path) -> None:
    run = {"run": "runs/x", "catalog": {"kind": "folder", "audio": "sounds"}}
    section = {"kind": "clap", "model": str(folder)}
    scorer = build_scorer(config_file.parse_run_config({**run, "scorer": section}, "test").scorer)
    assert scorer.sample_rate_hz == 8000
    scorer.setup()
    clips = [noise(5), noise(3000), np.zeros(0, dtype="f4"), noise(20_000)]
    results = scorer.embed_audio([np.asarray(clip) for clip in clips])
    assert isinstance(results[2], Failure)
    for row in (0, 1):
        clip = torch.as_tensor(clips[row])[None]
        with torch.no_grad():
            [alone] = pair.encode_audio(clip, torch.tensor([clip.shape[1]]))
        np.testing.assert_allclose(results[row], alone, atol=1e-5)
    long = torch.as_tensor(clips[3])
    windows = torch.stack([long[:8000], long[8000:16_000], long[12_000:]])
    with torch.no_grad():
        mean = pair.encode_audio(windows, torch.tensor([8000] * 3)).mean(dim=0)
    np.testing.assert_allclose(results[3], mean / mean.norm(), atol=1e-5)
    tokens = folder_tokens(folder)
    with torch.no_grad():
        expected = pair.encode_text(tokens["input_ids"], tokens["attention_mask"])
    np.testing.assert_allclose(scorer.embed_text(CAPTIONS), expected, atol=1e-5)


def folder_tokens(folder: Path) -> dict[str, torch.Tensor]:
    tokenizer = RobertaTokenizerFast.from_pretrained(folder)
    return tokenizer(CAPTIONS, padding=True, truncation=True, max_length=38, return_tensors="pt")


def test_a_front_end_of_the_other_kind_is_refused(
    tokenizer: CaptionTokenizer, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="enable_fusion: True .*expected truncation: fusion"):
        build_clap({**AUDIO, "enable_fusion": True}, TEXT, tokenizer, FRONT_END)
    copied(folder, tmp_path)
    ClapFeatureExtractor(**{**FRONT_END, "truncation": "fusion"}).save_pretrained(tmp_path)
    reported = f"{tmp_path.name}: .*truncation: fusion .*expected truncation: rand_trunc"
    with pytest.raises(InputError, match=reported):
        load_trainable_towers(tmp_path, "cpu")


def test_models_with_fusion_are_not_trained(tokenizer: CaptionTokenizer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="fusion.*expected an unfused one"):
        build_clap(FUSED_AUDIO, TEXT, tokenizer, FUSED_FRONT_END)
    clap(tmp_path, fused=True)
    with pytest.raises(InputError, match="fusion.*expected an unfused one"):
        load_trainable_towers(tmp_path, "cpu")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"feature_size": 16}, "16 mel bands .feature_size., the audio tower takes 32"),
        ({"max_length_s": 2}, "201 frames .*, the audio tower takes 128"),
    ],
)
def test_a_front_end_that_does_not_fit_is_refused(
    change: dict[str, int], message: str, tokenizer: CaptionTokenizer
) -> None:
    with pytest.raises(InputError, match=message):
        build_clap(AUDIO, TEXT, tokenizer, {**FRONT_END, **change})


def test_directories_that_cannot_be_opened_are_refused(folder: Path, tmp_path: Path) -> None:
    def copy(name: str, *without: str) -> Path:
        made = tmp_path / name
        made.mkdir()
        for file in folder.iterdir():
            if file.name not in without:
                (made / file.name).write_bytes(file.read_bytes())
        return made

    blind = copy("blind", "preprocessor_config.json")
    with pytest.raises(InputError, match="blind: no front end of a CLAP"):
        load_trainable_towers(blind, "cpu")
    other = copy("other")
    (other / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(InputError, match="'bert', expected 'tagscribe-dual-encoder' or 'clap'"):
        load_trainable_towers(other, "cpu")


def test_checkpoints_of_older_transformers_open(folder: Path, tmp_path: Path) -> None:
    copied(folder, tmp_path)
    state = load_file(folder / "model.safetensors")
    computed = [name for name in state if name.endswith(("_ids", "position_index"))]
    assert computed
    kept = {name: each for name, each in state.items() if name not in computed}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    again, _ = load_trainable_towers(tmp_path, "cpu")
    whole, _ = load_trainable_towers(folder, "cpu")
    for name, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_weights_in_several_files_open(folder: Path, pair: TrainableClap, tmp_path: Path) -> None:
    (copied(folder, tmp_path) / "model.safetensors").unlink()
    pair.clap.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    again, _ = load_trainable_towers(tmp_path, "cpu")
    for name, value in pair.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_sixteen_bits_hold_what_laion_trained_on() -> None:
    wave = torch.cat([noise(4000) * 5, torch.tensor([0.0, 1.0, -1.0, 1.5, -9.0, 1e-5, -1e-5])])
    np.testing.assert_array_equal(quantize_to_int16(wave).numpy(), as_int16(wave.numpy()))
    # Towards zero: a sample below half a step is silence, and one below a whole step too.
    assert quantize_to_int16(torch.tensor([0.9, -0.9]) / 32767).tolist() == [0, 0]


def test_the_full_size_builds() -> None:
    """As laion/clap-htsat-unfused: HTSAT-tiny and RoBERTa-base."""
    with torch.device("meta"):
        model = ClapModel(ClapConfig())
    pair = TrainableClap(model, build_laion_extractor({}))
    assert (pair.sample_rate_hz, pair.embed_dim, pair.max_text_tokens) == (48_000, 512, 77)
    assert pair.window_samples == 480_000
    assert sum(each.numel() for each in pair.parameters()) == 153_492_890


@pytest.mark.parametrize("fused", [False, True])
def test_a_tokenizer_of_more_words_than_the_tower_knows_is_refused(
    fused: bool, tmp_path: Path
) -> None:
    clap(tmp_path, fused)
    tokenizer = bytes_tokenizer()
    tokenizer.add_tokens(["dog", "cat"])
    tokenizer.save_pretrained(tmp_path)
    scorer = DualEncoderScorer(str(tmp_path))
    with pytest.raises(InputError, match="ids up to 262, the text tower knows 261"):
        scorer.setup()


def with_nan(folder: Path, name: str) -> DualEncoderScorer:
    """A scorer one weight of which is NaN."""
    path = folder / "model.safetensors"
    state = load_file(path)
    state[name].view(-1)[0] = torch.nan
    save_file(state, path, metadata={"format": "pt"})
    return DualEncoderScorer(str(folder))


def test_weights_that_make_no_text_embedding_are_refused(folder: Path, tmp_path: Path) -> None:
    copied(folder, tmp_path)
    with pytest.raises(InputError, match="embedding is not finite; expected weights without NaN"):
        with_nan(tmp_path, "text_projection.linear1.weight").setup()


def test_a_clip_without_a_finite_embedding_is_a_failure(folder: Path, tmp_path: Path) -> None:
    copied(folder, tmp_path)
    scorer = with_nan(tmp_path, "audio_projection.linear1.weight")
    scorer.setup()
    results = scorer.embed_audio([noise(3000).numpy(), noise(20_000).numpy()])
    for result in results:
        assert isinstance(result, Failure)
        assert (result.stage, result.kind) == ("score", "not_finite")
