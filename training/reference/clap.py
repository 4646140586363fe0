"""Trains the dual encoder on the procedural corpus, and evaluates it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from curation.models.caption_tokenizer import CaptionTokenizer, TokenBatch
from curation.models.networks.cnn14 import Cnn14Config
from curation.models.networks.dual_encoder import DualEncoder, DualEncoderConfig
from curation.models.word_tokenizer import build_word_tokenizer
from curation.stats import auc
from curation.synth.classes import SOUND_CLASSES
from curation.synth.corpus import scene_tags
from curation.synth.negatives import NEGATIVE_KINDS, make_hard_negative, make_hard_negatives
from curation.synth.scenes import make_scene
from training.config.reference import ReferenceClapConfig
from training.data.augmentation import augment
from training.evaluate.scores import top_k_recall
from training.losses import hard_negative_sigmoid, info_nce
from training.reference.batches import crop_to_shortest, pad_features
from training.reference.corpus import FeatureCorpus
from training.reference.training_loop import train_epochs

_EVALUATION_BATCH = 32
_VOCABULARY_SCENES = 5000


class ReferenceClapObjective(nn.Module):
    """The dual encoder, with a threshold and a tag head that are used only in training."""

    def __init__(self, model: DualEncoder, tags: int, tag_loss_weight: float) -> None:
        super().__init__()
        self.model = model
        self.bias = nn.Parameter(torch.tensor(-5.0))
        self.tag_head = nn.Linear(model.audio.width, tags)
        self.tag_loss_weight = tag_loss_weight

    def forward(
        self,
        features: Tensor,
        lengths: Tensor,
        tokens: TokenBatch,
        false_negatives: Tensor,
        tag_targets: Tensor,
    ) -> Tensor:
        """Compute the loss of a batch.

        Args:
            features: log-mel features `[batch, frame, mel]`; the first `lengths` frames of a clip
                are valid.
            tokens: the true captions of all clips, followed by the wrong captions of each clip:
                `[batch * (1 + wrong), token]`.
            false_negatives: true if two clips have the same scene `[batch, batch]`.
            tag_targets: the tags of each clip `[batch, tag]`.
        """
        pooled = self.model.audio(features, lengths)
        audio = self.model.project_audio(pooled)
        captions = self.model.encode_text(*tokens)
        text, wrong = captions[: len(audio)], captions[len(audio) :].unflatten(0, (len(audio), -1))
        scale = self.model.logit_scale.exp()
        return (
            info_nce(audio, text, scale, wrong, false_negatives)
            + hard_negative_sigmoid(audio, text, wrong, scale, self.bias)
            + self.tag_loss_weight
            * F.binary_cross_entropy_with_logits(self.tag_head(pooled), tag_targets)
        )


def train_clap_on_corpus(
    config: ReferenceClapConfig, corpus: FeatureCorpus, seed: int, progress: bool = True
) -> tuple[DualEncoder, CaptionTokenizer, list[float]]:
    """Train on a rendered corpus; returns model, tokenizer and mean loss of each epoch."""
    torch.manual_seed(seed)
    tokenizer = build_word_tokenizer(_sentences(corpus.seed), config.max_text_tokens)
    model = DualEncoder(_model_config(config, len(tokenizer)))
    mids = [sound.mid for sound in SOUND_CLASSES]
    objective = ReferenceClapObjective(model, len(mids), config.tag_loss_weight)
    random = torch.Generator().manual_seed(seed)

    def compute_loss(rows: list[int], rng: np.random.Generator) -> Tensor:
        scenes = [corpus.scenes[row] for row in rows]
        features, frames = crop_to_shortest([corpus.features[row] for row in rows], rng)
        features, frames = augment(features, frames, config.augment, random)
        captions = [str(rng.choice(scene.captions)) for scene in scenes]
        for scene in scenes:
            captions += make_hard_negatives(scene, rng, config.hard_negatives)
        tokens = tokenizer.encode(captions)
        keys = [(scene.classes, scene.relation) for scene in scenes]
        false_negatives = torch.tensor([[one == other for other in keys] for one in keys])
        targets = torch.tensor([[mid in scene_tags(scene) for mid in mids] for scene in scenes])
        return objective(features, frames, tokens, false_negatives, targets.float())

    clip_frames = [len(feature) for feature in corpus.features]
    losses = train_epochs(objective, clip_frames, compute_loss, config.schedule, seed, progress)
    return model, tokenizer, losses


def evaluate_reference_clap(
    model: DualEncoder, tokenizer: CaptionTokenizer, corpus: FeatureCorpus
) -> dict[str, Any]:
    """Compute the AUC of true against wrong captions by kind of error, and retrieval figures.

    Each clip's first caption is the true one. In retrieval, a clip of the same scene counts as
    right.
    """
    audio = embed_features(model, corpus.features)
    text = embed_captions(model, tokenizer, [scene.captions[0] for scene in corpus.scenes])
    similarities = text @ audio.T
    keys = [(scene.classes, scene.relation) for scene in corpus.scenes]
    same_scene = np.array([[one == other for other in keys] for one in keys])
    report: dict[str, Any] = {
        "auc": {"random": auc(similarities[same_scene], similarities[~same_scene])},
        "text_to_audio": {f"r@{k}": top_k_recall(similarities, k, same_scene) for k in (1, 10)},
        "audio_to_text": {f"r@{k}": top_k_recall(similarities.T, k, same_scene) for k in (1, 10)},
    }
    for kind in NEGATIVE_KINDS:
        rng = np.random.default_rng((corpus.seed, NEGATIVE_KINDS.index(kind)))
        wrong = [make_hard_negative(scene, rng, kind) for scene in corpus.scenes]
        rows = [row for row, caption in enumerate(wrong) if caption is not None]
        embedded = embed_captions(model, tokenizer, [wrong[row] or "" for row in rows])
        scores = (embedded * audio[rows]).sum(axis=1)
        report["auc"][kind] = auc(similarities[rows, rows], scores)
    return report


def embed_features(model: DualEncoder, features: Sequence[Tensor]) -> np.ndarray:
    """Embed log-mel features as unit vectors `[clip, dim]`."""
    embeddings = []
    for start in range(0, len(features), _EVALUATION_BATCH):
        with torch.inference_mode():
            batch = pad_features(features[start : start + _EVALUATION_BATCH])
            embeddings.append(model.encode_features(*batch).numpy())
    return np.concatenate(embeddings)


def embed_captions(
    model: DualEncoder, tokenizer: CaptionTokenizer, captions: Sequence[str]
) -> np.ndarray:
    """Embed captions as unit vectors `[caption, dim]`."""
    tokens = tokenizer.encode(captions, model.config.max_text_tokens)
    with torch.inference_mode():
        return model.encode_text(*tokens).numpy()


def _sentences(seed: int) -> list[str]:
    """Captions enough to hold every word of the procedural language; no sound is made."""
    scenes = (make_scene(seed, index) for index in range(_VOCABULARY_SCENES))
    return [caption for scene in scenes for caption in scene.captions]


def _model_config(config: ReferenceClapConfig, words: int) -> DualEncoderConfig:
    return DualEncoderConfig(
        frontend=config.frontend.log_mel(),
        cnn=Cnn14Config(**config.cnn.model_dump(), mels=config.frontend.mels),
        audio_layers=config.audio_layers,
        audio_dim=config.audio_dim,
        audio_heads=config.audio_heads,
        text={
            "model_type": "bert",
            "vocab_size": words,
            "hidden_size": config.text_dim,
            "num_hidden_layers": config.text_layers,
            "num_attention_heads": config.text_heads,
            "intermediate_size": config.text_feed_forward,
            "max_position_embeddings": config.max_text_tokens,
            "hidden_dropout_prob": config.text_dropout,
            "attention_probs_dropout_prob": config.text_dropout,
        },
        max_text_tokens=config.max_text_tokens,
        embed_dim=config.embed_dim,
    )
