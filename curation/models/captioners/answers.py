"""What a model wrote for a clip becomes its candidates, or the clip's failure."""

from collections.abc import Sequence
from typing import NamedTuple

from curation.models.captioners.base import Candidate
from curation.models.captioners.cleaning import Rejection, clean
from curation.schema import Failure

# How much of what a model wrote is told when none of it is a caption.
_TOLD = 200


class Answer(NamedTuple):
    """What a model wrote, its mean log-probability a token, and whether it came to its end.

    The log-probability is None where the model does not tell it.
    """

    text: str
    method: str
    log_prob: float | None
    ended: bool


def candidates(
    answers: Sequence[Answer | None], labels: Sequence[str] = ()
) -> list[Candidate] | Failure:
    """The answers that are captions, cleaned; a failure that tells of the first where none is.

    Args:
        answers: of one clip; None where the model's logits were not finite.
        labels: the names of the tags that the model was given.
    """
    captions: list[Candidate] = []
    rejected: list[tuple[Rejection, str]] = []
    for answer in answers:
        if answer is None:
            return Failure("caption", "not_finite", "the model's logits are not finite")
        cleaned = clean(answer.text, labels, answer.ended)
        if isinstance(cleaned, Rejection):
            rejected.append((cleaned, answer.text))
        else:
            captions.append(Candidate(cleaned, answer.method, answer.log_prob))
    if captions or not rejected:
        return captions
    (reason,), text = rejected[0]
    cut = text if len(text) <= _TOLD else f"{text[:_TOLD]} ..."
    return Failure(
        "caption", reason, f"none of {len(rejected)} is a caption; the model wrote: {cut}"
    )
