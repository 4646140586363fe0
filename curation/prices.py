"""What an hour of a worker costs, by the prices of a run's YAML."""

from curation import pools
from curation.config import RunConfig


def actor_hour(config: RunConfig, pool: str) -> float:
    """Dollars an hour of one actor of a pool: of its share of a GPU, else of its CPUs."""
    actor = pools.by_stage(config.annotate)[pool]
    if actor.gpus:
        return actor.gpus * config.prices.gpu_hour
    return actor.cpus * config.prices.cpu_hour
