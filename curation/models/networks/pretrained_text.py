"""Text encoders of transformers inside this package's networks: construction and checkpointing."""

from functools import partial
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.configuration_utils import PreTrainedConfig
from transformers.modeling_layers import GradientCheckpointingLayer

_WITH_POOLER = {"bert", "camembert", "mpnet", "roberta", "xlm-roberta"}


def build_pretrained_text(values: dict[str, Any]) -> PreTrainedModel:
    """The encoder of a configuration with `model_type`: random weights, no pooler."""
    config = AutoConfig.for_model(**values)
    return AutoModel.from_config(config, **without_pooler(config))


def without_pooler(text: PreTrainedConfig) -> dict[str, bool]:
    """The argument that omits a text tower's pooler, whose output is never used."""
    return {"add_pooling_layer": False} if text.model_type in _WITH_POOLER else {}


def set_layer_checkpointing(model: nn.Module, enabled: bool) -> None:
    """Switch checkpointing of every layer of a transformers model.

    It does not use transformers' own switch, which CLAP lacks and whose name is changing.
    """
    for layer in model.modules():
        if isinstance(layer, GradientCheckpointingLayer):
            layer.gradient_checkpointing = enabled
            layer._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)
