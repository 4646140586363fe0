"""The actor pools of a run's YAML: their sizes and the resources of each actor."""

from dataclasses import dataclass
from typing import Any

from curation.config.annotate import AnnotateConfig, PoolConfig, pool_bounds

# What an actor takes of its node resource: so little that a node holds any number of actors.
NODE_SHARE = 0.001


@dataclass(frozen=True)
class Pool:
    """A group of actors that do the same work. `name` is the YAML key that sets their number."""

    name: str
    min_actors: int
    max_actors: int
    cpus: int
    gpus: float
    node_resource: str | None

    @property
    def actor_resources(self) -> dict[str, float]:
        """The resources of one actor, by Ray's name for each resource."""
        resources = {"CPU": float(self.cpus), "GPU": self.gpus}
        if self.node_resource:
            resources[self.node_resource] = NODE_SHARE
        return {name: amount for name, amount in resources.items() if amount}

    @property
    def ray_options(self) -> dict[str, Any]:
        """The resources of one actor as Ray's remote options."""
        options: dict[str, Any] = {"num_cpus": self.cpus}
        if self.gpus:
            options["num_gpus"] = self.gpus
        if self.node_resource:
            options["resources"] = {self.node_resource: NODE_SHARE}
        return options

    @property
    def shards_at_once(self) -> int:
        """Number of shards that an actor works on at the same time.

        An actor with a GPU works on two shards, so that one is decoded while the models run on the
        other. Without a GPU, a second shard would only add threads to busy cores.
        """
        return 2 * max(1, int(self.gpus)) if self.gpus else 1

    def __str__(self) -> str:
        size = (
            f"{self.min_actors}"
            if self.min_actors == self.max_actors
            else f"{self.min_actors} to {self.max_actors}"
        )
        node = f" on nodes of type '{self.node_resource}'" if self.node_resource else ""
        return f"{self.name}: {size} actors of {self.cpus} CPUs and {self.gpus:g} GPUs each{node}"


# Behind vLLM: it groups responses by shard, which takes too little work for a CPU of its own.
RESPONSE_COLLECTOR = Pool("response collector", 1, 1, cpus=0, gpus=0.0, node_resource=None)


def build_pools(config: AnnotateConfig) -> list[Pool]:
    """Build the pools of a run in the order of its stages.

    With `actors: auto`, the pool of fused actors has the size one.
    """
    threads = config.cpus_per_actor or config.model_threads
    if config.placement == "fused":
        least, most = (1, 1) if config.actors == "auto" else pool_bounds(config.actors)
        gpus = config.gpus_per_actor
        return [Pool("annotate.actors", least, most, threads, gpus, config.node_resource)]

    def pool(name: str, of: PoolConfig, cpus: int, gpus: float) -> Pool:
        return Pool(
            f"annotate.pools.{name}",
            *pool_bounds(of.actors),
            cpus=cpus if of.cpus is None else of.cpus,
            gpus=gpus if of.gpus is None else of.gpus,
            node_resource=of.node_resource or config.node_resource,
        )

    return [
        pool("decoders", config.pools.decoders, 1, 0.0),
        pool("captioners", config.pools.captioners, threads, config.gpus_per_actor),
        pool("scorers", config.pools.scorers, threads, config.gpus_per_actor),
    ]


def build_pools_by_stage(config: AnnotateConfig) -> dict[str, Pool]:
    """Build the pools of a run, and return them by the name that each pool has in the evidence.

    The names are "fused", or "decode", "caption" and "score".
    """
    names = ("fused",) if config.placement == "fused" else ("decode", "caption", "score")
    return dict(zip(names, build_pools(config), strict=True))


def count_cpus_needed(config: AnnotateConfig) -> int:
    """Return the number of logical CPUs for the smallest pools, plus one for Ray's own tasks."""
    if config.placement == "fused" and config.actors == "auto":
        return 1
    return sum(pool.min_actors * pool.cpus for pool in build_pools(config)) + 1


def list_node_resources(config: AnnotateConfig) -> list[str]:
    """List the node resources (`node_resource`) that the pools require, without duplicates."""
    return sorted({pool.node_resource for pool in build_pools(config) if pool.node_resource})
