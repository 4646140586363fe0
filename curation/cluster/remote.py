"""Calls functions on the nodes of a cluster, with the resources of a run's pools."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import ray

from curation.annotate.pools import Pool
from curation.cluster import placement
from curation.cluster.session import ray_session
from curation.config.run import RunConfig
from curation.errors import RunError

T = TypeVar("T")


class PoolCaller:
    """Calls functions on a Ray cluster, each with the resources of one actor of a pool.

    The function runs on a node of the type that the pool requires. `cpus` and `gpus` are the
    numbers of CPUs and GPUs of the whole cluster.
    """

    def __init__(self) -> None:
        resources = ray.cluster_resources()
        self.cpus, self.gpus = int(resources.get("CPU", 0)), float(resources.get("GPU", 0))

    def call(self, pool: Pool, function: Callable[..., T], *arguments: object) -> T:
        """Call a function with these arguments on the cluster, and return its result.

        Raises the exception of the function, and RunError if the process of the function dies
        repeatedly.
        """
        task = ray.remote(function).options(**pool.ray_options)
        try:
            result: T = ray.get(task.remote(*arguments))
        except ray.exceptions.RayTaskError as error:
            raise error.cause from error
        except ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1]
            raise RunError(f"a task with the resources of {pool} died: {reason}") from error
        return result


@contextmanager
def connect_pools(config: RunConfig) -> Iterator[PoolCaller]:
    """Join the cluster of a run for the duration of a `with` block.

    Waits for nodes as the run does (`annotate.wait_for_nodes_s`).

    Raises InputError if one actor of each pool does not fit the cluster.
    """
    with ray_session(config.cluster, 1):
        placement.place_pools(config.annotate, shards=1)
        yield PoolCaller()
