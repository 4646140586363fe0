"""The `select:` section of a run's YAML: the rules by which a caption is accepted."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

ScoreName = Literal["clap", "log_prob", "combined"]


class Policy(BaseModel):
    """Settings of the rules that select captions. `select/policy.py` applies the rules."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    score: ScoreName = Field(
        "clap",
        description="Score for ranking and filtering: the CLAP score, the captioner's "
        "log-probability per token, or the sum of both after each is standardised "
        "over the run.",
    )
    max_per_clip: int = Field(1, ge=1, description="Number of a clip's best candidates to keep.")
    min_score: float | None = Field(
        None, description="Absolute threshold on the score; its scale is that of the model used."
    )
    min_second_score: float | None = Field(
        None,
        description="Absolute threshold on the second scorer's score: a candidate below it is "
        "rejected before a clip's best are chosen; its scale is that of the second "
        "model.",
    )
    top_fraction: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Accept this fraction, best first, of the candidates that max_per_clip keeps.",
    )
    stratify_by: Literal["tag"] | None = Field(
        None,
        description="Take top_fraction of each tag's clips (tag) or of the whole run (null). A "
        "clip counts with its rarest tag, so that a rare class does not compete with a common "
        "one.",
    )

    @model_validator(mode="after")
    def _one_threshold(self) -> Self:
        if self.min_score is not None and self.top_fraction is not None:
            raise ValueError("give min_score or top_fraction, not both")
        if self.stratify_by and self.top_fraction is None:
            raise ValueError(f"stratify_by: {self.stratify_by} needs top_fraction")
        return self
