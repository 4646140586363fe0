"""Whether and where a run's pools fit the nodes of a cluster."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import ray

from curation import console
from curation.cluster.pools import Pool, pools
from curation.config.annotate import AnnotateConfig
from curation.errors import InputError

Resources = Mapping[str, float]


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
    console.stderr.print(f"{_does_not_fit(misfit)}; waiting up to {patience_s:g} s for nodes")
    probe = ray.remote(_nothing)
    tasks = {probe.options(**pool.ray_options).remote(): pool for pool in pools}
    _, late = ray.wait(list(tasks), num_returns=len(tasks), timeout=patience_s)
    for task in late:
        ray.cancel(task)
    if late:
        waited = [tasks[task] for task in late]
        pool = misfit if misfit in waited else waited[0]
        raise InputError(
            f"{pool} found no node in {patience_s:g} s; compare the pools of the YAML with the "
            "node types of the cluster, or raise annotate.wait_for_nodes_s"
        )


def _nothing() -> None:
    pass
