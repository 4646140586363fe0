"""Builds text encoders of transformers for this package's networks.

It also switches activation checkpointing of transformers models on and off.
"""

from functools import partial
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.configuration_utils import PreTrainedConfig
from transformers.modeling_layers import GradientCheckpointingLayer

_WITH_POOLER = {"bert", "camembert", "mpnet", "roberta", "xlm-roberta"}


def build_pretrained_text(values: dict[str, Any]) -> PreTrainedModel:
    """Build the encoder that a configuration with `model_type` describes.

    The weights are random, and there is no pooler.
    """
    config = AutoConfig.for_model(**values)
    return AutoModel.from_config(config, **without_pooler(config))


def without_pooler(text: PreTrainedConfig) -> dict[str, bool]:
    """Return the argument that omits a text tower's pooler, whose output is never used."""
    return {"add_pooling_layer": False} if text.model_type in _WITH_POOLER else {}


def set_layer_checkpointing(model: nn.Module, enabled: bool) -> None:
    """Switch activation checkpointing of every layer of a transformers model on or off.

    transformers' own switch is not used, because CLAP lacks it and its name is changing.
    """
    for layer in model.modules():
        if isinstance(layer, GradientCheckpointingLayer):
            layer.gradient_checkpointing = enabled
            layer._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)
