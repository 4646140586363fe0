"""The YAML file of a run as typed data. An unknown key is an error."""

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from curation.config.annotate import AnnotateConfig
from curation.config.catalog import CatalogConfig
from curation.config.models import (
    CaptionerConfig,
    DualEncoderScorerConfig,
    ScorerConfig,
    TagGuidedConfig,
)
from curation.config.policy import Policy
from curation.config.tags import TagsConfig
from curation.section import DataPath, Section
from curation.storage.settings import StorageConfig
from curation.uris import absolute_uri


class AudioConfig(Section):
    """How the audio of a clip is decoded and checked."""

    max_duration_s: float = Field(
        10.0, gt=0, description="Longer clips are cut to the central window of this length."
    )
    silence_dbfs: float = Field(
        -70.0, description="A clip with a lower peak becomes an error row, type silent."
    )


class AdaptiveConfig(Section):
    """Writes more candidates only for clips whose first candidates score low."""

    first: int = Field(ge=1, description="Number of candidates that every clip gets.")
    enough_score: float = Field(
        description="A clip whose best CLAP score is lower gets the rest of captioner.candidates."
    )


class TableConfig(Section):
    """The columns of the curated table besides captions and scores."""

    audio: Literal["reference", "embed"] = Field(
        "reference", description="reference: uri, start and end only; embed: 16-bit FLAC as well."
    )
    sample_rate_hz: int = Field(
        32000, ge=4000, description="Rate of the embedded audio; use that of the training."
    )


class PricesConfig(Section):
    """Prices in dollars, for the estimate of `plan` and the cost that `status` prints."""

    gpu_hour: float = Field(
        0.0, ge=0, description="An hour of a GPU; an actor with a share of a GPU costs that share."
    )
    cpu_hour: float = Field(
        0.0, ge=0, description="An hour of a logical CPU of a worker without a GPU."
    )
    storage_gb_month: float = Field(0.0, ge=0, description="A GB (10^9 bytes) stored for a month.")
    reads_1000: float = Field(0.0, ge=0, description="A thousand requests that read an object.")
    writes_1000: float = Field(0.0, ge=0, description="A thousand requests that write an object.")


class RunConfig(Section):
    """The configuration of a run, which turns clips into a curated table."""

    run: DataPath = Field(description="Folder of the run, local or s3://; created if needed.")
    seed: int = Field(0, ge=0, description="Seed of the sampled candidates.")
    cluster: str = Field(
        "local",
        description="Where the workers run. local: processes of this machine, without Ray; ray: "
        "a Ray that is started on this machine, on loopback; auto: the Ray cluster "
        "of this process; or the address of one.",
    )
    storage: StorageConfig = Field(
        StorageConfig(), description="Access to object storage, without secrets."
    )
    catalog: CatalogConfig = Field(description="Source of the clips and their tags.")
    audio: AudioConfig = Field(AudioConfig(), description="Decoding of clips.")
    tags: TagsConfig = Field(TagsConfig(), description="Which tags a clip has.")
    captioner: CaptionerConfig = Field(
        TagGuidedConfig(), description="Model that writes the captions."
    )
    adaptive: AdaptiveConfig | None = Field(
        None,
        description="More candidates only for clips with low scores; null: all candidates "
        "for every clip.",
    )
    scorer: ScorerConfig = Field(
        DualEncoderScorerConfig(), description="Model that scores the captions."
    )
    second_scorer: ScorerConfig | None = Field(
        None, description="Another scorer; its scores are stored beside those of the first."
    )
    annotate: AnnotateConfig = Field(
        AnnotateConfig(), description="How the work is split and placed."
    )
    max_error_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="If a larger share of the clips with audio fails, the run exits with 4 "
        "before it selects. If the first 64 of them all fail at one stage with one "
        "kind of error, it exits with 3 before it writes them. 1: neither.",
    )
    select: Policy = Field(Policy(), description="Which captions are accepted.")
    table: TableConfig = Field(TableConfig(), description="Content of the curated table.")
    prices: PricesConfig = Field(PricesConfig(), description="Prices of the hardware.")
    metrics_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="Loopback port at which Prometheus reads the metrics of a run on cluster: "
        "local or ray; null: none. Other clusters have their own port.",
    )

    @model_validator(mode="after")
    def _adaptive_fits(self) -> Self:
        if not self.adaptive:
            return self
        if self.annotate.placement != "fused":
            raise ValueError("adaptive needs annotate.placement: fused")
        if self.adaptive.first >= self.captioner.candidates:
            raise ValueError(
                f"adaptive.first: {self.adaptive.first}; expected fewer than "
                f"captioner.candidates ({self.captioner.candidates})"
            )
        return self

    @model_validator(mode="after")
    def _vllm_has_a_pool(self) -> Self:
        if self.captioner.kind != "vllm":
            return self
        if self.annotate.placement != "separate":
            raise ValueError(
                "captioner.kind: vllm needs annotate.placement: separate, as vLLM has a process "
                "and an environment of its own"
            )
        if self.annotate.model_memory != "resident":
            raise ValueError(
                "captioner.kind: vllm needs annotate.model_memory: resident, as vLLM keeps its GPU"
            )
        return self

    @field_validator("run")
    @classmethod
    def _absolute(cls, run: str) -> str:
        # Workers have another working directory.
        return absolute_uri(run)

    @property
    def batch_seconds(self) -> float:
        """The budget of a model batch, in seconds of audio.

        The budget is the same on every device, so that runs are comparable.
        """
        if self.annotate.batch_seconds == "auto":
            return 640.0 if self.captioner.kind == "tag_guided" else 160.0
        return self.annotate.batch_seconds

    def evidence_settings(self) -> dict[str, Any]:
        """Return the settings that affect the evidence.

        All commands on one run folder must have the same values of these settings. They must also
        have the same size of a shard, which the plan stores. Settings of placement and selection
        may change between commands.
        """
        sections = {"seed", "catalog", "audio", "tags", "captioner", "adaptive", "scorer"}
        settings = self.model_dump(mode="json", include=sections | {"second_scorer"})
        settings["captioner"].pop("runtime_env", None)
        settings["annotate"] = {
            "batch_seconds": self.batch_seconds,
            "batch_tokens": self.annotate.batch_tokens,
        }
        return settings
