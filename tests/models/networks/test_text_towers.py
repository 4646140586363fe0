"""A pre-trained text encoder says in a dual encoder what it said before."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import (
    Dense,
    Normalize,
    Pooling,
    Transformer,
)
from transformers import AutoModel, BertConfig, RobertaConfig, T5Config

from curation.errors import InputError
from curation.models.networks.dual_encoder import DualEncoder, DualEncoderConfig
from curation.models.networks.load_towers import load_trainable_towers
from curation.models.networks.text_towers import build_dual_encoder, open_text_tower
from curation.models.word_tokenizer import build_word_tokenizer
from tests.support.tiny_networks import CAPTIONS, CNN, FRONTEND, sharpened

TOKENIZER = build_word_tokenizer(CAPTIONS, 20)
SIZES = {
    "vocab_size": len(TOKENIZER),
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "pad_token_id": TOKENIZER.special_id("pad_token"),
}
ENCODERS = {
    "bert": BertConfig(**SIZES, max_position_embeddings=15),
    "roberta": RobertaConfig(**SIZES, max_position_embeddings=24),
}
CONFIG = DualEncoderConfig(
    frontend=FRONTEND, cnn=replace(CNN, embed_dim=8), embed_dim=8, max_text_tokens=16
)


def save_encoder(folder: Path, kind: str) -> Path:
    sharpened(AutoModel.from_config(ENCODERS[kind])).save_pretrained(folder)
    TOKENIZER.save(folder)
    return folder


def sentence_encoder(folder: Path, kind: str, *steps: torch.nn.Module) -> Path:
    encoder = Transformer(str(save_encoder(folder / "encoder", kind)))
    SentenceTransformer(modules=[encoder, *steps], device="cpu").save(str(folder / "whole"))
    return folder / "whole"


def pooled(model: DualEncoder) -> torch.Tensor:
    with torch.no_grad():
        return model.eval().pool_text(*TOKENIZER.encode(CAPTIONS))


@pytest.mark.parametrize(("mode", "pooling"), [("mean", "mean"), ("cls", "first")])
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_pooled_text_is_what_the_sentence_encoder_encodes(
    kind: str, mode: str, pooling: str, tmp_path: Path
) -> None:
    folder = sentence_encoder(tmp_path, kind, Pooling(16, pooling_mode=mode))
    tower = open_text_tower(folder)
    assert tower.pooling == pooling
    expected = SentenceTransformer(str(folder), device="cpu").encode(CAPTIONS)
    got = pooled(build_dual_encoder(tower, CONFIG))
    torch.testing.assert_close(got, torch.from_numpy(expected), atol=1e-5, rtol=0)
    assert (got[0] - got[1]).abs().max() > 0.1


def test_a_last_step_that_normalises_is_dropped(tmp_path: Path) -> None:
    folder = sentence_encoder(tmp_path, "bert", Pooling(16, pooling_mode="mean"), Normalize())
    expected = SentenceTransformer(str(folder), device="cpu").encode(CAPTIONS)
    got = pooled(build_dual_encoder(open_text_tower(folder), CONFIG))
    assert (got.norm(dim=1) - 1).abs().min() > 0.01
    unit = torch.nn.functional.normalize(got, dim=1)
    torch.testing.assert_close(unit, torch.from_numpy(expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_a_plain_encoder_is_pooled_by_its_first_token(kind: str, tmp_path: Path) -> None:
    tower = open_text_tower(save_encoder(tmp_path, kind))
    encoder = AutoModel.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        hidden = encoder(*TOKENIZER.encode(CAPTIONS)).last_hidden_state
    torch.testing.assert_close(pooled(build_dual_encoder(tower, CONFIG)), hidden[:, 0])


def test_text_is_cut_where_tower_or_configuration_ends(tmp_path: Path) -> None:
    bert = open_text_tower(save_encoder(tmp_path / "bert", "bert"))
    roberta = open_text_tower(save_encoder(tmp_path / "roberta", "roberta"))
    assert (bert.max_tokens, roberta.max_tokens) == (15, 20)  # positions; the tokenizer
    assert build_dual_encoder(bert, CONFIG).max_text_tokens == 15
    assert build_dual_encoder(roberta, CONFIG).max_text_tokens == 16


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_saved_and_reloaded_it_is_the_same(kind: str, tmp_path: Path) -> None:
    folder = sentence_encoder(tmp_path, kind, Pooling(16, pooling_mode="mean"))
    model = build_dual_encoder(open_text_tower(folder), CONFIG)
    model.save_pretrained(tmp_path / "saved")
    TOKENIZER.save(tmp_path / "saved")
    again, _ = load_trainable_towers(tmp_path / "saved", "cpu")
    assert isinstance(again, DualEncoder)
    assert again.config.text_pooling == "mean"
    torch.testing.assert_close(pooled(again), pooled(model))


def test_what_is_no_plain_sentence_encoder_is_refused(tmp_path: Path) -> None:
    dense = sentence_encoder(tmp_path / "dense", "bert", Pooling(16), Dense(16, 8))
    with pytest.raises(InputError, match="steps are Transformer, Pooling, Dense; expected"):
        open_text_tower(dense)
    longest = sentence_encoder(tmp_path / "max", "bert", Pooling(16, pooling_mode="max"))
    with pytest.raises(InputError, match="pools by max; expected .* cls or mean"):
        open_text_tower(longest)
    (dense / "modules.json").write_text(json.dumps({"idx": 0}))
    with pytest.raises(InputError, match="modules.json: not a list of steps"):
        open_text_tower(dense)


def test_what_is_no_text_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such directory; expected the directory of a text enc"):
        open_text_tower(tmp_path / "none")
    with pytest.raises(InputError, match="not a loadable text encoder"):
        open_text_tower(tmp_path)
    t5 = T5Config(vocab_size=len(TOKENIZER), d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    AutoModel.from_config(t5).save_pretrained(tmp_path)
    TOKENIZER.save(tmp_path)
    with pytest.raises(InputError, match="a t5 encodes and decodes"):
        open_text_tower(tmp_path)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    folder = save_encoder(tmp_path, "bert")
    torch.save(AutoModel.from_pretrained(folder).state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="not a loadable text encoder"):
        open_text_tower(folder)
