"""The `annotate:` section of a run's YAML: how the work is split and placed."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from curation.section import Section


def pool_bounds(size: int | tuple[int, int]) -> tuple[int, int]:
    """Return the minimum and maximum number of actors for the size of a pool."""
    return (size, size) if isinstance(size, int) else size


def _check_size(size: int | tuple[int, int]) -> int | tuple[int, int]:
    least, most = pool_bounds(size)
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
NodeResource = Annotated[str, Field(pattern="^[a-z][a-z0-9_-]*$"), AfterValidator(_check_node)]


class PoolConfig(Section):
    """A pool of `placement: separate`.

    A pool may be written as a number or as [least, most], which then sets `actors`.
    """

    actors: PoolSize = Field(
        1, description="Number of actors, or [least, most] for a pool that grows during the run."
    )
    cpus: int | None = Field(
        None, ge=1, description="CPUs of each actor; null: cpus_per_actor, 1 for decoders."
    )
    gpus: GpuShare | None = Field(
        None, description="GPU share of each actor; null: gpus_per_actor, 0 for decoders."
    )
    node_resource: NodeResource | None = Field(
        None, description="As annotate.node_resource, for this pool only."
    )

    @model_validator(mode="before")
    @classmethod
    def _size_alone(cls, value: Any) -> Any:
        return {"actors": value} if isinstance(value, int | list | tuple) else value


class PoolsConfig(Section):
    """The pools of `placement: separate`."""

    decoders: PoolConfig = Field(PoolConfig(), description="Actors that read and decode.")
    captioners: PoolConfig = Field(PoolConfig(), description="Actors that tag and caption.")
    scorers: PoolConfig = Field(PoolConfig(), description="Actors that score and write evidence.")


class AnnotateConfig(Section):
    """How the work is split and placed. Only `shard_clips` and `batch_*` affect the evidence."""

    shard_clips: int | Literal["auto"] = Field(
        "auto",
        description="Clips per shard: the unit of work, of commit and of resume. auto: plan "
        "chooses it from the number of clips and stores it.",
    )
    batch_seconds: float | Literal["auto"] = Field(
        "auto",
        description="Budget of a model batch: number of clips times the seconds of the longest. "
        "auto: 640 for captioner.kind tag_guided, which is faster with large "
        "batches; 160 for others.",
    )
    batch_tokens: int | None = Field(
        None,
        ge=1,
        description="Budget of the captions that a model batch writes at once: clips times "
        "candidates times the longest caption's tokens; null: no limit beside "
        "batch_seconds.",
    )
    model_memory: Literal["resident", "offload"] = Field(
        "resident",
        description="Models of an actor that share a GPU. resident: all stay in GPU memory; "
        "offload: one at a time, the others are moved to host memory.",
    )
    placement: Literal["fused", "separate"] = Field(
        "fused",
        description="fused: each actor reads, decodes, captions and scores its shard; separate: "
        "pools of decoders, captioners and scorers with sizes of their own.",
    )
    actors: int | tuple[int, int] | Literal["auto"] = Field(
        "auto",
        description="Number of workers of placement fused, which are processes or Ray actors, or "
        "[least, most]; auto: one per GPU share, or without GPUs one per CPU.",
    )
    pools: PoolsConfig = Field(
        PoolsConfig(),
        description="Placement separate only. A number or [least, most] instead of a pool's keys "
        "sets its actors.",
    )
    gpus_per_actor: GpuShare = Field(
        0.0, description="GPU share of each actor that holds a model; 0 runs on CPUs."
    )
    cpus_per_actor: int | None = Field(
        None, ge=1, description="CPUs of each actor that holds a model; null: model_threads."
    )
    node_resource: NodeResource | None = Field(
        None,
        description="Type of the actors' nodes: those whose Ray was started with this resource, "
        "as by ray start --resources '{\"captioner\": 1}'; null: any node.",
    )
    wait_for_nodes_s: float = Field(
        0.0,
        ge=0,
        description="How long a run waits for the first nodes that its pools need, on a cluster "
        "that autoscales; 0: no waiting, a pool that does not fit is an error.",
    )
    worker_timeout_s: float = Field(
        900.0,
        gt=0,
        description="A worker without progress for this long after it was ready is replaced, "
        "like one that died. It must exceed the time of the slowest model batch. "
        "Placement fused only.",
    )
    decode_threads: int = Field(2, ge=1, description="Threads that decode, per actor.")
    model_threads: int = Field(1, ge=1, description="Threads of the model's CPU work, per actor.")

    @field_validator("shard_clips")
    @classmethod
    def _count_or_auto(cls, shard_clips: int | str) -> int | str:
        if isinstance(shard_clips, int) and shard_clips < 1:
            raise ValueError(f"{shard_clips}: expected 1 or more, or auto")
        return shard_clips

    @field_validator("batch_seconds")
    @classmethod
    def _positive_or_auto(cls, batch_seconds: float | str) -> float | str:
        if not isinstance(batch_seconds, str) and not batch_seconds > 0:
            raise ValueError(f"{batch_seconds}: expected more than 0, or auto")
        return batch_seconds

    @field_validator("actors")
    @classmethod
    def _size_or_auto(cls, actors: Any) -> Any:
        return actors if actors == "auto" else _check_size(actors)
