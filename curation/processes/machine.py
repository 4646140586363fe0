"""Counts the CPUs and GPUs for worker processes on this machine, and assigns them to processes."""

import os
from dataclasses import replace

from curation.annotate.pools import Pool, build_pools
from curation.config.annotate import AnnotateConfig
from curation.errors import InputError


def size_pool(config: AnnotateConfig, tasks: int) -> Pool:
    """Size the pool of `placement: fused` on this machine, with at most one worker per task.

    `annotate.actors: auto` gives one worker per GPU share, or without GPUs one per CPU share.
    `annotate.actors: [least, most]` gives as many workers within these bounds as the GPUs or CPUs
    allow.

    Raises InputError if the GPUs do not suffice for `least` workers.
    """
    [pool] = build_pools(config)
    gpus = list_gpus() if pool.gpus else []
    room = _count_gpu_shares(pool.gpus, len(gpus)) if pool.gpus else count_cpus() // pool.cpus
    workers = max(1, room)
    if config.actors != "auto":
        workers = max(pool.min_actors, min(pool.max_actors, room))
    if pool.gpus and workers > room:
        raise InputError(
            f"{pool} do not fit on this machine, which has {len(gpus)} GPUs; set fewer "
            "annotate.actors or a smaller annotate.gpus_per_actor"
        )
    workers = min(workers, tasks)
    return replace(pool, min_actors=workers, max_actors=workers)


def worker_environment(pool: Pool, index: int) -> dict[str, str]:
    """Return the environment variables of the worker process number `index` of a pool."""
    variables = {"CUDA_VISIBLE_DEVICES": ",".join(_assigned_gpus(pool.gpus, index))}
    if "OMP_NUM_THREADS" not in os.environ:
        # Else every decoding thread starts OpenMP threads of its own.
        variables["OMP_NUM_THREADS"] = str(pool.cpus)
    return variables


def count_cpus() -> int:
    """Count the CPUs that this process may use."""
    return len(os.sched_getaffinity(0))


def list_gpus() -> list[str]:
    """List the GPUs that this process may use, named as in CUDA_VISIBLE_DEVICES."""
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in visible.split(",") if name.strip()]
    import torch  # not for runs on CPUs, whose driver does without it

    return [str(index) for index in range(torch.cuda.device_count())]


def _count_gpu_shares(share: float, gpus: int) -> int:
    # Shares do not add up exactly in floating point.
    return gpus * int(1 / share + 1e-9) if share < 1 else gpus // int(share)


def _assigned_gpus(share: float, index: int) -> list[str]:
    if not share:
        return []
    gpus = list_gpus()
    if share < 1:
        return [gpus[index // int(1 / share + 1e-9)]]
    return gpus[index * int(share) : (index + 1) * int(share)]
