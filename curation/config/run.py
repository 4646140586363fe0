"""The one YAML file of a run, as typed data: every key is known, every unknown key an error."""

import difflib
import math
import textwrap
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

from curation.config.catalog import CatalogConfig
from curation.config.models import (
    CaptionerConfig,
    DualEncoderConfig,
    ScorerConfig,
    TaggerConfig,
    TagGuidedConfig,
)
from curation.config.policy import Policy
from curation.errors import InputError
from curation.section import Section
from curation.storage import files as storage
from curation.storage.files import StorageConfig


class AudioConfig(Section):
    """How a clip's bytes become a waveform."""

    max_duration_s: float = Field(
        10.0, gt=0, description="A longer clip is heard in its central window of this length."
    )
    silence_dbfs: float = Field(
        -70.0, description="A clip whose peak lies below this is an error row, type silent."
    )


class AdaptiveConfig(Section):
    """More candidates only for clips whose first ones did not score well."""

    first: int = Field(ge=1, description="Candidates that every clip gets.")
    enough_score: float = Field(
        description="A clip whose best CLAP score is below this gets the rest of them."
    )


class VerifyConfig(Section):
    """Tags are checked by ear, by their CLAP score, before they guide a caption."""

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


def bounds(size: int | tuple[int, int]) -> tuple[int, int]:
    """The least and the most of a pool's size."""
    return (size, size) if isinstance(size, int) else size


def _check_size(size: int | tuple[int, int]) -> int | tuple[int, int]:
    least, most = bounds(size)
    if not 1 <= least <= most:
        raise ValueError(f"{size}: expected 1 or more, or [least, most]")
    return size


def _check_share(gpus: float) -> float:
    if gpus > 1 and gpus != int(gpus):
        raise ValueError(f"{gpus}: expected a fraction of one GPU, or whole GPUs")
    return gpus


def _check_node(node: str) -> str:
    if node in {"memory", "object_store_memory"}:
        raise ValueError(f"{node}: a resource of Ray's own; name the node type otherwise")
    return node


PoolSize = Annotated[int | tuple[int, int], AfterValidator(_check_size)]
GpuShare = Annotated[float, Field(ge=0), AfterValidator(_check_share)]
NodeType = Annotated[str, Field(pattern="^[a-z][a-z0-9_-]*$"), AfterValidator(_check_node)]


class PoolConfig(Section):
    """One pool of placement 'separate'; a number or [least, most] alone says its actors."""

    actors: PoolSize = Field(
        1, description="Actors: a number, or [least, most] between which the pool is sized."
    )
    cpus: int | None = Field(
        None, ge=1, description="CPUs of each actor; null: cpus_per_actor, 1 for decoders."
    )
    gpus: GpuShare | None = Field(
        None, description="GPU share of each actor; null: gpus_per_actor, 0 for decoders."
    )
    node: NodeType | None = Field(None, description="As annotate.node, for this pool alone.")

    @model_validator(mode="before")
    @classmethod
    def _size_alone(cls, value: Any) -> Any:
        return {"actors": value} if isinstance(value, int | list | tuple) else value


class PoolsConfig(Section):
    """The pools of placement 'separate'."""

    decoders: PoolConfig = Field(PoolConfig(), description="Actors that read and decode.")
    captioners: PoolConfig = Field(PoolConfig(), description="Actors that tag and caption.")
    scorers: PoolConfig = Field(PoolConfig(), description="Actors that score and write evidence.")


class AnnotateConfig(Section):
    """How the work is cut and placed. Only shard_clips and batch_* touch the evidence."""

    shard_clips: int = Field(
        512, ge=1, description="Clips a shard: the unit of work, of commit and of resume."
    )
    batch_seconds: float = Field(
        160.0, gt=0, description="Budget of a model batch: clips times the longest one's seconds."
    )
    batch_tokens: int | None = Field(
        None,
        ge=1,
        description="Budget of the captions that a model batch writes at once: clips times "
        "candidates times the longest caption's tokens; null: none but batch_seconds.",
    )
    models: Literal["together", "in_turns"] = Field(
        "together",
        description="Models of an actor that share a GPU: all in its memory, or one after the "
        "other for each shard, while the others wait in the host's.",
    )
    placement: Literal["fused", "separate"] = Field(
        "fused",
        description="fused: each actor reads, decodes, captions and scores its shard; separate: "
        "pools of decoders, captioners and scorers, sized apart.",
    )
    actors: int | tuple[int, int] | Literal["auto"] = Field(
        "auto",
        description="Actors of placement fused: a number, or [least, most] between which their "
        "pool is sized; auto: one a GPU, else one a CPU.",
    )
    pools: PoolsConfig = Field(
        PoolsConfig(),
        description="Placement separate only. A number or [least, most] in place of a pool's keys "
        "says its actors.",
    )
    gpus_per_actor: GpuShare = Field(
        0.0, description="GPU share of each actor that holds a model; 0 runs on CPUs."
    )
    cpus_per_actor: int | None = Field(
        None, ge=1, description="CPUs of each actor that holds a model; null: model_threads."
    )
    node: NodeType | None = Field(
        None,
        description="Type of the nodes that the actors run on: those whose Ray was started with "
        "this resource, as by ray start --resources '{\"captioner\": 1}'; null: any node.",
    )
    wait_for_nodes_s: float = Field(
        0.0,
        ge=0,
        description="How long a run waits for the first nodes that its pools need, on a cluster "
        "that grows; 0: every node is up, and what does not fit is an error at once.",
    )
    decode_threads: int = Field(2, ge=1, description="Threads that decode, per actor.")
    model_threads: int = Field(1, ge=1, description="Threads of the model's CPU work, per actor.")

    @field_validator("actors")
    @classmethod
    def _size_or_auto(cls, actors: Any) -> Any:
        return actors if actors == "auto" else _check_size(actors)


