"""The score stage, as plain code: clips and their captions embedded by CLAP, and compared."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from curation.annotate.batching import OomThreshold, run_with_oom_backoff
from curation.annotate.stages import Clip
from curation.audio.waveform import from_int16
from curation.models.captioners.base import Candidate
from curation.models.scorers.base import Scorer
from curation.schema import Failure
from curation.stats import spearman

_NOT_FINITE = Failure("score", "not_finite", "the score of one of its captions is not finite")


class _Asked(NamedTuple):
    """Candidates to be compared with their clip, whose embedding is `[dim]`."""

    clip: Clip
    embedding: np.ndarray
    candidates: list[Candidate]


def score(scorer: Scorer, batch: list[Clip], limit: OomThreshold | None = None) -> None:
    """Score, by their cosine with the clip, the candidates that have no score yet.

    Each clip is embedded once: one whose tags were verified is embedded already. `limit` is what
    is known of the scorer's memory; None forgets what is learned here.
    """
    embed(scorer, batch, limit)
    asked = [
        _Asked(clip, clip.embedding, clip.candidates[len(clip.clap_scores) :])
        for clip in batch
        if clip.failure is None and clip.embedding is not None
    ]
    for clip, cosines in _compared(scorer, asked):
        clip.clap_scores += cosines


def score_again(scorer: Scorer, batch: list[Clip], limit: OomThreshold | None = None) -> None:
    """Score the candidates of scored clips by a second scorer, and say how far both agree."""
    heard = _embedded(scorer, batch, limit)
    asked = [_Asked(clip, embedding, clip.candidates) for clip, embedding in heard]
    for clip, cosines in _compared(scorer, asked):
        clip.second_scores = cosines
        clip.agreement = spearman(clip.clap_scores, cosines)


def embed(scorer: Scorer, batch: list[Clip], limit: OomThreshold | None = None) -> None:
    """Embed each clip that is not embedded yet; those that cannot be fail."""
    new = [clip for clip in batch if clip.embedding is None]
    for clip, embedding in _embedded(scorer, new, limit):
        clip.embedding = embedding


def below(clips: Iterable[Clip], enough_score: float) -> list[Clip]:
    """Of clips that did not fail, those none of whose candidates scores enough."""
    scored = [clip for clip in clips if clip.failure is None]
    return [clip for clip in scored if max(clip.clap_scores) < enough_score]


def _embedded(
    scorer: Scorer, batch: list[Clip], limit: OomThreshold | None
) -> list[tuple[Clip, np.ndarray]]:
    """Clips that have not failed with their embeddings; those that cannot be embedded fail."""
    batch = [clip for clip in batch if clip.failure is None]
    rate = scorer.sample_rate_hz
    embedded = run_with_oom_backoff(
        batch,
        rate,
        lambda part: scorer.embed_audio([from_int16(clip.waveforms[rate]) for clip in part]),
        "score",
        limit or OomThreshold(),
    )
    heard = []
    for clip, embedding in zip(batch, embedded, strict=True):
        if isinstance(embedding, Failure):
            clip.failure = embedding
        else:
            heard.append((clip, embedding))
    return heard


def _compared(scorer: Scorer, asked: list[_Asked]) -> Iterator[tuple[Clip, list[float]]]:
    """The cosines of clips with their candidates; a caption that several have is embedded once.

    A clip fails where one of them is not finite.
    """
    captions = sorted({candidate.caption for each in asked for candidate in each.candidates})
    if not captions:
        return
    try:
        texts = dict(zip(captions, scorer.embed_text(captions), strict=True))
    except Exception as error:
        for each in asked:
            each.clip.failure = Failure("score", type(error).__name__, str(error))
        return
    for clip, embedding, candidates in asked:
        cosines = [float(embedding @ texts[candidate.caption]) for candidate in candidates]
        if np.isfinite(cosines).all():
            yield clip, cosines
        else:
            clip.failure = _NOT_FINITE
