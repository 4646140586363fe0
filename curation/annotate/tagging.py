"""The tag stage, as plain code: tags predicted, checked by ear, and handed to the captioner."""

import numpy as np

from curation.annotate import scoring
from curation.annotate.batching import OomThreshold, run_with_oom_backoff
from curation.annotate.stages import Clip
from curation.audio.waveform import from_int16
from curation.models.scorers.base import Scorer
from curation.models.taggers.base import Tagger
from curation.schema import Failure, Tag
from curation.tags.guidance import class_phrase, select_guidance_tags


def tag(
    tagger: Tagger, batch: list[Clip], keep_given: bool, limit: OomThreshold | None = None
) -> None:
    """Put a tagger's tags on clips; those that it cannot serve fail one by one.

    They stand in place of the tags that a clip was given; or, where these are kept, behind them,
    but for classes that are among them. `limit` is what is known of the tagger's memory.
    """
    rate = tagger.sample_rate_hz
    predicted = run_with_oom_backoff(
        batch,
        rate,
        lambda part: tagger.tag([from_int16(clip.waveforms[rate]) for clip in part]),
        "tag",
        limit or OomThreshold(),
    )
    for clip, tags in zip(batch, predicted, strict=True):
        if isinstance(tags, Failure):
            clip.failure = tags
        else:
            clip.tags = _joined(clip.tags, tags) if keep_given else tags


def _joined(given: list[Tag], predicted: list[Tag]) -> list[Tag]:
    mids = {each.mid for each in given}
    return given + [each for each in predicted if each.mid not in mids]


class Verifier:
    """Scores tags by ear: the cosine of a clip with the phrase of each of its tags.

    The phrase is what stands in captions ("a dog barking"), so that the score of a tag is on the
    scale of those of captions. Each class is embedded once, and by itself: its score is then the
    same whatever this process verified before.
    """

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._phrases: dict[str, np.ndarray] = {}  # by class id

    def verify(self, batch: list[Clip], limit: OomThreshold | None = None) -> None:
        """Score the tags of clips, and keep the clips' embeddings for the score stage."""
        scoring.embed(self._scorer, batch, limit)
        heard = [clip for clip in batch if clip.failure is None]
        rate = self._scorer.sample_rate_hz
        scored = run_with_oom_backoff(
            heard, rate, lambda part: [self._scores(clip) for clip in part], "tag", OomThreshold()
        )
        for clip, scores in zip(heard, scored, strict=True):
            if isinstance(scores, Failure):
                clip.failure = scores
            else:
                clip.tag_scores = scores

    def _scores(self, clip: Clip) -> list[float]:
        assert clip.embedding is not None
        return [float(clip.embedding @ self._phrase(each.mid)) for each in clip.tags]

    def _phrase(self, mid: str) -> np.ndarray:
        if mid not in self._phrases:
            [self._phrases[mid]] = self._scorer.embed_text([class_phrase(mid)])
        return self._phrases[mid]


def guide(clip: Clip, min_confidence: float, min_score: float | None = None) -> None:
    """Give the captioner this clip's tags: leaves only, abstract classes out.

    Args:
        clip: what to caption.
        min_confidence: the least confidence of a tag that guides.
        min_score: the least CLAP score of one, where tags were verified; None: they were not.
    """
    tags = clip.tags
    if min_score is not None:
        assert clip.tag_scores is not None
        scored = zip(clip.tags, clip.tag_scores, strict=True)
        tags = [each for each, score in scored if score >= min_score]
    clip.guidance = select_guidance_tags(tags, min_confidence)
