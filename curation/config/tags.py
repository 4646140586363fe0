"""The `tags:` section of a run's YAML: which tags a clip has."""

from typing import Literal, Self

from pydantic import Field, model_validator

from curation.config.models import TaggerConfig
from curation.section import Section


class VerifyConfig(Section):
    """Verifies tags by their CLAP score before they guide a caption."""

    min_score: float = Field(
        description="A tag whose name scores lower is not given to the captioner; the scale is "
        "the scorer's (tagscribe models calibrate)."
    )


class TagsConfig(Section):
    """Where the tags of a clip come from: the catalog, a tagger, or both."""

    use: Literal["given", "predicted", "both"] = Field(
        "given",
        description="given: the catalog's; predicted: the tagger's; both: the catalog's, and "
        "those that the tagger adds.",
    )
    tagger: TaggerConfig | None = Field(None, description="Model that predicts tags; null: none.")
    verify: VerifyConfig | None = Field(
        None, description="Verify tags by their CLAP score before they guide; null: do not verify."
    )

    @model_validator(mode="after")
    def _someone_predicts(self) -> Self:
        if (self.use == "given") != (self.tagger is None):
            raise ValueError(
                f"use: {self.use} "
                + ("does not use the tagger; " if self.tagger else "needs a tagger; ")
                + "predicted and both need one, given must have none"
            )
        return self
