"""The policy: by which rules a caption is accepted. Applied by `select`, as often as one likes."""

import hashlib
from typing import Literal, Self

from pydantic import Field, model_validator

from curation.section import Section


class Policy(Section):
    """The second scorer's veto, then best of k within a clip, then the threshold on the rest."""

    score: Literal["clap", "log_prob", "combined"] = Field(
        "clap",
        description="What captions are ranked and filtered by: the CLAP score, the captioner's "
        "log-probability a token, or the sum of both after each is standardised over the run.",
    )
    per_clip: int = Field(1, ge=1, description="How many of a clip's best candidates go on.")
    min_score: float | None = Field(
        None, description="Absolute threshold on the score; its scale is that of the model used."
    )
    min_second_score: float | None = Field(
        None,
        description="Absolute threshold on the second scorer's score: a candidate below it is out "
        "before a clip's best are taken; its scale is that of the second model.",
    )
    keep_top: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Keep this fraction, best first, of what per_clip let through.",
    )
    within: Literal["all", "tag"] = Field(
        "all",
        description="Take keep_top over the whole run, or within each tag (a clip counts with its "
        "rarest tag, so that a rare class is not judged beside a common one).",
    )

    @model_validator(mode="after")
    def _one_threshold(self) -> Self:
        if self.min_score is not None and self.keep_top is not None:
            raise ValueError("give min_score or keep_top, not both")
        if self.within == "tag" and self.keep_top is None:
            raise ValueError("within: tag needs keep_top")
        return self

    def digest(self) -> str:
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]
