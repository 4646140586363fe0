"""Released checkpoints arrive whole: each weight in its place, and what does not fit is named."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torchaudio
from torch import Tensor, nn
from transformers import BertConfig, BertModel, ClapConfig, ClapModel

from curation.errors import InputError
from curation.models.networks.clap import TrainableClap
from curation.models.networks.cnn14 import Cnn14Config
from curation.models.networks.dual_encoder import DualEncoder, DualEncoderConfig
from curation.models.networks.load_towers import load_trainable_towers
from curation.models.word_tokenizer import build_word_tokenizer
from training.convert.blat import convert_blat
from training.convert.laion import _laion_config, convert_laion_clap

CAPTIONS = ["a dog barks while rain falls", "rain falls"]
TOKENIZER = build_word_tokenizer(CAPTIONS, 20)
BERT = {
    "vocab_size": len(TOKENIZER),
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}
CNN = Cnn14Config(channels=(4, 6, 8), embed_dim=10)
BLAT = DualEncoderConfig(cnn=CNN, text={"model_type": "bert", **BERT}, embed_dim=12)
CLAP = ClapConfig(
    text_config={
        **BERT,
        "max_position_embeddings": 40,
        "pad_token_id": TOKENIZER.special_id("pad_token"),
    },
    audio_config={
        "patch_embeds_hidden_size": 8,
        "hidden_size": 16,
        "depths": [1, 2],
        "num_attention_heads": [2, 2],
        "num_hidden_layers": 2,
    },
    projection_dim=8,
)


class BlatCnn14(nn.Module):
    """A network of the names and shapes of BLAT's audio encoder, of the test's sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.melspec_extractor = torchaudio.transforms.MelSpectrogram(
            32_000, 1024, 1024, 320, 50, 14_000, n_mels=64, norm="slaney", mel_scale="slaney"
        )
        self.bn0 = nn.BatchNorm2d(64)
        inputs = 1
        for index, width in enumerate(CNN.channels, start=1):
            block = nn.Module()
            block.conv1 = nn.Conv2d(inputs, width, 3, bias=False)
            block.conv2 = nn.Conv2d(width, width, 3, bias=False)
            block.bn1, block.bn2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
            self.add_module(f"conv_block{index}", block)
            inputs = width
        self.fc1 = nn.Linear(inputs, 10)


@pytest.fixture(scope="module")
def blat_state() -> dict[str, Tensor]:
    """Random weights and statistics under the names of wsntxxn/BLAT's AudioTextClip."""
    torch.manual_seed(3)
    model = nn.Module()
    model.audio_encoder, model.text_encoder = BlatCnn14(), nn.Module()
    model.text_encoder.model = BertModel(BertConfig(**BERT))
    model.audio_proj, model.text_proj = nn.Linear(10, 12), nn.Linear(16, 12)
    model.logit_scale = nn.Parameter(torch.tensor(3.25))
    state = model.state_dict()
    for name in state:
        if name.endswith(("running_mean", "running_var")) or ".bn" in name and "weight" in name:
            state[name].uniform_(0.5, 1.5)
    state["text_encoder.model.embeddings.position_ids"] = torch.arange(512)[None]
    return state


def saved(state: dict[str, Tensor], folder: Path, **beside: object) -> Path:
    path = folder / "model.pth"
    torch.save({"state_dict": state, **beside}, path)
    return path


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    TOKENIZER.save(tmp_path / "tokenizer")
    return tmp_path / "tokenizer"


def naive_blat_sound(state: dict[str, Tensor], features: Tensor) -> Tensor:
    """BLAT's audio side in evaluation, of one clip's log-mel `[frame, mel]`, by its own names."""

    def norm(x: Tensor, name: str) -> Tensor:
        names = ("running_mean", "running_var", "weight", "bias")
        return nn.functional.batch_norm(x, *(state[f"audio_encoder.{name}.{n}"] for n in names))

    x = norm(features.T[None, :, :, None], "bn0").permute(0, 3, 2, 1)
    for block in (1, 2, 3):
        for conv in (1, 2):
            weight = state[f"audio_encoder.conv_block{block}.conv{conv}.weight"]
            x = norm(nn.functional.conv2d(x, weight, padding=1), f"conv_block{block}.bn{conv}")
            x = x.relu()
        x = nn.functional.avg_pool2d(x, 2) if block < 3 else x
    pooled = x.mean(dim=3).amax(dim=2) + x.mean(dim=3).mean(dim=2)
    hidden = nn.functional.linear(
        pooled, state["audio_encoder.fc1.weight"], state["audio_encoder.fc1.bias"]
    ).relu()
    shared = nn.functional.linear(hidden, state["audio_proj.weight"], state["audio_proj.bias"])
    return nn.functional.normalize(shared[0], dim=0)


