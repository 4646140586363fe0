"""Defines the YAML sections of data: the curated tables, and how clips are read and cropped."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator

from curation.audio.segment import MIN_DURATION_S
from curation.section import Section
from curation.uris import absolute_uri

# The same from any working directory and in any process.
Uri = Annotated[str, AfterValidator(absolute_uri)]
CaptionSampling = Literal["uniform", "rank", "score"]

SCORE_TEMPERATURE = 0.05


class TableRef(Section):
    """One curated table."""

    uri: Uri = Field(description="The table's folder, local or s3://.")
    version: int | None = Field(default=None, ge=0, description="None: the newest at the start.")


class LoaderConfig(Section):
    """Reading, cropping and captions of clips."""

    crop_s: float = Field(
        default=10.0,
        ge=MIN_DURATION_S,
        description="Longest crop, in seconds; a longer clip is cropped at a random place.",
    )
    workers: int = Field(
        default=2, ge=0, description="Processes that decode; 0 decodes in this one."
    )
    prefetch_batches: int = Field(
        default=2, ge=1, description="Batches that each process decodes ahead."
    )
    cache_mb: int = Field(
        default=0,
        ge=0,
        description="Memory in each decoding process to cache decoded clips up to crop_s long; "
        "for small tables and many epochs.",
    )
    caption_sampling: CaptionSampling = Field(
        default="uniform",
        description="How one of a clip's captions is drawn each epoch: with equal probability "
        f"(uniform), by 1 / rank (rank), or by exp(clap_score / {SCORE_TEMPERATURE}) (score).",
    )
    bucket_by_duration: bool = Field(
        default=True, description="Clips of similar duration share a batch."
    )
    max_unreadable_fraction: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of all clips that may be unreadable; each is replaced by another "
        "clip. A larger share stops the training.",
    )


class DataConfig(LoaderConfig):
    """The curated tables to train on, and how their clips are read."""

    tables: tuple[TableRef, ...] = Field(
        min_length=1, description="Tables trained on together; a plain path is its newest version."
    )

    @field_validator("tables", mode="before")
    @classmethod
    def _plain_paths(cls, value: Any) -> Any:
        tables = [value] if isinstance(value, str) else value
        return [{"uri": table} if isinstance(table, str) else table for table in tables]
