"""Runs the worker of `placement: fused` in a child process of its actor.

Ray restarts an actor that dies, and sends the same task to it again. If the worker is a child
process, a clip that crashes the worker does not end the actor. The actor then returns how the
worker died. Only the loss of the node ends the actor.
"""

from collections.abc import Sequence
from typing import Any

from curation.annotate import metrics
from curation.annotate.pools import build_pools
from curation.annotate.task import Task, build_outcome_row
from curation.config.run import RunConfig
from curation.processes.messages import Record, StartWorker
from curation.processes.restarting_worker import RestartingWorker


class SupervisedWorker:
    """Starts a worker in a child process, passes tasks to it, and reports its death."""

    def __init__(
        self, config: RunConfig, make_meter: metrics.MeterFactory, fused_worker: type
    ) -> None:
        """Raises WorkerStartError if the worker cannot be built."""
        self._meter = make_meter()
        tasks_at_once = build_pools(config.annotate)[0].shards_at_once
        start = StartWorker(fused_worker, config, tasks_at_once)
        self._worker = RestartingWorker(start, {}, self._record)
        self._worker.wait_until_ready()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row of the worker, or its death."""
        return build_outcome_row(self._worker.run(Task.from_json(row["task"])))

    def _record(self, records: Sequence[Record]) -> None:
        for name, value, labels in records:
            self._meter.record(name, value, **labels)