def test_blat_embeds_by_its_own_weights(
    blat_state: dict[str, Tensor], tokenizer: Path, tmp_path: Path
) -> None:
    model = convert_blat(saved(blat_state, tmp_path), tmp_path / "out", tokenizer, BLAT)
    features = torch.randn(32, 64) * 20 - 40
    with torch.no_grad():
        [got] = model.encode_features(features[None], torch.tensor([32]))
    torch.testing.assert_close(got, naive_blat_sound(blat_state, features), atol=1e-5, rtol=1e-4)
    assert model.logit_scale.item() == 3.25


def test_blat_reads_by_its_own_weights(
    blat_state: dict[str, Tensor], tokenizer: Path, tmp_path: Path
) -> None:
    model = convert_blat(saved(blat_state, tmp_path), tmp_path / "out", tokenizer, BLAT)
    bert = BertModel(BertConfig(**BERT)).eval()
    prefix = "text_encoder.model."
    names = {n.removeprefix(prefix): v for n, v in blat_state.items() if n.startswith(prefix)}
    del names["embeddings.position_ids"]
    bert.load_state_dict(names)
    ids = torch.tensor([[1, 5, 7, 2]])
    with torch.no_grad():
        first = bert(ids).last_hidden_state[:, 0]
        torch.testing.assert_close(model.pool_text(ids, torch.ones_like(ids)), first)
        shared = nn.functional.linear(
            first, blat_state["text_proj.weight"], blat_state["text_proj.bias"]
        )
        torch.testing.assert_close(
            model.encode_text(ids, torch.ones_like(ids)), nn.functional.normalize(shared, dim=1)
        )


def test_what_was_converted_opens(
    blat_state: dict[str, Tensor], tokenizer: Path, tmp_path: Path
) -> None:
    model = convert_blat(saved(blat_state, tmp_path), tmp_path / "out", tokenizer, BLAT)
    again, words = load_trainable_towers(tmp_path / "out", "cpu")
    assert isinstance(again, DualEncoder)
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    assert words.encode(CAPTIONS)[0].tolist() == TOKENIZER.encode(CAPTIONS)[0].tolist()


def test_what_does_not_fit_is_named(
    blat_state: dict[str, Tensor], tokenizer: Path, tmp_path: Path
) -> None:
    def refused(change: Callable[[dict[str, Tensor]], object], message: str) -> None:
        state = dict(blat_state)
        change(state)
        with pytest.raises(InputError, match=message):
            convert_blat(saved(state, tmp_path), tmp_path / "out", tokenizer, BLAT)
        assert not (tmp_path / "out").exists()

    conv = "audio_encoder.conv_block2.conv1.weight"
    refused(lambda state: state.pop(conv), f"1 weights do not fit .*: {conv} is missing")
    refused(lambda state: state.update(extra=torch.ones(1)), "extra is unknown")
    refused(
        lambda state: state.update({"audio_proj.bias": torch.ones(13)}),
        r"audio_proj.bias is \[13\], expected \[12\]",
    )
    bands = "audio_encoder.melspec_extractor.mel_scale.fb"
    refused(lambda state: state.update({bands: torch.ones(513, 64)}), "other mel bands")


def test_a_checkpoint_is_read_without_running_it(
    blat_state: dict[str, Tensor], tokenizer: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="cannot be read .*expected a file"):
        convert_blat(tmp_path / "none.pth", tmp_path / "out", tokenizer, BLAT)
    with pytest.raises(InputError, match="without running it"):
        convert_blat(saved(blat_state, tmp_path, runs=Path("x")), tmp_path / "out", tokenizer, BLAT)
    harmless = saved(blat_state, tmp_path, epoch=4, loss=np.float64(0.5))
    convert_blat(harmless, tmp_path / "out", tokenizer, BLAT)
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(InputError, match="expected those, or an entry 'state_dict'"):
        convert_blat(tmp_path / "list.pth", tmp_path / "out", tokenizer, BLAT)


def test_a_tokenizer_of_another_model_is_refused(
    blat_state: dict[str, Tensor], tmp_path: Path
) -> None:
    words = build_word_tokenizer([*CAPTIONS, "a cat meows"], 20)
    words.save(tmp_path / "other")
    path = saved(blat_state, tmp_path)
    with pytest.raises(InputError, match=f"of {len(words)} tokens, the model knows"):
        convert_blat(path, tmp_path / "out", tmp_path / "other", BLAT)
    with pytest.raises(InputError, match="no tokenizer that can be opened"):
        convert_blat(path, tmp_path / "out", tmp_path / "none", BLAT)


