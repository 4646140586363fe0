"""Computes the price of a worker's hour from its resources and the prices in a run's YAML."""

from typing import NamedTuple

from curation.annotate import pools
from curation.config.run import RunConfig


class ActorResources(NamedTuple):
    """The resources of one actor of a pool: CPUs and GPUs."""

    cpus: float
    gpus: float


def actor_resources(config: RunConfig, pool: str) -> ActorResources:
    """Return the resources of an actor of a `pool`: "fused", "decode", "caption" or "score"."""
    actor = pools.build_pools_by_stage(config.annotate)[pool]
    return ActorResources(actor.cpus, actor.gpus)


def actor_hour_price(config: RunConfig, pool: str) -> float:
    """Return the dollars per hour of one actor of a pool.

    An actor with a share of a GPU costs that share of the GPU's price; others cost their CPUs.
    """
    cpus, gpus = actor_resources(config, pool)
    return gpus * config.prices.gpu_hour if gpus else cpus * config.prices.cpu_hour
