"""Turns the texts that a model wrote for a clip into candidates, or into a failure."""

from collections.abc import Sequence
from typing import NamedTuple

from curation.models.captioners.base import Candidate
from curation.models.captioners.cleaning import RejectedText, clean_caption
from curation.schema import Failure

# Characters of a model's text that are quoted if none of it is a caption.
_MAX_SHOWN_CHARS = 200


class GeneratedText(NamedTuple):
    """A text, its mean log-probability per token, and whether it ended before the token limit.

    The log-probability is None if the model does not return it.
    """

    text: str
    method: str
    log_prob: float | None
    ended: bool


def build_candidates(
    answers: Sequence[GeneratedText | None], labels: Sequence[str] = ()
) -> list[Candidate] | Failure:
    """Return the captions among a clip's answers, cleaned; a failure if there is no caption.

    The failure quotes the first answer.

    Args:
        answers: the answers for one clip; None if the model's logits were not finite.
        labels: the names of the tags given to the model.
    """
    captions: list[Candidate] = []
    rejected: list[tuple[RejectedText, str]] = []
    for answer in answers:
        if answer is None:
            return Failure("caption", "not_finite", "the model's logits are not finite")
        cleaned = clean_caption(answer.text, labels, answer.ended)
        if isinstance(cleaned, RejectedText):
            rejected.append((cleaned, answer.text))
        else:
            captions.append(Candidate(cleaned, answer.method, answer.log_prob))
    if captions or not rejected:
        return captions
    (reason,), text = rejected[0]
    cut = text if len(text) <= _MAX_SHOWN_CHARS else f"{text[:_MAX_SHOWN_CHARS]} ..."
    return Failure(
        "caption", reason, f"none of {len(rejected)} is a caption; the model wrote: {cut}"
    )
