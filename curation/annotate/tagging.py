"""The tag stages: predict tags, verify tags, and choose the tags that guide the captioner."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from curation.annotate.batching import OomThreshold, run_with_oom_backoff, update_clips
from curation.annotate.clip import AnnotatedClip
from curation.annotate.embedding import add_embeddings
from curation.models.scorers.base import Scorer
from curation.models.taggers.base import Tagger
from curation.schema import Tag
from curation.tags.guidance import class_phrase, select_guidance_tags


def tag_clips(
    tagger: Tagger,
    batch: list[AnnotatedClip],
    keep_given: bool,
    threshold: OomThreshold | None = None,
) -> list[AnnotatedClip]:
    """Add the tags of a tagger to clips. If the tagger cannot process a clip, only that clip fails.

    Without `keep_given` the predicted tags replace the given tags. With `keep_given` they follow
    the given tags, and classes that are already given are not repeated. `threshold` is the known
    limit of the tagger's memory, or None if no limit is known.
    """
    rate_hz = tagger.sample_rate_hz
    return update_clips(
        batch,
        lambda clips: run_with_oom_backoff(
            clips,
            rate_hz,
            lambda part: tagger.tag([clip.waveform(rate_hz) for clip in part]),
            "tag",
            threshold or OomThreshold(),
        ),
        lambda clip, tags: replace(clip, tags=_join(clip.tags, tags) if keep_given else tags),
    )


def _join(given: Sequence[Tag], predicted: Sequence[Tag]) -> list[Tag]:
    mids = {each.mid for each in given}
    return [*given, *(each for each in predicted if each.mid not in mids)]


class TagVerifier:
    """Scores each tag of a clip by the cosine of the clip with a phrase for the tag.

    The phrase is the one used in captions ("a dog barking"), so tag scores and caption scores have
    the same scale. Each class is embedded once and alone, so its score does not depend on the
    classes that this process verified before.
    """

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._phrases: dict[str, np.ndarray] = {}  # by class id

    def verify(
        self, batch: list[AnnotatedClip], threshold: OomThreshold | None = None
    ) -> list[AnnotatedClip]:
        """Score the tags of clips, and store the clips' embeddings for the score stage."""
        batch = add_embeddings(self._scorer, batch, threshold or OomThreshold())
        rate_hz = self._scorer.sample_rate_hz
        return update_clips(
            batch,
            lambda clips: run_with_oom_backoff(
                clips,
                rate_hz,
                lambda part: [self._score_tags(clip) for clip in part],
                "tag",
                OomThreshold(),
            ),
            lambda clip, scores: replace(clip, tag_scores=scores),
        )

    def _score_tags(self, clip: AnnotatedClip) -> list[float]:
        assert clip.embedding is not None
        return [float(clip.embedding @ self._embed_phrase(each.mid)) for each in clip.tags]

    def _embed_phrase(self, mid: str) -> np.ndarray:
        if mid not in self._phrases:
            [self._phrases[mid]] = self._scorer.embed_text([class_phrase(mid)])
        return self._phrases[mid]


def add_guidance(
    clip: AnnotatedClip, min_confidence: float, min_score: float | None = None
) -> AnnotatedClip:
    """Choose the tags that guide the captioner for a clip.

    Abstract classes do not guide, nor do classes that are implied by a more specific tag of the
    clip.

    Args:
        clip: the clip to caption.
        min_confidence: the lowest confidence of a guiding tag.
        min_score: the lowest CLAP score of a guiding tag; None if tags were not verified.
    """
    tags = list(clip.tags)
    if min_score is not None:
        assert clip.tag_scores is not None
        scored = zip(clip.tags, clip.tag_scores, strict=True)
        tags = [each for each, score in scored if score >= min_score]
    return replace(clip, guidance=select_guidance_tags(tags, min_confidence))
