"""What a pre-training on curated tables is told, as typed data."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from curation.storage.settings import StorageConfig
from curation.uris import absolute_uri
from training.config.reference import AugmentConfig, CnnConfig, FrontendConfig, Section
from training.data.loader import LoaderConfig

# Named alike from any folder and in any process.
Uri = Annotated[str, AfterValidator(absolute_uri)]


class TableRef(Section):
    """One curated table."""

    uri: Uri = Field(description="The table's folder, local or s3://.")
    version: int | None = Field(default=None, ge=0, description="None: the newest at the start.")


class DataConfig(LoaderConfig):
    """What is trained on, and how it is read."""

    tables: tuple[TableRef, ...] = Field(
        min_length=1, description="Tables trained on together; a plain path is its newest version."
    )

    @field_validator("tables", mode="before")
    @classmethod
    def _plain_paths(cls, value: Any) -> Any:
        tables = [value] if isinstance(value, str) else value
        return [{"uri": table} if isinstance(table, str) else table for table in tables]


class WordTextConfig(Section):
    """A small BERT over whole words, its vocabulary that of the captions trained on."""

    kind: Literal["words"] = "words"
    dim: int = Field(default=128, ge=8)
    layers: int = Field(default=2, ge=1)
    heads: int = Field(default=4, ge=1)
    feed_forward: int = Field(default=256, ge=8)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    max_tokens: int = Field(default=32, ge=4)


class PretrainedTextConfig(Section):
    """Any transformers encoder, or a sentence-transformers model."""

    kind: Literal["pretrained"] = "pretrained"
    model: str = Field(description="A directory or a hub id.")
    revision: str | None = Field(default=None, description="Of the hub id; pin it.")
    frozen: bool = Field(
        default=False, description="Keep its weights; each caption is then embedded once."
    )


class DualEncoderModelConfig(Section):
    """CNN14 and a text encoder, one linear layer each; the defaults are the reference's size."""

    kind: Literal["dual_encoder"] = "dual_encoder"
    frontend: FrontendConfig = FrontendConfig()
    cnn: CnnConfig = CnnConfig()
    audio_layers: int = Field(default=2, ge=0, description="0: CNN14 pools, as in BLAT.")
    audio_dim: int = Field(default=128, ge=8)
    audio_heads: int = Field(default=4, ge=1)
    embed_dim: int = Field(default=128, ge=2)
    text: Annotated[WordTextConfig | PretrainedTextConfig, Field(discriminator="kind")] = (
        WordTextConfig()
    )

    @field_validator("text", mode="before")
    @classmethod
    def _words_by_default(cls, value: Any) -> Any:
        return _with_default_kind("words", value)

    @model_validator(mode="after")
    def _pools(self) -> "DualEncoderModelConfig":
        if not self.audio_layers and self.cnn.embed_dim is None:
            raise ValueError("cnn.embed_dim is needed where audio_layers is 0: CNN14 then pools")
        return self


class ClapModelConfig(Section):
    """transformers' ClapModel (HTSAT and RoBERTa), its defaults LAION's sizes."""

    kind: Literal["clap"] = "clap"
    tokenizer: str = Field(description="Directory or hub id of the text tower's tokenizer.")
    tokenizer_revision: str | None = Field(default=None, description="Of the hub id; pin it.")
    audio: dict[str, Any] = Field(default={}, description="Keys of ClapAudioConfig.")
    text: dict[str, Any] = Field(default={}, description="Keys of ClapTextConfig.")
    frontend: dict[str, Any] = Field(default={}, description="Keys of ClapFeatureExtractor.")
    embed_dim: int = Field(default=512, ge=2)


class PretrainedModelConfig(Section):
    """An existing model whose training goes on."""

    kind: Literal["pretrained"] = "pretrained"
    model: str = Field(description="A directory, 'reference', or a hub id.")
    revision: str | None = Field(default=None, description="Of the hub id; pin it.")


class PretrainAugmentConfig(AugmentConfig):
    """Random changes of what is heard; 0 is off."""

    mixup: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of clips that another of the batch is added to, captions joined.",
    )


class PretrainScheduleConfig(Section):
    """AdamW under a linear warm-up and half a cosine."""

    epochs: int = Field(default=10, ge=1)
    global_batch_size: int = Field(default=64, ge=2, description="Of all processes together.")
    micro_batch_size: int | None = Field(
        default=None, ge=1, description="Clips embedded at once in a process (GradCache)."
    )
    learning_rate: float = Field(default=1e-3, gt=0)
    muon_learning_rate: float | None = Field(
        default=None, gt=0, description="Convolutions are optimised by Muon at this rate."
    )
    weight_decay: float = Field(default=0.01, ge=0, description="Of matrices alone.")
    warmup_fraction: float = Field(
        default=0.1, ge=0, lt=1, description="Share of the steps that it rises."
    )
    max_gradient_norm: float = Field(default=1.0, gt=0)
    ema_decay: float | None = Field(
        default=None, gt=0, lt=1, description="Decay of the averaged weights; they are the result."
    )


class RuntimeConfig(Section):
    """How the machine is used; none of it changes what is learnt, but for rounding."""

    device: str = Field(default="auto", description='"auto": a GPU where there is one.')
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="auto: bf16 on a GPU."
    )
    compile: bool = Field(default=False, description="torch.compile of both towers.")
    gradient_checkpointing: bool = Field(default=False, description="Less memory, more time.")


class SavingConfig(Section):
    """What is written while training."""

    log_every_steps: int = Field(default=10, ge=1, description="Steps.")
    checkpoint_every_steps: int = Field(
        default=200, ge=1, description="Steps; the last always counts."
    )
    keep_checkpoints: int = Field(default=2, ge=1, description="Checkpoints kept, the newest.")
    trackers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = Field(
        default=("tensorboard",), description="Beside metrics.jsonl; each must be installed."
    )


class ValidationConfig(Section):
    """One evaluation of each checkpoint, in a process of its own beside the training."""

    dataset: str = Field(description="As tagscribe-train evaluate names it.")
    data: str = Field(description="The dataset's folder.")
    split: str | None = None


class LaunchConfig(Section):
    """Where the training runs; under torchrun this section is not read."""

    cluster: str | None = Field(
        default=None,
        description="None: in this process. 'local', 'auto' or an address: Ray Train.",
    )
    workers: int | tuple[int, int] = Field(
        default=1, description="A number, or the least and the most of an elastic group."
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
    """`tagscribe-train pretrain` on curated tables."""

    run: Uri = Field(description="Folder of checkpoints, metrics and the model; local or s3://.")
    storage: StorageConfig = Field(
        default=StorageConfig(), description="As in a run's YAML; never a secret."
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
        return _with_default_kind("dual_encoder", value)

    def result_settings(self) -> dict[str, Any]:
        """What decides on the result, and may not change while a run goes on."""
        kept = {"data", "model", "loss", "seed", "augment", "schedule"}
        values = self.model_dump(mode="json", include=kept)
        return {
            **values,
            "data": {**values["data"], "workers": None, "prefetch_batches": None, "cache_mb": None},
        }


def _with_default_kind(kind: str, value: Any) -> Any:
    """A section that does not say its kind is of the usual one."""
    return {"kind": kind, **value} if isinstance(value, dict) else value
