"""Directories of tiny random taggers, as transformers writes them: nonsense, but AudioSet's."""

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTForAudioClassification,
    PreTrainedModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForSequenceClassification,
)

from curation.tags import ontology
from tests.support.tiny_networks import sharpened

RATE = 16000
BANDS = 32

# Custom code, whose head ends in a sigmoid as that of CED does.
CED_CODE = """
import torch
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput


class CedConfig(PreTrainedConfig):
    model_type = "ced"

    def __init__(self, pooling="mean", **others):
        super().__init__(**others)
        self.pooling = pooling


class CedForAudioClassification(PreTrainedModel):
    config_class = CedConfig

    def __init__(self, config):
        super().__init__(config)
        self.outputlayer = torch.nn.Linear(32, config.num_labels)
        self.post_init()

    def forward(self, input_values):
        pooled = self.outputlayer(input_values.mean(dim=1))
        outputs = pooled if self.config.pooling == "logit" else pooled.sigmoid()
        return SequenceClassifierOutput(logits=outputs)
"""
CED_CLASSES = {
    "AutoConfig": "modeling_ced.CedConfig",
    "AutoModelForAudioClassification": "modeling_ced.CedForAudioClassification",
}


def names() -> list[str]:
    """AudioSet's 527 labels, as AST's id2label has them."""
    return [ontology.class_name(mid) for mid in ontology.labelled_mids()]


def id2label(labels: Sequence[str] | None) -> dict[int, str]:
    return dict(enumerate(names() if labels is None else labels))


def ast(folder: Path, labels: Sequence[str] | None = None) -> PreTrainedModel:
    """An AST that uses 1.28 s; `labels` are those of AudioSet where none are given."""
    config = ASTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        time_stride=16,
        frequency_stride=16,
        max_length=128,
        num_mel_bins=BANDS,
        id2label=id2label(labels),
    )
    model = sharpened(ASTForAudioClassification(config))
    return _saved(folder, model)


def wav2vec2(folder: Path) -> PreTrainedModel:
    """A model that takes waveforms of any length, and ignores padding."""
    config = Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8, 8),
        conv_kernel=(10, 8),
        conv_stride=(10, 8),
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        classifier_proj_size=8,
        id2label=id2label(None),
    )
    model = sharpened(Wav2Vec2ForSequenceClassification(config))
    model.save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return model


def ced(folder: Path, pooling: str = "mean") -> PreTrainedModel:
    """A model whose code lies beside its weights."""
    folder.mkdir(exist_ok=True)
    code = folder / "modeling_ced.py"
    code.write_text(CED_CODE)
    spec = importlib.util.spec_from_file_location("modeling_ced", code)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.CedConfig(pooling=pooling, id2label=id2label(None))
    model = _saved(folder, sharpened(module.CedForAudioClassification(config)))
    edit_json(folder / "config.json", auto_map=CED_CLASSES)
    return model


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _saved(folder: Path, model: torch.nn.Module) -> PreTrainedModel:
    assert isinstance(model, PreTrainedModel)
    model.save_pretrained(folder)
    ASTFeatureExtractor(num_mel_bins=BANDS, max_length=128).save_pretrained(folder)
    return model
