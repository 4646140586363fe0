"""Defines the YAML sections of `tagscribe-train pretrain` on curated tables."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from curation.section import Section
from curation.storage.settings import StorageConfig
from training.config.augmentation import PretrainAugmentConfig
from training.config.data import DataConfig, Uri
from training.config.networks import (
    ClapModelConfig,
    DualEncoderModelConfig,
    PretrainedModelConfig,
    with_default_kind,
)


class PretrainScheduleConfig(Section):
    """Steps, batch size and optimiser: AdamW, with a linear warm-up and a half cosine."""

    epochs: int = Field(default=10, ge=1)
    global_batch_size: int = Field(
        default=64, ge=2, description="Clips per step, over all processes."
    )
    micro_batch_size: int | None = Field(
        default=None, ge=1, description="Clips embedded at once in a process (GradCache)."
    )
    learning_rate: float = Field(default=1e-3, gt=0)
    muon_learning_rate: float | None = Field(
        default=None, gt=0, description="Convolutions are optimised by Muon at this rate."
    )
    weight_decay: float = Field(default=0.01, ge=0, description="Applied to matrices only.")
    warmup_fraction: float = Field(
        default=0.1, ge=0, lt=1, description="Share of the steps with a rising rate."
    )
    max_gradient_norm: float = Field(default=1.0, gt=0)
    ema_decay: float | None = Field(
        default=None, gt=0, lt=1, description="Decay of the averaged weights; they are the result."
    )


class RuntimeConfig(Section):
    """Use of the machine; it does not affect the result, except by rounding."""

    device: str = Field(default="auto", description='"auto": a GPU where there is one.')
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="auto: bf16 on a GPU."
    )
    compile: bool = Field(default=False, description="torch.compile of both towers.")
    gradient_checkpointing: bool = Field(default=False, description="Less memory, more time.")


class SavingConfig(Section):
    """Which checkpoints and metrics are written during a training."""

    log_every_steps: int = Field(default=10, ge=1, description="Steps.")
    checkpoint_every_steps: int = Field(
        default=200, ge=1, description="Steps; the last always counts. These are evaluated."
    )
    checkpoint_every_s: float | None = Field(
        default=120.0, gt=0, description="Seconds since the previous one; null: by steps only."
    )
    keep_checkpoints: int = Field(
        default=2, ge=1, description="Number of newest checkpoints to keep."
    )
    trackers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = Field(
        default=("tensorboard",), description="Beside metrics.jsonl; each must be installed."
    )


class ValidationConfig(Section):
    """A data set on which each regular checkpoint is evaluated, in a process of its own."""

    dataset: str = Field(description="Name as in tagscribe-train evaluate.")
    data: str = Field(description="The dataset's folder.")
    split: str | None = None


class LaunchConfig(Section):
    """Where the training runs; ignored under torchrun."""

    cluster: str | None = Field(
        default=None,
        description="null: in this process. ray: Ray Train on a Ray that is started on this "
        "machine. auto, or an address: Ray Train on that cluster.",
    )
    workers: int | tuple[int, int] = Field(
        default=1, description="A number, or minimum and maximum of an elastic group."
    )
    # Whole numbers: Ray's elastic groups wait without end for fractions.
    cpus_per_worker: int = Field(default=1, ge=1)
    gpus_per_worker: int = Field(default=0, ge=0)
    max_failures: int = Field(default=3, ge=-1, description="Restarts; -1 for no bound.")

    @field_validator("workers")
    @classmethod
    def _least_and_most(cls, value: int | tuple[int, int]) -> int | tuple[int, int]:
        least, most = (value, value) if isinstance(value, int) else value
        if not 1 <= least <= most:
            raise ValueError(f"{value}: expected 1 or more, the least before the most")
        return value


class PretrainConfig(Section):
    """All settings of `tagscribe-train pretrain` on curated tables."""

    run: Uri = Field(description="Folder of checkpoints, metrics and the model; local or s3://.")
    storage: StorageConfig = Field(
        default=StorageConfig(), description="As in a run's YAML, without secrets."
    )
    data: DataConfig
    model: Annotated[
        DualEncoderModelConfig | ClapModelConfig | PretrainedModelConfig,
        Field(discriminator="kind"),
    ] = DualEncoderModelConfig()
    loss: Literal["info_nce", "sigmoid"] = "info_nce"
    seed: int = Field(default=0, ge=0)
    augment: PretrainAugmentConfig = PretrainAugmentConfig()
    schedule: PretrainScheduleConfig = PretrainScheduleConfig()
    runtime: RuntimeConfig = RuntimeConfig()
    saving: SavingConfig = SavingConfig()
    validation: tuple[ValidationConfig, ...] = ()
    launch: LaunchConfig = LaunchConfig()

    @field_validator("model", mode="before")
    @classmethod
    def _dual_encoder_by_default(cls, value: Any) -> Any:
        return with_default_kind("dual_encoder", value)

    def result_settings(self) -> dict[str, Any]:
        """Return the settings that affect the result; they may not change when a run is resumed."""
        kept = {"data", "model", "loss", "seed", "augment", "schedule"}
        values = self.model_dump(mode="json", include=kept)
        return {
            **values,
            "data": {**values["data"], "workers": None, "prefetch_batches": None, "cache_mb": None},
        }
