"""Classifies and tags clips zero-shot, by their similarity to the prompts of the classes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from curation.models.scorers.base import Scorer
from training.evaluate import scores
from training.evaluate.evalset import EvalClip
from training.evaluate.prompts import Captions, build_class_captions, embed_classes, normalise_rows


def zero_shot_figures(
    scorer: Scorer,
    audio: np.ndarray,
    clips: Sequence[EvalClip],
    classes: Sequence[str],
    multi_label: bool,
    custom: Captions | None = None,
) -> dict[str, dict[str, Any]]:
    """Compute accuracy, or mAP if clips have several labels, for each prompt and each class.

    mAP is the mean over the classes that have a clip. The other classes are counted as
    `classes_without_clips`, and their value in `by_class` is null.

    Args:
        scorer: embeds the prompts; already set up.
        audio: embeddings `[clip, dim]`.
        custom: the caller's captions by class, reported as "custom".

    Raises InputError if `custom` does not fit the classes.
    """
    figures = multi_label_figures if multi_label else single_label_figures
    index = {name: column for column, name in enumerate(classes)}
    truth = np.zeros((len(clips), len(classes)), dtype=np.bool_)
    for row, clip in enumerate(clips):
        truth[row, [index[label] for label in clip.labels]] = True
    unit = normalise_rows(audio)
    return {
        prompt: figures(unit @ embed_classes(scorer, captions).T, truth, classes)
        for prompt, captions in build_class_captions(classes, custom).items()
    }


def single_label_figures(
    similarities: np.ndarray, truth: np.ndarray, classes: Sequence[str]
) -> dict[str, Any]:
    """Compute accuracy, over all clips and by class, from similarities `[clip, class]`."""
    targets = truth.argmax(axis=1)
    right = scores.top_1_correct(similarities, targets)
    by_class = {
        name: float(right[targets == column].mean()) if (targets == column).any() else None
        for column, name in enumerate(classes)
    }
    return {
        "accuracy": float(right.mean()),
        "classes_without_clips": list(by_class.values()).count(None),
        "by_class": by_class,
    }


def multi_label_figures(
    similarities: np.ndarray, truth: np.ndarray, classes: Sequence[str]
) -> dict[str, Any]:
    """Compute macro mAP, and the average precision of each class.

    The similarities and the labels are `[clip, class]`.
    """
    values = scores.class_average_precisions(similarities, truth)
    measured = ~np.isnan(values)
    return {
        "mAP": float(values[measured].mean()),
        "classes_without_clips": int((~measured).sum()),
        "by_class": {
            name: float(value) if known else None
            for name, value, known in zip(classes, values, measured, strict=True)
        },
    }
