"""Where a run's actors go: its pools, what each of their actors holds, and whether that fits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray.data import ActorPoolStrategy

from curation import console
from curation.config import AnnotateConfig, PoolConfig, bounds
from curation.errors import InputError

# What an actor takes of the resource that names its node's type: a node has room for all of them.
NODE_SHARE = 0.001

Resources = Mapping[str, float]


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
        options: dict[str, Any] = {"num_cpus": self.cpus, "num_gpus": self.gpus}
        if self.node:
            options["resources"] = {self.node: NODE_SHARE}
        return {name: amount for name, amount in options.items() if amount}

    @property
    def strategy(self) -> ActorPoolStrategy:
        return ActorPoolStrategy(
            min_size=self.least,
            max_size=self.most,
            # An actor decodes a second shard while the first one has its GPU; on CPUs that only
            # adds threads to cores that are busy already.
            max_concurrent_calls_per_actor=2 * max(1, int(self.gpus)) if self.gpus else 1,
            enable_true_multi_threading=True,
        )

    def __str__(self) -> str:
        size = f"{self.least}" if self.least == self.most else f"{self.least} to {self.most}"
        node = f" on nodes of type '{self.node}'" if self.node else ""
        return f"{self.name}: {size} actors of {self.cpus} CPUs and {self.gpus:g} GPUs each{node}"


def pools(config: AnnotateConfig) -> list[Pool]:
    """The pools of a run in the order of its stages; fused actors that are 'auto' count one."""
    threads = config.cpus_per_actor or config.model_threads
    if config.placement == "fused":
        least, most = (1, 1) if config.actors == "auto" else bounds(config.actors)
        gpus = config.gpus_per_actor
        return [Pool("annotate.actors", least, most, threads, gpus, config.node)]

    def pool(name: str, of: PoolConfig, cpus: int, gpus: float) -> Pool:
        return Pool(
            f"annotate.pools.{name}",
            *bounds(of.actors),
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


def placed(config: AnnotateConfig, shards: int) -> list[Pool]:
    """The pools as they start on the Ray that is running, none larger than there are shards.

    Where nodes are still to come (`wait_for_nodes_s`), this returns as soon as each pool could
    start an actor; the others start as their nodes join.

    Raises:
        InputError: what a pool needs at least does not fit the cluster.
    """
    wanted = pools(config)
    if config.placement == "fused" and config.actors == "auto":
        wanted = [_one_everywhere(wanted[0])]
    wanted = [
        replace(pool, least=min(pool.least, shards), most=min(pool.most, shards)) for pool in wanted
    ]
    misfit = first_misfit(wanted, _nodes())
    if misfit and not config.wait_for_nodes_s:
        raise InputError(
            f"{_does_not_fit(misfit)}; ask for fewer actors or less for each, or set "
            "annotate.wait_for_nodes_s where nodes are still to come"
        )
    if misfit:
        _wait_for_nodes(wanted, misfit, config.wait_for_nodes_s)
    return wanted


def first_misfit(pools: Sequence[Pool], nodes: Sequence[Resources]) -> Pool | None:
    """The first pool whose least actors have no room beside the others; None where all have.

    The largest actors are placed first, each on the first node with room; those without a GPU
    on nodes without one, as long as there is room.
    """
    free = [dict(node) for node in sorted(nodes, key=lambda node: node.get("GPU", 0))]
    for pool in sorted(pools, key=lambda pool: (-pool.gpus, -pool.cpus)):
        for _ in range(pool.least):
            node = next((node for node in free if _room(node, pool)), None)
            if node is None:
                return pool
            for name, amount in pool.actor.items():
                node[name] -= amount
    return None


def _room(node: Resources, pool: Pool) -> bool:
    # Shares of a GPU do not add up exactly in floating point.
    return all(node.get(name, 0) >= amount - 1e-9 for name, amount in pool.actor.items())


def _one_everywhere(pool: Pool) -> Pool:
    """As many actors as all nodes have room for."""
    rooms = [
        int(min(node.get(name, 0) / amount + 1e-9 for name, amount in pool.actor.items()))
        for node in _nodes()
    ]
    # One CPU stays free for Ray's own tasks where there is more than one.
    actors = max(1, sum(rooms) if pool.gpus else sum(rooms) - 1)
    return replace(pool, least=actors, most=actors)


def _nodes() -> list[Resources]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _does_not_fit(pool: Pool) -> str:
    total = ray.cluster_resources()
    own = ("memory", "object_store_memory", "node:", "accelerator_type:")
    told = {name: amount for name, amount in sorted(total.items()) if not name.startswith(own)}
    has = ", ".join(f"{amount:g} {name}" for name, amount in told.items())
    return f"{pool} do not fit beside the other pools; the cluster has {has or 'nothing'}"


def _wait_for_nodes(pools: list[Pool], misfit: Pool, patience_s: float) -> None:
    """Have a task of each pool's size run: it asks the autoscaler for a node, and waits for it."""
    console.err.print(f"{_does_not_fit(misfit)}; waiting up to {patience_s:g} s for nodes")
    probe = ray.remote(_nothing)
    tasks = {probe.options(**pool.ray_options).remote(): pool for pool in pools}
    _, late = ray.wait(list(tasks), num_returns=len(tasks), timeout=patience_s)
    for task in late:
        ray.cancel(task)
    if late:
        raise InputError(
            f"{tasks[late[0]]} found no node in {patience_s:g} s; compare the pools of the YAML "
            "with the node types of the cluster, or raise annotate.wait_for_nodes_s"
        )


def _nothing() -> None:
    pass
