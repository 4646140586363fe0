"""What an hour of a worker costs, by what it holds and by the prices of a run's YAML."""

from typing import NamedTuple

from curation.cluster import pools
from curation.config.run import RunConfig


class Held(NamedTuple):
    """What one actor of a pool holds."""

    cpus: float
    gpus: float


def held(config: RunConfig, pool: str) -> Held:
    """What an actor of a pool holds: fused, decode, caption or score."""
    actor = pools.build_pools_by_stage(config.annotate)[pool]
    return Held(actor.cpus, actor.gpus)


def actor_hour(config: RunConfig, pool: str) -> float:
    """Dollars an hour of one actor of a pool: of its share of a GPU, else of its CPUs."""
    cpus, gpus = held(config, pool)
    return gpus * config.prices.gpu_hour if gpus else cpus * config.prices.cpu_hour
