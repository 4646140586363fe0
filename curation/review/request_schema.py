"""The requests of the review page, validated by pydantic: filters, policies, orders, verdicts."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from curation.config.policy import Policy, ScoreName

MAX_ROWS = 200

Comparison = Literal["all", "both", "only_first", "only_second"]
MarkFilter = Literal["all", "marked", "unmarked", "good", "bad", "corrected"]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EntryFilter(_Request):
    """A filter of entries; an entry must meet all conditions."""

    text: str = Field("", max_length=1000)  # words of the caption, or the start of a clip's id
    tags: tuple[int, ...] = Field((), max_length=50)  # any of them
    score: ScoreName = "clap"
    lowest: float | None = None
    highest: float | None = None
    outcome: str | None = Field(None, max_length=1000)  # one of select.policy.REASONS
    error: int | None = Field(None, ge=0)  # its place in About.errors
    marked: MarkFilter = "all"
    compared: Comparison = "all"  # what the two policies accept


class ViewRequest(_Request):
    """A request for rows of the page; by default they are in the order of the clips."""

    filter: EntryFilter = EntryFilter()
    policy: Policy
    other: Policy | None = None
    sort: Literal["threshold", "best", "worst", "clip", "sample"] = "clip"
    offset: int = Field(0, ge=0)
    limit: int = Field(50, ge=1, le=MAX_ROWS)


class YieldRequest(_Request):
    """A request for the yield of one policy, and optionally of a second policy."""

    policy: Policy
    other: Policy | None = None


class MarkRequest(_Request):
    """A request to write a mark.

    `sampled` is True if the caption was shown in the order of the sample.
    """

    entry: int = Field(ge=0)
    verdict: Literal["good", "bad", "corrected", "withdrawn"]
    corrected: str | None = Field(None, max_length=2000)
    sampled: bool = False
