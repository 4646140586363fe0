"""Computes retrieval figures, from text to audio and from audio to text, in a set of clips."""

from collections.abc import Sequence

import numpy as np

from curation.models.scorers.base import Scorer
from training.evaluate import scores
from training.evaluate.evalset import EvalClip
from training.evaluate.prompts import normalise_rows

_RECALLS = (1, 5, 10)
_PRECISION_DEPTH = 10


def retrieval_figures(
    scorer: Scorer, audio: np.ndarray, clips: Sequence[EvalClip]
) -> dict[str, dict[str, float]]:
    """Compute the retrieval figures in both directions; see `figures_from_similarities`.

    Args:
        scorer: embeds the captions; already set up.
        audio: embeddings `[clip, dim]`.
    """
    captions = [caption for clip in clips for caption in clip.captions]
    clip_of = np.repeat(np.arange(len(clips)), [len(clip.captions) for clip in clips])
    # A caption that several clips share is embedded once, so that its similarities tie exactly.
    distinct, row_of = np.unique(captions, return_inverse=True)
    similarities = normalise_rows(scorer.embed_text(distinct.tolist())) @ normalise_rows(audio).T
    return figures_from_similarities(similarities[row_of], clip_of)


def figures_from_similarities(
    similarities: np.ndarray, clip_of: np.ndarray
) -> dict[str, dict[str, float]]:
    """Compute R@1, R@5, R@10 and mAP@10 in both directions.

    From text to audio, each caption ranks all clips. From audio to text, each clip ranks all
    captions. R@k uses the best rank among the clip's own captions, and mAP@10 the ranks of all of
    them.

    Args:
        similarities: of captions to clips `[caption, clip]`.
        clip_of: the clip of each caption `[caption]`; every clip has a caption.
    """
    to_audio = scores.text_to_audio_ranks(similarities, clip_of)
    to_text = scores.audio_to_text_ranks(similarities, clip_of)
    return {
        "text_to_audio": _figures([to_audio[row : row + 1] for row in range(len(to_audio))]),
        "audio_to_text": _figures(to_text),
    }


def _figures(ranks: list[np.ndarray]) -> dict[str, float]:
    best = np.array([query[0] for query in ranks])
    precision = scores.mean_average_precision_at(ranks, _PRECISION_DEPTH)
    return {
        **{f"R@{k}": scores.recall_at(best, k) for k in _RECALLS},
        f"mAP@{_PRECISION_DEPTH}": precision,
    }
