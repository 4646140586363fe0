"""The tag stages: tags are predicted, verified by score, and handed to the captioner."""

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
    """Put a tagger's tags on clips; those that it cannot serve fail one by one.

    They replace the tags that a clip was given; or, with `keep_given`, follow them, without the
    classes that are among them. `threshold` is what is known of the tagger's memory.
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
    """Scores tags by the cosine of a clip with the phrase of each of its tags.

    The phrase is what stands in captions ("a dog barking"), so that the score of a tag is on the
    scale of those of captions. Each class is embedded once, and by itself: its score is then the
    same whatever this process verified before.
    """

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._phrases: dict[str, np.ndarray] = {}  # by class id

    def verify(
        self, batch: list[AnnotatedClip], threshold: OomThreshold | None = None
    ) -> list[AnnotatedClip]:
        """Score the tags of clips, and keep the clips' embeddings for the score stage."""
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
    """Give the captioner this clip's tags: leaves only, abstract classes out.

    Args:
        clip: what to caption.
        min_confidence: the least confidence of a tag that guides.
        min_score: the least CLAP score of one, where tags were verified; None: they were not.
    """
    tags = list(clip.tags)
    if min_score is not None:
        assert clip.tag_scores is not None
        scored = zip(clip.tags, clip.tag_scores, strict=True)
        tags = [each for each, score in scored if score >= min_score]
    return replace(clip, guidance=select_guidance_tags(tags, min_confidence))
