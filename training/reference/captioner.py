"""Trains the tag-guided captioner on the procedural corpus, and evaluates it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from curation.demo.grading import grade_caption
from curation.models.caption_tokenizer import CaptionTokenizer
from curation.models.decoding.batch_decoding import decode_captions
from curation.models.networks.cnn14 import Cnn14Config
from curation.models.networks.tag_guided_captioner import (
    IGNORED_LABEL,
    TagGuidedCaptioner,
    TagGuidedCaptionerConfig,
)
from curation.models.word_tokenizer import build_word_tokenizer
from curation.synth.classes import SOUND_CLASSES
from curation.synth.corpus import draw_noisy_tags, scene_tags
from curation.synth.scenes import RELATIONS, Scene
from training.config.reference import ReferenceCaptionerConfig
from training.data.augmentation import augment
from training.reference.batches import crop_to_shortest, pad_features
from training.reference.corpus import FeatureCorpus
from training.reference.training_loop import train_epochs

GUIDANCE = ("none", "noisy", "true")

_MAX_TOKENS = 30
_EVALUATION_BATCH = 32


def train_captioner_on_corpus(
    config: ReferenceCaptionerConfig, corpus: FeatureCorpus, seed: int, progress: bool = True
) -> tuple[TagGuidedCaptioner, CaptionTokenizer, list[float]]:
    """Train on a rendered corpus; returns model, tokenizer and mean loss of each epoch."""
    torch.manual_seed(seed)
    tokenizer = build_word_tokenizer(
        (caption for scene in corpus.scenes for caption in scene.captions), _MAX_TOKENS
    )
    model = TagGuidedCaptioner(_model_config(config, len(tokenizer)))
    random = torch.Generator().manual_seed(seed)

    def compute_loss(rows: list[int], rng: np.random.Generator) -> Tensor:
        scenes = [corpus.scenes[row] for row in rows]
        features, frames = crop_to_shortest([corpus.features[row] for row in rows], rng)
        features, frames = augment(features, frames, config.augment, random)
        given = [
            draw_noisy_tags(scene, rng) if rng.random() < config.noisy_tags else scene_tags(scene)
            for scene in scenes
        ]
        captions = [str(rng.choice(scene.captions)) for scene in scenes]
        return model(
            input_features=features,
            feature_lengths=frames,
            tags=tag_vectors(given, model),
            labels=caption_labels(captions, tokenizer),
            tag_targets=tag_vectors([scene_tags(scene) for scene in scenes], model),
        ).loss

    clip_frames = [len(feature) for feature in corpus.features]
    losses = train_epochs(model, clip_frames, compute_loss, config.schedule, seed, progress)
    return model, tokenizer, losses


def evaluate_reference_captioner(
    model: TagGuidedCaptioner, tokenizer: CaptionTokenizer, corpus: FeatureCorpus
) -> dict[str, Any]:
    """Evaluate greedy captions that are written without tags, with noisy and with true tags.

    `tag_f1` is the F1 score of the classes named in the captions. `all_right` is the share of
    captions with the right classes, order and relation. `by_relation` has this share for each
    relation.
    """
    report: dict[str, Any] = {}
    for guidance in GUIDANCE:
        tags = corpus_tags(corpus, guidance)
        captions = caption_features(model, tokenizer, corpus.features, tags)
        report[guidance] = _correctness(captions, corpus.scenes)
    return report


def caption_features(
    model: TagGuidedCaptioner,
    tokenizer: CaptionTokenizer,
    features: Sequence[Tensor],
    tags: Sequence[Sequence[str]],
    beams: int = 1,
) -> list[str]:
    """Return the caption of the best beam for each clip. With one beam, decoding is greedy."""
    model.eval()
    captions = []
    for start in range(0, len(features), _EVALUATION_BATCH):
        rows = slice(start, start + _EVALUATION_BATCH)
        batch, lengths = pad_features(features[rows])
        with torch.inference_mode():
            encoded = model.encoder(batch, lengths, tag_vectors(tags[rows], model))
        best, _ = decode_captions(model, encoded, beams, None, 1.0, _MAX_TOKENS)
        captions += [tokenizer.decode(one.ids) for one in best]
    return captions


def corpus_tags(corpus: FeatureCorpus, guidance: str) -> list[list[str]]:
    """Return each clip's tags for guidance (AudioSet ids), under a setting of `GUIDANCE`."""
    if guidance == "none":
        return [[] for _ in corpus.scenes]
    if guidance == "true":
        return [scene_tags(scene) for scene in corpus.scenes]
    return [
        draw_noisy_tags(scene, np.random.default_rng((corpus.seed, index, 2)))
        for index, scene in enumerate(corpus.scenes)
    ]


def tag_vectors(tags: Sequence[Sequence[str]], model: TagGuidedCaptioner) -> Tensor:
    """Encode tags as multi-hot vectors `[clip, tag]` over the model's tags."""
    places = {mid: index for index, mid in enumerate(model.config.tags)}
    vectors = torch.zeros(len(tags), len(places))
    for row, given in enumerate(tags):
        vectors[row, [places[mid] for mid in given]] = 1.0
    return vectors


def caption_labels(captions: Sequence[str], tokenizer: CaptionTokenizer) -> Tensor:
    """Encode captions as word ids `[caption, position]`, with end token, without start token."""
    ids, mask = tokenizer.encode(captions)
    ids = ids.masked_fill(mask == 0, IGNORED_LABEL)
    return ids[:, 1:]


def _model_config(config: ReferenceCaptionerConfig, words: int) -> TagGuidedCaptionerConfig:
    return TagGuidedCaptionerConfig(
        frontend=config.frontend.log_mel(),
        cnn=Cnn14Config(**config.cnn.model_dump(), mels=config.frontend.mels),
        tags=[sound.mid for sound in SOUND_CLASSES],
        guidance_mode=config.guidance_mode,
        guidance_dropout=config.guidance_dropout,
        tag_loss_weight=config.tag_loss_weight,
        label_smoothing=config.label_smoothing,
        dim=config.dim,
        heads=config.heads,
        feed_forward=config.feed_forward,
        encoder_layers=config.encoder_layers,
        decoder_layers=config.decoder_layers,
        dropout=config.dropout,
        vocab_size=words,
    )


def _correctness(captions: Sequence[str], scenes: Sequence[Scene]) -> dict[str, Any]:
    judgements = [grade_caption(text, scene) for text, scene in zip(captions, scenes, strict=True)]
    right = sum(judgement.true_positives for judgement in judgements)
    wrong = sum(judgement.false_positives + judgement.false_negatives for judgement in judgements)
    all_right = np.array([judgement.all_right for judgement in judgements])
    relations = np.array([scene.relation for scene in scenes])
    return {
        "tag_f1": 2 * right / max(1, 2 * right + wrong),
        "all_right": float(all_right.mean()),
        "by_relation": {
            relation: float(all_right[relations == relation].mean())
            for relation in RELATIONS
            if (relations == relation).any()
        },
    }
