"""The text tower is transformers' BERT: its weights, outputs, gradients and first weights."""

import pytest
import torch
from transformers import BertConfig as TransformersConfig
from transformers import BertModel

from curation.models.networks.bert import Bert, BertConfig, is_plain_bert

SIZES = {
    "vocab_size": 50,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 20,
}
IDS = torch.tensor([[1, 5, 7, 9, 2], [1, 6, 2, 0, 0], [1, 40, 41, 2, 0]])
MASK = (IDS > 0).long()


def both(**changes: float) -> tuple[Bert, BertModel]:
    """Our encoder and transformers', from one seed each."""
    values = {**SIZES, **changes}
    torch.manual_seed(4)
    ours = Bert(BertConfig.from_dict(values))
    torch.manual_seed(4)
    return ours, BertModel(TransformersConfig(**values), add_pooling_layer=False)


def test_a_seed_gives_the_same_first_weights() -> None:
    ours, theirs = both(initializer_range=0.1)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value), name


@pytest.mark.parametrize("mask", [MASK, torch.ones_like(MASK)], ids=["padded", "whole"])
def test_hidden_states_are_equal(mask: torch.Tensor) -> None:
    ours, theirs = both()
    with torch.no_grad():
        expected = theirs.eval()(input_ids=IDS, attention_mask=mask).last_hidden_state
        got = ours.eval()(IDS, mask).last_hidden_state
    assert torch.equal(got, expected)


def test_gradients_and_dropout_are_equal() -> None:
    gradients = []
    for model in both():
        torch.manual_seed(0)
        model.train()(input_ids=IDS, attention_mask=MASK).last_hidden_state[:, 0].sum().backward()
        gradients.append({name: each.grad for name, each in model.named_parameters()})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[1].items():
        torch.testing.assert_close(gradients[0][name], gradient, msg=name)


def test_checkpointing_changes_no_gradient() -> None:
    ours, _ = both()
    gradients = []
    for enabled in (False, True):
        ours.checkpointing = enabled
        ours.zero_grad()
        torch.manual_seed(0)
        ours.train()(IDS, MASK).last_hidden_state[:, 0].square().sum().backward()
        gradients.append({name: each.grad.clone() for name, each in ours.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


@pytest.mark.parametrize(
    ("change", "plain"),
    [
        ({}, True),
        ({"hidden_act": "gelu", "position_embedding_type": "absolute"}, True),
        ({"hidden_act": "relu"}, False),
        ({"is_decoder": True}, False),
        ({"model_type": "roberta"}, False),
    ],
)
def test_other_encoders_are_left_to_transformers(change: dict[str, object], plain: bool) -> None:
    assert is_plain_bert({"model_type": "bert", **SIZES, **change}) is plain