class TableConfig(Section):
    """What the curated table holds beside captions and scores."""

    audio: Literal["reference", "embed"] = Field(
        "reference", description="reference: uri, start and end only; embed: 16-bit FLAC as well."
    )
    sample_rate_hz: int = Field(
        32000, ge=4000, description="Rate of the embedded audio: that of the training."
    )


class PricesConfig(Section):
    """What things cost, in dollars; the estimate of plan and the cost in status are made of it."""

    gpu_hour: float = Field(
        0.0, ge=0, description="An hour of a GPU; an actor that holds a share pays that share."
    )
    cpu_hour: float = Field(
        0.0, ge=0, description="An hour of a logical CPU held by a worker without a GPU."
    )
    storage_gb_month: float = Field(0.0, ge=0, description="A GB (10^9 bytes) kept for a month.")
    reads_1000: float = Field(0.0, ge=0, description="A thousand requests that read an object.")
    writes_1000: float = Field(0.0, ge=0, description="A thousand requests that write an object.")


class RunConfig(Section):
    """One run, from clips to a curated table."""

    run: str = Field(description="Folder of the run, local or s3://; made when it is not there.")
    seed: int = Field(0, ge=0, description="Seed of the sampled candidates.")
    cluster: str = Field(
        "local",
        description="'local' starts Ray on this machine, on loopback; 'auto' joins the cluster "
        "this process runs in; or the address of one.",
    )
    storage: StorageConfig = Field(
        StorageConfig(), description="How object storage is reached; never a secret."
    )
    catalog: CatalogConfig = Field(description="Where clips and their tags come from.")
    audio: AudioConfig = Field(AudioConfig(), description="From bytes to waveform.")
    tags: TagsConfig = Field(TagsConfig(), description="Which tags a clip has.")
    captioner: CaptionerConfig = Field(TagGuidedConfig(), description="Who writes the captions.")
    adaptive: AdaptiveConfig | None = Field(
        None, description="Draw more candidates only where they are wanted; null: all for all."
    )
    scorer: ScorerConfig = Field(DualEncoderConfig(), description="Who scores them.")
    second_scorer: ScorerConfig | None = Field(
        None, description="Another scorer, whose scores are kept beside the first one's."
    )
    annotate: AnnotateConfig = Field(AnnotateConfig(), description="How the work is placed.")
    select: Policy = Field(Policy(), description="Which captions are accepted.")
    table: TableConfig = Field(TableConfig(), description="What the curated table holds.")
    prices: PricesConfig = Field(PricesConfig(), description="What the hardware costs.")
    metrics_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="Port of this machine's loopback at which Prometheus reads the metrics of a "
        "run on cluster: local; null: none. Another cluster has a port of its own.",
    )

    @model_validator(mode="after")
    def _adaptive_fits(self) -> Self:
        if not self.adaptive:
            return self
        if self.annotate.placement != "fused":
            raise ValueError("adaptive needs annotate.placement: fused, as scores ask for captions")
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
        if self.annotate.models != "together":
            raise ValueError(
                "captioner.kind: vllm needs annotate.models: together, as vLLM keeps its GPU"
            )
        return self

    @field_validator("run")
    @classmethod
    def _absolute(cls, run: str) -> str:
        # Workers have another working directory.
        return storage.absolute(run)

    def evidence_settings(self) -> dict[str, Any]:
        """The part of the configuration that decides what the evidence says.

        Where the work runs and how captions are selected may change between commands on one run
        folder; these settings may not.
        """
        sections = {"seed", "catalog", "audio", "tags", "captioner", "adaptive", "scorer"}
        settings = self.model_dump(mode="json", include=sections | {"second_scorer"})
        settings["captioner"].pop("runtime_env", None)
        cut = {"shard_clips", "batch_seconds", "batch_tokens"}
        settings["annotate"] = self.annotate.model_dump(include=cut)
        return settings


