"""Runs one function on a worker of a cluster."""

from collections.abc import Callable
from typing import Any, TypeVar

import ray

from curation.cluster.session import ray_session
from curation.config.run import RunConfig

T = TypeVar("T")


def run_on_worker(config: RunConfig, function: Callable[..., T], *arguments: Any) -> T:
    """Call a function on a worker with the resources of an actor that holds a model.

    Args:
        config: the run's configuration, with the address of its cluster.
        function: called with `arguments`, then the CPUs and GPUs of the whole cluster.
    """
    settings = config.annotate
    with ray_session(config.cluster, 1):
        total = ray.cluster_resources()
        cpus, gpus = int(total.get("CPU", 0)), total.get("GPU", 0)
        task = ray.remote(num_cpus=settings.model_threads, num_gpus=settings.gpus_per_actor)
        result: T = ray.get(task(function).remote(*arguments, cpus, gpus))
    return result
