"""BERT (Devlin et al. 2018) as a text tower: only the encoder, without transformers.

Weight names, outputs and, for a given seed, initial weights equal those of transformers'
`BertModel` without its pooler. So `Bert` can open directories of `BertModel`, and the reverse.
"""

from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from curation.models.networks.initialisation import initialise_weights

# Values of a configuration that change what the encoder computes, and those that it computes with.
_SUPPORTED = {
    "hidden_act": ("gelu",),
    "is_decoder": (False,),
    "position_embedding_type": ("absolute",),
}


@dataclass(frozen=True)
class BertConfig:
    """Sizes of a `Bert`, under the names of transformers; the defaults are those of BERT-base."""

    model_type: ClassVar[str] = "bert"

    vocab_size: int = 30_522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "BertConfig":
        """Read the sizes from a configuration of transformers; other keys are ignored."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})


def is_plain_bert(values: dict[str, Any]) -> bool:
    """Whether a text tower's configuration describes a BERT that `Bert` implements."""
    return values.get("model_type") == BertConfig.model_type and all(
        values.get(name, supported[0]) in supported for name, supported in _SUPPORTED.items()
    )


class BertOutput(NamedTuple):
    """The output of a `Bert`: `last_hidden_state [batch, token, hidden]`."""

    last_hidden_state: Tensor


class Bert(nn.Module):
    """BERT's embeddings and encoder layers.

    Attributes:
        checkpointing: in training, recompute the layers' activations instead of storing them.
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.checkpointing = False
        self.embeddings = _Embeddings(config)
        layers = (_Layer(config) for _ in range(config.num_hidden_layers))
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(layers)})
        initialise_weights(self, config.initializer_range)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> BertOutput:
        """Encode token ids `[batch, token]`; `attention_mask` is zero at padding."""
        x = self.embeddings(input_ids)
        mask = _attention_mask(attention_mask)
        for layer in self.encoder["layer"].children():
            if self.checkpointing and self.training:
                x = checkpoint(layer, x, mask, use_reentrant=False)
            else:
                x = layer(x, mask)
        return BertOutput(x)


class _Embeddings(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        dim = config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, dim, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, dim)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, dim)
        self.LayerNorm = nn.LayerNorm(dim, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, ids: Tensor) -> Tensor:
        positions = torch.arange(ids.shape[1], device=ids.device)
        # Every token is of the first sentence.
        x = self.word_embeddings(ids) + self.token_type_embeddings(torch.zeros_like(ids))
        return self.dropout(self.LayerNorm(x + self.position_embeddings(positions)))


class _Layer(nn.Module):
    """Self-attention and feed-forward, normalised behind each."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        dim, hidden = config.hidden_size, config.intermediate_size
        self.attention = nn.ModuleDict({"self": _Attention(config), "output": _Output(config, dim)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(dim, hidden)})
        self.output = _Output(config, hidden)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = self.attention["output"](self.attention["self"](x, mask), x)
        return self.output(F.gelu(self.intermediate["dense"](x)), x)


class _Attention(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        dim = config.hidden_size
        if dim % config.num_attention_heads:
            raise ValueError(
                f"hidden_size {dim} is no multiple of num_attention_heads "
                f"{config.num_attention_heads}"
            )
        self.heads = config.num_attention_heads
        self.dropout = config.attention_probs_dropout_prob
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        queries, keys, values = (
            project(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for project in (self.query, self.key, self.value)
        )
        attended = F.scaled_dot_product_attention(
            queries,
            keys,
            values,
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
        )
        return attended.transpose(1, 2).flatten(2)


class _Output(nn.Module):
    """A linear layer, dropout, and the norm of its sum with what went in before."""

    def __init__(self, config: BertConfig, inputs: int) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        return self.LayerNorm(self.dropout(self.dense(x)) + residual)


def _attention_mask(mask: Tensor) -> Tensor | None:
    """True if a token may be attended to `[batch, 1, token, token]`; None if all may.

    Attention without a mask has faster kernels. A compiled graph cannot depend on the values.
    """
    if not torch.compiler.is_compiling() and bool(mask.all()):
        return None
    tokens = mask.shape[1]
    return mask.bool()[:, None, None, :].expand(-1, -1, tokens, -1)