# Where each model's section stands, and what may stand there.
_MODEL_SECTIONS: dict[str, tuple[tuple[str, ...], Any]] = {
    "captioner": (("captioner",), CaptionerConfig),
    "scorer": (("scorer",), ScorerConfig),
    "tagger": (("tags", "tagger"), TaggerConfig),
}


def load(uri: str) -> RunConfig:
    """Read a run's YAML. Raises InputError naming file, key, what was expected and what to do."""
    try:
        text = storage.read_bytes(uri).decode()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(f"{uri}: no such file; expected the YAML of a run") from error
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{uri}: not YAML: {error}") from error
    if not isinstance(data, dict):
        raise InputError(
            f"{uri}: expected keys such as run: and catalog:; see tagscribe config --show"
        )
    return parse(data, uri)


def opened(uri: str) -> RunConfig:
    """As `load`, and what the YAML says of object storage holds in this process from here on."""
    config = load(uri)
    storage.configure(config.storage)
    return config


def parse(data: dict[str, Any], origin: str) -> RunConfig:
    try:
        return RunConfig.model_validate(data)
    except ValidationError as error:
        lines = [_explain(problem) for problem in error.errors()]
        raise InputError(f"{origin}: " + "; ".join(lines)) from error


def parse_model(part: str, text: str) -> Any:
    """The section of one model, as YAML: captioner, scorer or tagger. Raises InputError."""
    path, kind = _MODEL_SECTIONS[part]
    try:
        return TypeAdapter(kind).validate_python(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise InputError(f"{part}: not YAML: {error}") from error
    except ValidationError as error:
        lines = [_explain(problem, path) for problem in error.errors()]
        raise InputError("; ".join(lines)) from error


def _explain(problem: Any, above: tuple[str, ...] = ()) -> str:
    """One sentence for one validation problem, with the nearest key for a misspelt one."""
    path = [*above, *(str(part) for part in problem["loc"])]
    key = ".".join(path)
    if problem["type"] != "extra_forbidden":
        return f"{key or 'the file'}: {problem['msg']}"
    siblings = list(_known_keys(path[:-1]))
    near = difflib.get_close_matches(path[-1], siblings, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(siblings)}"
    return f"unknown key '{key}'; {hint}"


def _known_keys(path: list[str]) -> Iterator[str]:
    models: list[type[BaseModel]] = [RunConfig]
    for part in path:
        below = [
            model
            for parent in models
            if part in parent.model_fields
            for model in _models_of(parent.model_fields[part])
        ]
        # Pydantic names the chosen kind of a union as one more step, which is no key.
        chosen = [m for m in models if _kind_of(m) == part]
        models = below or chosen or models
    seen: dict[str, None] = {}
    for model in models:
        seen.update(dict.fromkeys(model.model_fields))
    return iter(seen)


def _kind_of(model: type[BaseModel]) -> str | None:
    kind = model.model_fields.get("kind")
    return get_args(kind.annotation)[0] if kind else None


def _models_of(field: FieldInfo) -> list[type[BaseModel]]:
    def walk(annotation: Any) -> Iterator[type[BaseModel]]:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield annotation
        for argument in get_args(annotation):
            yield from walk(argument)

    return list(walk(field.annotation))


def document() -> str:
    """The whole YAML with its defaults, every key explained by a comment."""
    return "\n".join(_document_model(RunConfig, 0)) + "\n"


def _document_model(model: type[BaseModel], depth: int) -> Iterator[str]:
    indent = "  " * depth
    for name, field in model.model_fields.items():
        for line in textwrap.wrap(field.description or "", 96 - len(indent)):
            yield f"{indent}# {line}"
        models = _models_of(field)
        if not models:
            yield f"{indent}{name}: {_example(field)}"
            continue
        left_out = not field.is_required() and field.default is None
        yield f"{indent}{name}: null" if left_out else f"{indent}{name}:"
        for index, child in enumerate(models):
            lines = list(_document_model(child, depth + 1))
            if len(models) > 1:
                summary = (child.__doc__ or "").strip().splitlines()[0]
                yield f"{indent}  # {'or, ' if index else ''}{_kind_of(child)}: {summary}"
            # Only one kind of a union can stand in the file, and a section that is null by default
            # stands there as that; the others stay comments.
            given = index == 0 and not left_out
            yield from lines if given else [_commented(line) for line in lines]


def _commented(line: str) -> str:
    stripped = line.lstrip()
    return line if stripped.startswith("#") else line.replace(stripped, f"# {stripped}", 1)


def _example(field: FieldInfo) -> str:
    if field.is_required():
        literal = get_args(field.annotation)
        return str(literal[0]) if literal else "<required>"
    dumped = yaml.safe_dump(field.default, default_flow_style=True, width=math.inf)
    return dumped.removesuffix("...\n").strip()
