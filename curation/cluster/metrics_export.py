"""The meter that exports metrics through Ray to Prometheus (see docs/metrics.md)."""

from ray.util.metrics import Counter, Gauge, Histogram

from curation.annotate.metrics import METRICS, Metric


class RayMeter:
    """Records the metrics of a process through Ray, which exports them."""

    def __init__(self) -> None:
        self._metrics = {name: _build_metric(name, metric) for name, metric in METRICS.items()}

    def record(self, name: str, value: float, **labels: str) -> None:
        metric = self._metrics[name]
        if isinstance(metric, Counter):
            if value > 0:  # Ray refuses to add nothing.
                metric.inc(value, labels)
        elif isinstance(metric, Gauge):
            metric.set(value, labels)
        else:
            metric.observe(value, labels)


def _build_metric(name: str, metric: Metric) -> Counter | Gauge | Histogram:
    if metric.kind == "histogram":
        return Histogram(name, metric.description, list(metric.bounds), metric.labels)
    kind = Counter if metric.kind == "counter" else Gauge
    return kind(name, metric.description, metric.labels)
