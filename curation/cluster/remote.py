"""Calls functions on a cluster with the resources of a run's pools."""

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
    """Calls functions with the resources of an actor of a pool, on a node of the pool's type.

    `cpus` and `gpus` are those of the whole cluster.
    """

    def __init__(self) -> None:
        resources = ray.cluster_resources()
        self.cpus, self.gpus = int(resources.get("CPU", 0)), float(resources.get("GPU", 0))

    def call(self, pool: Pool, function: Callable[..., T], *arguments: object) -> T:
        """Call a function with these arguments, and return its result.

        Raises any exception of the function, and RunError if its process dies repeatedly.
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
    """Join the cluster of a run for the duration of a block.

    Waits for nodes as the run does (`annotate.wait_for_nodes_s`).

    Raises InputError if one actor of each pool does not fit the cluster.
    """
    with ray_session(config.cluster, 1):
        placement.place_pools(config.annotate, shards=1)
        yield PoolCaller()
