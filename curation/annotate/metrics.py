"""What the workers measure of themselves: the metrics by name, and where their numbers go.

Nothing here knows an executor. `processes.metrics_server` and `cluster.metrics_export` show the
numbers to Prometheus, by the same names.
"""

import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Metric:
    """One metric: its kind, what it says, its labels, and the bounds of a histogram's buckets."""

    kind: Literal["counter", "gauge", "histogram"]
    description: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


CLIPS = "tagscribe_clips"
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
    """Takes the numbers of one process; safe in threads."""

    def record(self, name: str, value: float, **labels: str) -> None:
        """Add to a counter, set a gauge, or put a value into a histogram, by a name of METRICS."""
        ...


MeterFactory = Callable[[], Meter]


def list_exported_names(name: str) -> tuple[str, ...]:
    """The names under which Prometheus knows a metric of METRICS, whatever the executor.

    They are those that Ray gives, so that one dashboard reads all runs.
    """
    match METRICS[name].kind:
        case "counter":
            return (f"ray_{name}_total",)
        case "histogram":
            return tuple(f"ray_{name}_{part}" for part in ("bucket", "sum", "count"))
        case _:
            return (f"ray_{name}",)


class NullMeter:
    """A meter for runs whose metrics nobody reads."""

    def record(self, name: str, value: float, **labels: str) -> None:
        """Drop the number."""


class InMemoryMeter:
    """A meter that keeps every number in this process, in the order of their coming."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: defaultdict[tuple[str, Labels], list[float]] = defaultdict(list)

    def record(self, name: str, value: float, **labels: str) -> None:
        assert tuple(sorted(labels)) == tuple(sorted(METRICS[name].labels))
        with self._lock:
            self._values[name, tuple(sorted(labels.items()))].append(value)

    def values(self, name: str, **labels: str) -> list[float]:
        return list(self._values.get((name, tuple(sorted(labels.items()))), []))
