"""The score stages: score candidates by their cosine similarity with the clip.

A run has one or two scorers.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from curation.annotate.batching import OomThreshold, update_clips
from curation.annotate.clip import AnnotatedClip
from curation.annotate.embedding import add_embeddings, compute_embeddings
from curation.annotate.features import add_features
from curation.models.captioners.base import Candidate
from curation.models.scorers.base import Scorer
from curation.schema import Failure
from curation.stats import spearman

_NOT_FINITE = Failure("score", "not_finite", "the score of one of its captions is not finite")


def score_clips(
    scorer: Scorer, batch: list[AnnotatedClip], threshold: OomThreshold | None = None
) -> list[AnnotatedClip]:
    """Score the candidates that have no score yet.

    A clip is embedded once. If its tags were verified, it already has an embedding. `threshold` is
    the known limit of the scorer's memory, or None if no limit is known.
    """
    batch = add_embeddings(scorer, batch, threshold or OomThreshold())
    return update_clips(
        batch,
        lambda clips: _compute_cosines(
            scorer, [(clip.embedding, _unscored(clip)) for clip in clips]
        ),
        _add_scores,
    )


def score_clips_again(
    scorer: Scorer, batch: list[AnnotatedClip], threshold: OomThreshold | None = None
) -> list[AnnotatedClip]:
    """Score the candidates with a second scorer, and compute the agreement of the two scorers."""
    threshold = threshold or OomThreshold()

    def compute(clips: list[AnnotatedClip]) -> list[list[float] | Failure]:
        embeddings = compute_embeddings(scorer, clips, threshold)
        pairs = [(emb, clip.candidates) for clip, emb in zip(clips, embeddings, strict=True)]
        return _compute_cosines(scorer, pairs)

    batch = add_features(scorer, batch, "score", threshold)
    return update_clips(batch, compute, _add_second_scores)


def best_score(clip: AnnotatedClip) -> float:
    """Return the highest CLAP score among the candidates of a scored clip."""
    return max(each.clap_score for each in clip.candidates if each.clap_score is not None)


def is_below(clip: AnnotatedClip, enough_score: float) -> bool:
    """Whether a clip did not fail and all its candidates score below `enough_score`."""
    return clip.failure is None and best_score(clip) < enough_score


def _unscored(clip: AnnotatedClip) -> list[Candidate]:
    return [candidate for candidate in clip.candidates if candidate.clap_score is None]


def _add_scores(clip: AnnotatedClip, cosines: list[float]) -> AnnotatedClip:
    scores = iter(cosines)
    scored = [
        replace(candidate, clap_score=next(scores)) if candidate.clap_score is None else candidate
        for candidate in clip.candidates
    ]
    return replace(clip, candidates=scored)


def _add_second_scores(clip: AnnotatedClip, cosines: list[float]) -> AnnotatedClip:
    pairs = list(zip(clip.candidates, cosines, strict=True))
    first = [each.clap_score for each in clip.candidates if each.clap_score is not None]
    return replace(
        clip,
        candidates=[replace(candidate, second_score=score) for candidate, score in pairs],
        agreement=spearman(first, cosines),
    )


def _compute_cosines(
    scorer: Scorer, pairs: Sequence[tuple[np.ndarray | Failure | None, Sequence[Candidate]]]
) -> list[list[float] | Failure]:
    """Cosines of each embedding with its candidates; a caption of several clips is embedded once.

    A clip fails where one of its cosines is not finite, and where its embedding failed.
    """
    embedded = [candidates for embedding, candidates in pairs if not isinstance(embedding, Failure)]
    captions = sorted({candidate.caption for each in embedded for candidate in each})
    try:
        texts = dict(zip(captions, scorer.embed_text(captions), strict=True)) if captions else {}
    except Exception as error:
        failure = Failure("score", type(error).__name__, str(error))
        return [embedding if isinstance(embedding, Failure) else failure for embedding, _ in pairs]
    return [_cosines(embedding, candidates, texts) for embedding, candidates in pairs]


def _cosines(
    embedding: np.ndarray | Failure | None,
    candidates: Sequence[Candidate],
    texts: dict[str, np.ndarray],
) -> list[float] | Failure:
    if isinstance(embedding, Failure):
        return embedding
    assert embedding is not None
    cosines = [float(embedding @ texts[candidate.caption]) for candidate in candidates]
    return cosines if np.isfinite(cosines).all() else _NOT_FINITE
