"""Checks that a run's pools fit the nodes of a cluster, and waits for nodes to join."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import ray

from curation import console
from curation.annotate.pools import Pool, build_pools
from curation.config.annotate import AnnotateConfig
from curation.errors import InputError

Resources = Mapping[str, float]


def place_pools(config: AnnotateConfig, shards: int) -> list[Pool]:
    """Fit the pools to the running Ray cluster. No pool is larger than the number of shards.

    If nodes may still join (`wait_for_nodes_s`), this function returns as soon as each pool can
    start one actor. The other actors start when their nodes join.

    Raises:
        InputError: the cluster is too small for the smallest size of a pool.
    """
    wanted = build_pools(config)
    if config.placement == "fused" and config.actors == "auto":
        wanted = [_size_to_cluster(wanted[0])]
    wanted = [
        replace(
            pool,
            min_actors=min(pool.min_actors, shards),
            max_actors=min(pool.max_actors, shards),
        )
        for pool in wanted
    ]
    misfit = find_first_misfit(wanted, _nodes())
    if misfit and not config.wait_for_nodes_s:
        raise InputError(
            f"{_describe_misfit(misfit)}; ask for fewer actors or less for each, or set "
            "annotate.wait_for_nodes_s where nodes are still to come"
        )
    if misfit:
        _wait_for_nodes(wanted, misfit, config.wait_for_nodes_s)
    return wanted


def find_first_misfit(pools: Sequence[Pool], nodes: Sequence[Resources]) -> Pool | None:
    """Find the first pool whose minimum number of actors does not fit. None if all pools fit.

    The largest actors are placed first, each on the first node with capacity. Actors without a GPU
    are placed on nodes without GPUs while these nodes have capacity.
    """
    free = [dict(node) for node in sorted(nodes, key=lambda node: node.get("GPU", 0))]
    for pool in sorted(pools, key=lambda pool: (-pool.gpus, -pool.cpus)):
        for _ in range(pool.min_actors):
            node = next((node for node in free if _has_capacity(node, pool)), None)
            if node is None:
                return pool
            for name, amount in pool.actor_resources.items():
                node[name] -= amount
    return None


def _has_capacity(node: Resources, pool: Pool) -> bool:
    # Shares of a GPU do not add up exactly in floating point.
    return all(node.get(name, 0) >= amount - 1e-9 for name, amount in pool.actor_resources.items())


def _size_to_cluster(pool: Pool) -> Pool:
    """The pool with as many actors as all nodes hold."""
    capacities = [
        int(min(node.get(name, 0) / amount + 1e-9 for name, amount in pool.actor_resources.items()))
        for node in _nodes()
    ]
    # One CPU stays free for Ray's own tasks where there is more than one.
    actors = max(1, sum(capacities) if pool.gpus else sum(capacities) - 1)
    return replace(pool, min_actors=actors, max_actors=actors)


def _nodes() -> list[Resources]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _describe_misfit(pool: Pool) -> str:
    total = ray.cluster_resources()
    own = ("memory", "object_store_memory", "node:", "accelerator_type:")
    shown = {name: amount for name, amount in sorted(total.items()) if not name.startswith(own)}
    has = ", ".join(f"{amount:g} {name}" for name, amount in shown.items())
    return f"{pool} do not fit beside the other pools; the cluster has {has or 'nothing'}"


def _wait_for_nodes(pools: list[Pool], misfit: Pool, timeout_s: float) -> None:
    """Run a task of each pool's size, for which the autoscaler starts nodes; wait for all.

    Raises InputError when they do not start in `timeout_s` seconds.
    """
    console.stderr.print(f"{_describe_misfit(misfit)}; waiting up to {timeout_s:g} s for nodes")
    probe = ray.remote(_no_op)
    tasks = {probe.options(**pool.ray_options).remote(): pool for pool in pools}
    _, pending = ray.wait(list(tasks), num_returns=len(tasks), timeout=timeout_s)
    for task in pending:
        ray.cancel(task)
    if pending:
        unplaced = [tasks[task] for task in pending]
        pool = misfit if misfit in unplaced else unplaced[0]
        raise InputError(
            f"{pool} found no node in {timeout_s:g} s; compare the pools of the YAML with the "
            "node types of the cluster, or raise annotate.wait_for_nodes_s"
        )


def _no_op() -> None:
    pass
