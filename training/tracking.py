"""Writes a training's figures to metrics.jsonl in the run's folder, TensorBoard, W&B or MLflow."""

import importlib.util
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from curation.errors import InputError, RunError
from curation.storage.append import append_line, read_lines
from curation.storage.files import Storage
from curation.uris import absolute_uri, is_local_uri, join_uri

_FLUSH_S = 30.0


class Tracker(Protocol):
    """Records the figures of a step."""

    def log(self, step: int, figures: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


class JsonLinesTracker:
    """Appends one line per logged step to metrics.jsonl.

    In a local file each line is appended at once. In object storage, an object with several lines
    is written every half minute, at each checkpoint and at the end.
    """

    def __init__(self, storage: Storage, uri: str) -> None:
        self._storage = storage
        self.uri = uri
        self._interval_s = 0.0 if is_local_uri(uri) else _FLUSH_S
        self._lines: list[bytes] = []
        self._flushed_at = time.monotonic()

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        self._lines.append((json.dumps({"step": step, **figures}) + "\n").encode())
        if time.monotonic() - self._flushed_at >= self._interval_s:
            self.flush()

    def flush(self) -> None:
        """Write the lines that are still in memory. Raises RunError if they cannot be written."""
        if not self._lines:
            return
        try:
            append_line(self._storage, self.uri, b"".join(self._lines))
        except OSError as error:
            raise RunError(
                f"{self.uri} could not be written ({error}); the checkpoints so far are whole: "
                "make room and run the same command again to go on from there"
            ) from error
        self._lines = []
        self._flushed_at = time.monotonic()

    def close(self) -> None:
        self.flush()


def read_metrics(storage: Storage, uri: str) -> list[dict[str, Any]]:
    """Read the figures of each logged step, in order. The list is empty if nothing was logged.

    A training that resumes from a checkpoint logs the steps after it again. A line therefore
    replaces all earlier lines of the same step and of later steps.
    """
    steps: list[dict[str, Any]] = []
    for line in parse_json_lines(read_lines(storage, uri)):
        while steps and steps[-1]["step"] >= line["step"]:
            steps.pop()
        steps.append(line)
    return steps


def parse_json_lines(lines: Iterable[bytes]) -> list[dict[str, Any]]:
    """Parse JSON lines to objects. A line that a crash cut short is skipped."""
    found = []
    for line in lines:
        with suppress(ValueError):
            found.append(json.loads(line))
    return found


class TensorBoardTracker:
    """Writes event files for TensorBoard to the run's folder."""

    def __init__(self, run: str) -> None:
        # Imported where it is wanted: it takes seconds.
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(join_uri(absolute_uri(run), "tensorboard"))

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        for name, figure in figures.items():
            self._writer.add_scalar(name, figure, step)

    def close(self) -> None:
        self._writer.close()


class WandbTracker:
    """Logs to a run of W&B, named after the run's folder.

    Project and key come from W&B's environment variables.
    """

    def __init__(self, run: str, config: Mapping[str, Any]) -> None:
        import wandb  # type: ignore[import-not-found]

        self._run = wandb.init(
            name=run, id=tracker_run_id(run), resume="allow", config=dict(config)
        )

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        self._run.log(dict(figures), step=step)

    def close(self) -> None:
        self._run.finish()


class MlflowTracker:
    """Logs to a run of MLflow, named after the run's folder.

    Server and experiment come from MLflow's environment variables.
    """

    def __init__(self, run: str, config: Mapping[str, Any]) -> None:
        import mlflow  # type: ignore[import-not-found]

        self._mlflow = mlflow
        mlflow.start_run(run_name=run)
        mlflow.log_dict(dict(config), "config.json")

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        self._mlflow.log_metrics(dict(figures), step=step)

    def close(self) -> None:
        self._mlflow.end_run()


def check_trackers_installed(trackers: Sequence[str]) -> None:
    """Check the packages of trackers. Raises InputError naming one that is not installed."""
    for tracker in trackers:
        if importlib.util.find_spec(tracker) is None:
            raise InputError(
                f"saving.trackers: {tracker} is not installed; pip install {tracker}, or leave it "
                "out: metrics.jsonl is always written"
            )


def open_trackers(trackers: Sequence[str], run: str, config: Mapping[str, Any]) -> list[Tracker]:
    """Open the trackers of a run, except that of metrics.jsonl."""
    made: list[Tracker] = []
    for tracker in trackers:
        if tracker == "tensorboard":
            made.append(TensorBoardTracker(run))
        elif tracker == "wandb":
            made.append(WandbTracker(run, config))
        else:
            made.append(MlflowTracker(run, config))
    return made


def tracker_run_id(run: str) -> str:
    """Name a run in a tracker: the path of the run's folder, without slashes."""
    return absolute_uri(run).strip("/").replace("/", "-").replace(":", "")[-64:]
