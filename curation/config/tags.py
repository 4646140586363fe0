"""The `tags:` section of a run's YAML: which tags a clip has."""

from typing import Literal, Self

from pydantic import Field, model_validator

from curation.config.models import TaggerConfig
from curation.section import Section


class VerifyConfig(Section):
    """Tags are verified by their CLAP score before they guide a caption."""

    min_score: float = Field(
        description="A tag whose own name scores below this is not handed to the captioner; the "
        "scale is the scorer's (tagscribe models calibrate)."
    )


class TagsConfig(Section):
    """Which tags a clip has: the catalog's, a tagger's, or both."""

    use: Literal["given", "predicted", "both"] = Field(
        "given",
        description="given: the catalog's; predicted: the tagger's instead; both: the catalog's, "
        "and of the tagger's those that are not among them.",
    )
    tagger: TaggerConfig | None = Field(None, description="Who predicts tags; null: nobody.")
    verify: VerifyConfig | None = Field(
        None, description="Check tags by their CLAP score before they guide; null: trust them."
    )

    @model_validator(mode="after")
    def _someone_predicts(self) -> Self:
        if (self.use == "given") != (self.tagger is None):
            raise ValueError(
                f"use: {self.use} "
                + ("names a tagger that nobody asks; " if self.tagger else "needs a tagger; ")
                + "predicted and both go with a tagger, given goes without"
            )
        return self
