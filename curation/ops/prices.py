"""What an hour of a worker costs, by what it holds and by the prices of a run's YAML."""

from typing import NamedTuple

from curation.annotate import pools
from curation.config.run import RunConfig


class ActorResources(NamedTuple):
    """What one actor of a pool holds."""

    cpus: float
    gpus: float


def actor_resources(config: RunConfig, pool: str) -> ActorResources:
    """What an actor of a pool holds: fused, decode, caption or score."""
    actor = pools.build_pools_by_stage(config.annotate)[pool]
    return ActorResources(actor.cpus, actor.gpus)


def actor_hour_price(config: RunConfig, pool: str) -> float:
    """Dollars an hour of one actor of a pool: of its share of a GPU, else of its CPUs."""
    cpus, gpus = actor_resources(config, pool)
    return gpus * config.prices.gpu_hour if gpus else cpus * config.prices.cpu_hour
