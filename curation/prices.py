"""What an hour of a worker costs, by the prices of a run's YAML."""

from curation.config import RunConfig


def actor_hour(config: RunConfig, pool: str) -> float:
    """Dollars an hour of one actor of a pool: of its share of a GPU, else of its CPUs."""
    settings, prices = config.annotate, config.prices
    if pool == "decode":
        return prices.cpu_hour
    if settings.gpus_per_actor:
        return settings.gpus_per_actor * prices.gpu_hour
    return settings.model_threads * prices.cpu_hour
