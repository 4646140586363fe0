"""The pools of a run as its YAML describes them: how many actors, and what each of them holds."""

from dataclasses import dataclass
from typing import Any

from curation.config.annotate import AnnotateConfig, PoolConfig, pool_bounds

# What an actor takes of the resource that names its node's type: a node has room for all of them.
NODE_SHARE = 0.001


@dataclass(frozen=True)
class Pool:
    """Actors of one kind. `name` is the key of the YAML that sizes them."""

    name: str
    least: int
    most: int
    cpus: int
    gpus: float
    node: str | None

    @property
    def actor(self) -> dict[str, float]:
        """What one actor holds, by the names under which Ray keeps a node's resources."""
        held = {"CPU": float(self.cpus), "GPU": self.gpus}
        if self.node:
            held[self.node] = NODE_SHARE
        return {name: amount for name, amount in held.items() if amount}

    @property
    def ray_options(self) -> dict[str, Any]:
        """The same as Ray's remote options."""
        options: dict[str, Any] = {"num_cpus": self.cpus}
        if self.gpus:
            options["num_gpus"] = self.gpus
        if self.node:
            options["resources"] = {self.node: NODE_SHARE}
        return options

    @property
    def shards_at_once(self) -> int:
        """Of each actor: one decodes while another has the GPU.

        On CPUs that only adds threads to cores that are busy already.
        """
        return 2 * max(1, int(self.gpus)) if self.gpus else 1

    def __str__(self) -> str:
        size = f"{self.least}" if self.least == self.most else f"{self.least} to {self.most}"
        node = f" on nodes of type '{self.node}'" if self.node else ""
        return f"{self.name}: {size} actors of {self.cpus} CPUs and {self.gpus:g} GPUs each{node}"


# Behind vLLM: it sorts what comes, and works too little to hold a CPU.
GATHERER = Pool("gatherer", 1, 1, cpus=0, gpus=0.0, node=None)


def pools(config: AnnotateConfig) -> list[Pool]:
    """The pools of a run in the order of its stages; fused actors that are 'auto' count one."""
    threads = config.cpus_per_actor or config.model_threads
    if config.placement == "fused":
        least, most = (1, 1) if config.actors == "auto" else pool_bounds(config.actors)
        gpus = config.gpus_per_actor
        return [Pool("annotate.actors", least, most, threads, gpus, config.node)]

    def pool(name: str, of: PoolConfig, cpus: int, gpus: float) -> Pool:
        return Pool(
            f"annotate.pools.{name}",
            *pool_bounds(of.actors),
            cpus=cpus if of.cpus is None else of.cpus,
            gpus=gpus if of.gpus is None else of.gpus,
            node=of.node or config.node,
        )

    return [
        pool("decoders", config.pools.decoders, 1, 0.0),
        pool("captioners", config.pools.captioners, threads, config.gpus_per_actor),
        pool("scorers", config.pools.scorers, threads, config.gpus_per_actor),
    ]


def by_stage(config: AnnotateConfig) -> dict[str, Pool]:
    """The pools by what evidence calls them: fused, or decode, caption and score."""
    names = ("fused",) if config.placement == "fused" else ("decode", "caption", "score")
    return dict(zip(names, pools(config), strict=True))


def cpus_needed(config: AnnotateConfig) -> int:
    """Logical CPUs that the pools hold at least, and one to spare for Ray's own tasks."""
    if config.placement == "fused" and config.actors == "auto":
        return 1
    return sum(pool.least * pool.cpus for pool in pools(config)) + 1


def node_types(config: AnnotateConfig) -> list[str]:
    return sorted({pool.node for pool in pools(config) if pool.node})