LAION_BLOCK = {
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
    "attention.output.dense": "attn.proj",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
    "attention.self.relative_position_bias_table": "attn.relative_position_bias_table",
    "attention.self.relative_position_index": "attn.relative_position_index",
}


def laion_state(model: ClapModel) -> dict[str, Tensor]:
    """A model's weights under LAION's names, with what else LAION's files hold."""
    ours = model.state_dict()
    state = {"logit_scale_a": ours["logit_scale_a"], "logit_scale_t": ours["logit_scale_t"]}
    for side in ("audio", "text"):
        for place, layer in (("0", "linear1"), ("2", "linear2")):
            for kind in ("weight", "bias"):
                name = f"{side}_projection.{place}.{kind}"
                state[name] = ours[f"{side}_projection.{layer}.{kind}"]
    for name, value in ours.items():
        if name.startswith("text_model."):
            state[name.replace("text_model.", "text_branch.")] = value
        if name.startswith("audio_model.audio_encoder."):
            rest = name.removeprefix("audio_model.audio_encoder.")
            prefix, _, inner = rest.rpartition("blocks.")
            if "blocks." not in rest:
                state["audio_branch." + rest.replace("batch_norm", "bn0")] = value
                continue
            number, _, inner = inner.partition(".")
            block = f"audio_branch.{prefix}blocks.{number}."
            if inner.startswith("attention.self.query."):
                kind = inner.rsplit(".", 1)[1]
                parts = [ours[name.replace("query", part)] for part in ("query", "key", "value")]
                state[f"{block}attn.qkv.{kind}"] = torch.cat(parts)
            elif inner in LAION_BLOCK:
                state[block + LAION_BLOCK[inner]] = value
            elif inner.rsplit(".", 1)[0] in LAION_BLOCK:
                kind = inner.rsplit(".", 1)[1]
                state[f"{block}{LAION_BLOCK[inner.rsplit('.', 1)[0]]}.{kind}"] = value
    state["audio_branch.layers.1.blocks.1.attn_mask"] = torch.zeros(4, 64, 64)
    state["audio_branch.spectrogram_extractor.stft.conv_real.weight"] = torch.ones(513, 1, 1024)
    state["audio_branch.tscam_conv.weight"] = torch.ones(527, 16, 2, 3)
    state["audio_branch.head.weight"] = torch.ones(527, 527)
    state["audio_transform.sequential.0.weight"] = torch.ones(8, 8)
    return {f"module.{name}": value for name, value in state.items()}


@pytest.fixture(scope="module")
def clap() -> ClapModel:
    torch.manual_seed(4)
    model = ClapModel(CLAP).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model


def test_laions_weights_find_their_places(clap: ClapModel, tokenizer: Path, tmp_path: Path) -> None:
    path = saved(laion_state(clap), tmp_path, epoch=3)
    pair = convert_laion_clap(path, tmp_path / "out", tokenizer, CLAP)
    again, _ = load_trainable_towers(tmp_path / "out", "cpu")
    assert isinstance(again, TrainableClap)
    for got in (pair.clap.state_dict(), again.clap.state_dict()):
        for name, value in clap.state_dict().items():
            expected = clap.logit_scale_a if name == "logit_scale_t" else value
            assert torch.equal(got[name], expected), name


def test_laions_weights_that_do_not_fit_are_named(
    clap: ClapModel, tokenizer: Path, tmp_path: Path
) -> None:
    qkv = "audio_branch.layers.0.blocks.0.attn.qkv.weight"
    for change, message in (
        ({f"module.{qkv}": None}, f"{qkv} is missing"),
        ({f"module.{qkv}": torch.ones(23, 8)}, rf"{qkv} is \[23, 8\], expected \[24, 8\]"),
        ({"module.audio_branch.new": torch.ones(1)}, "audio_branch.new is unknown"),
        ({"module.audio_branch.patch_embed.fusion_model.x": torch.ones(1)}, "with fusion"),
        ({"module.audio_branch.logmel_extractor.melW": torch.ones(513, 64)}, "other mel bands"),
    ):
        state = {**laion_state(clap), **change}
        state = {name: value for name, value in state.items() if value is not None}
        with pytest.raises(InputError, match=message):
            convert_laion_clap(saved(state, tmp_path), tmp_path / "out", tokenizer, CLAP)


@pytest.mark.parametrize(("width", "hidden", "blocks"), [(96, 768, 6), (128, 1024, 12)])
def test_both_sizes_of_htsat_are_known(width: int, hidden: int, blocks: int) -> None:
    patches = {"audio_branch.patch_embed.proj.weight": torch.ones(width, 1, 4, 4)}
    audio = _laion_config(patches).audio_config
    assert (audio.patch_embeds_hidden_size, audio.hidden_size) == (width, hidden)
    assert audio.depths[2] == blocks
