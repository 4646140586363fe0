"""Starts Ray on this machine or joins a cluster, and silences the output of Ray."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import ray
from ray._private import ray_constants

from curation.errors import InputError

LOCAL_OBJECT_STORE_BYTES = 1 << 30
_QUIET = {"log_to_driver": False, "logging_level": logging.ERROR}
# Ray gives its daemons half a minute to start, which a busy machine may exceed.
_STARTS = 3


@contextmanager
def ray_session(
    address: str, cpus: int, node_resources: Sequence[str] = (), metrics_port: int | None = None
) -> Iterator[None]:
    """Connect to Ray at `address` for the duration of a `with` block.

    The address "ray" starts Ray on loopback with at least `cpus` logical CPUs and all
    `node_resources`, and stops it after the block. A Ray cluster at any other address is joined,
    and left running. If this process is already connected to Ray, that connection is used. A Ray
    that is started here exports its metrics for Prometheus at `metrics_port`.

    Raises:
        InputError: no cluster answers at `address`.
    """
    if ray.is_initialized():
        yield
        return
    # A plain ray.init turns token authentication on and leaves a token file in the home folder,
    # which later clusters then demand; so the mode is said, unless the user has said it.
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    # Ray would report usage to its makers, and start a process for it.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Its C++ core warns on stderr of what every actor pool of Ray Data does (ray#53727).
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    with ExitStack() as stack:
        if address == "ray":
            stack.enter_context(_loopback_only())
        _start(address, cpus, node_resources, metrics_port)
        stack.callback(ray.shutdown)
        yield


def _start(
    address: str, cpus: int, node_resources: Sequence[str], metrics_port: int | None
) -> None:
    if address == "ray":
        _start_local_ray(cpus, node_resources, metrics_port)
    else:
        try:
            ray.init(address=address, **_QUIET)
        except ConnectionError as error:
            raise InputError(
                f"cluster: {address}: no Ray cluster answers there ({error}); start one with "
                "ray start --head, or set cluster: local, which runs without Ray"
            ) from error
    for name in ("ray.data", "ray"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _start_local_ray(cpus: int, node_resources: Sequence[str], metrics_port: int | None) -> None:
    for start in range(1, _STARTS + 1):
        try:
            ray.init(
                address="local",
                # One more than there are: actors may hold every core, Ray's own tasks need one too.
                num_cpus=max(cpus, (os.cpu_count() or 1) + 1),
                resources=dict.fromkeys(node_resources, 1),
                object_store_memory=LOCAL_OBJECT_STORE_BYTES,
                include_dashboard=False,
                _metrics_export_port=metrics_port,
                _node_ip_address="127.0.0.1",
                **_QUIET,
            )
            return
        except Exception as error:
            if start == _STARTS or "timed out during startup" not in str(error):
                raise


@contextmanager
def _loopback_only() -> Iterator[None]:
    """Bind every port of a local Ray to loopback, those of metrics and agents included.

    Ray 2.60 replaces 127.0.0.1 by the machine's own address, so that other nodes find it, unless
    RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER is off, as it is by default on macOS and Windows.
    """
    name, enabled = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, ray_constants.ENABLE_RAY_CLUSTER
    environment = os.environ.get(name)
    # Ray's daemons read the variable; this process has read it, when it imported Ray.
    os.environ[name], ray_constants.ENABLE_RAY_CLUSTER = "0", False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = enabled
        os.environ.pop(name)
        if environment is not None:
            os.environ[name] = environment
