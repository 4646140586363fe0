"""Serves the metrics of a run on local processes to Prometheus; see docs/metrics.md."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from curation.annotate.metrics import METRICS, Meter, Metric, NullMeter
from curation.errors import InputError


@contextmanager
def serve_metrics(port: int | None) -> Iterator[Meter]:
    """Return a meter that Prometheus can read at a loopback port.

    Without a port, the meter records nothing.

    Raises InputError if the port is taken.
    """
    if port is None:
        yield NullMeter()
        return
    registry = CollectorRegistry()
    meter = PrometheusMeter(registry)
    try:
        server, thread = start_http_server(port, addr="127.0.0.1", registry=registry)
    except OSError as error:
        raise InputError(
            f"metrics_port: {port}: cannot be opened on loopback ({error.strerror}); name a free "
            "port, or leave the key out"
        ) from error
    try:
        yield meter
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class PrometheusMeter:
    """Collects the metrics of all processes of a run in a Prometheus registry; thread-safe."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._metrics = {
            name: _build_metric(name, metric, registry) for name, metric in METRICS.items()
        }

    def record(self, name: str, value: float, **labels: str) -> None:
        metric = self._metrics[name]
        labelled = metric.labels(**labels) if labels else metric
        if isinstance(labelled, Counter):
            labelled.inc(value)
        elif isinstance(labelled, Gauge):
            labelled.set(value)
        else:
            labelled.observe(value)


def _build_metric(
    name: str, metric: Metric, registry: CollectorRegistry
) -> Counter | Gauge | Histogram:
    # As Ray names them, see `list_exported_names`.
    exported = f"ray_{name}"
    if metric.kind == "histogram":
        return Histogram(
            exported,
            metric.description,
            metric.labels,
            buckets=metric.bounds,
            registry=registry,
        )
    kind = Counter if metric.kind == "counter" else Gauge
    return kind(exported, metric.description, metric.labels, registry=registry)
