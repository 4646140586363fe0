"""Chooses the executor of a run: processes on this machine, or a Ray cluster."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from curation.annotate.executor import Executor
from curation.config.run import RunConfig
from curation.errors import InputError

if TYPE_CHECKING:
    from curation.cluster.ray_executor import RayExecutor
    from curation.cluster.supervised_executor import SupervisedRayExecutor


def require_executor(config: RunConfig) -> None:
    """Check that the configuration names a Ray cluster if the run needs Ray.

    Raises InputError if it does not.
    """
    if config.cluster != "local":
        return
    for needs_ray, setting in (
        (config.captioner.kind == "vllm", "captioner.kind: vllm"),
        (config.annotate.placement == "separate", "annotate.placement: separate"),
    ):
        if needs_ray:
            raise InputError(
                f"{setting} needs Ray, and cluster: local runs without it; set cluster: ray to "
                "start Ray on this machine, or cluster: auto to join a cluster"
            )


def describe_preparation(config: RunConfig) -> str:
    """Describe what happens before the first clip of a run is annotated."""
    loading = "loading the models"
    if config.cluster == "local":
        return loading
    if config.cluster == "ray":
        return f"starting Ray, then {loading}"
    return f"joining Ray ({config.cluster}), then {loading}"


@contextmanager
def open_executor(config: RunConfig, fused_worker: type) -> Iterator[Executor]:
    """Yield the executor of a run, with its metrics server. The workers end with the `with` block.

    Raises InputError if `require_executor` does, or if the metrics port is taken.
    """
    require_executor(config)
    if config.cluster == "local":
        from curation.processes.local_executor import LocalExecutor
        from curation.processes.metrics_server import serve_metrics

        with (
            serve_metrics(config.metrics_port) as meter,
            LocalExecutor(config, fused_worker, meter) as executor,
        ):
            yield executor
    else:
        with _build_ray_executor(config, fused_worker) as executor:
            yield executor


def _build_ray_executor(
    config: RunConfig, fused_worker: type
) -> "RayExecutor | SupervisedRayExecutor":
    ray = sys.modules.get("ray")
    if ray and ray.is_initialized():
        # A Ray that this process uses already is used as it is.
        from curation.cluster.ray_executor import RayExecutor

        return RayExecutor(config, fused_worker)
    from curation.cluster.supervised_executor import SupervisedRayExecutor

    return SupervisedRayExecutor(config, fused_worker)
