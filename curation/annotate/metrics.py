"""The names and descriptions of a run's metrics, and the meters that record them.

This module does not depend on an executor. `processes.metrics_server` and `cluster.metrics_export`
export the metrics to Prometheus under the same names.
"""

import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Metric:
    """The definition of a metric: kind, description, labels, and a histogram's bucket bounds."""

    kind: Literal["counter", "gauge", "histogram"]
    description: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


CLIPS = "tagscribe_clips"
FAILED_SECOND_DRAWS = "tagscribe_failed_second_draws"
STAGE_SECONDS = "tagscribe_stage_seconds"
RETRIES = "tagscribe_retries"
READ_BYTES = "tagscribe_read_bytes"
BATCH_CLIPS = "tagscribe_batch_clips"
CLIPS_DONE = "tagscribe_run_clips_done"
CLIPS_PLANNED = "tagscribe_run_clips_planned"

METRICS = {
    CLIPS: Metric(
        "counter",
        "Clips whose evidence was written, by outcome: ok, or stage/type of the error.",
        ("outcome",),
    ),
    FAILED_SECOND_DRAWS: Metric(
        "counter",
        "Clips that keep the candidates of their first draw as the second one failed, by error.",
        ("error",),
    ),
    STAGE_SECONDS: Metric(
        "counter",
        "Seconds spent in a stage, summed over threads: read, decode, tag, caption, score, write.",
        ("stage",),
    ),
    RETRIES: Metric("counter", "Requests to storage that were tried again, by cause.", ("cause",)),
    READ_BYTES: Metric("counter", "Bytes of encoded audio read."),
    BATCH_CLIPS: Metric(
        "histogram", "Clips in a batch of the captioner.", (), (1, 2, 4, 8, 16, 32, 64, 128)
    ),
    CLIPS_DONE: Metric("gauge", "Clips of the run whose evidence is written."),
    CLIPS_PLANNED: Metric("gauge", "Clips that the run has planned."),
}


class Meter(Protocol):
    """Records the metrics of one process. Thread-safe."""

    def record(self, name: str, value: float, **labels: str) -> None:
        """Add to a counter, set a gauge, or observe a value of a histogram.

        `name` is a key of METRICS.
        """
        ...


MeterFactory = Callable[[], Meter]


def list_exported_names(name: str) -> tuple[str, ...]:
    """Return the names under which a metric and its parts appear in Prometheus.

    All executors use the names that Ray would give, so that one dashboard shows all runs.
    """
    match METRICS[name].kind:
        case "counter":
            return (f"ray_{name}_total",)
        case "histogram":
            return tuple(f"ray_{name}_{part}" for part in ("bucket", "sum", "count"))
        case _:
            return (f"ray_{name}",)


class NullMeter:
    """A meter that records nothing."""

    def record(self, name: str, value: float, **labels: str) -> None:
        """Discard the value."""


class InMemoryMeter:
    """A meter that keeps all recorded values in this process, in order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: defaultdict[tuple[str, Labels], list[float]] = defaultdict(list)

    def record(self, name: str, value: float, **labels: str) -> None:
        assert tuple(sorted(labels)) == tuple(sorted(METRICS[name].labels))
        with self._lock:
            self._values[name, tuple(sorted(labels.items()))].append(value)

    def values(self, name: str, **labels: str) -> list[float]:
        return list(self._values.get((name, tuple(sorted(labels.items()))), []))
