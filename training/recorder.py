"""Writes the metrics and checkpoints of a training in its first process, and starts evaluations."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from curation.storage.append import read_lines
from curation.storage.files import Storage
from training import run_folder, tracking
from training.checkpoints import CheckpointWriter, TrainingState, checkpoint_uri
from training.config.pretrain import PretrainConfig
from training.validation_runner import ValidationRunner


class TrainingRecorder:
    """Writes metrics and checkpoints of one training, and starts evaluations of checkpoints.

    A regular checkpoint is written at every `saving.checkpoint_every_steps`-th step. Another
    checkpoint is written `saving.checkpoint_every_s` after the previous one. Only regular
    checkpoints are evaluated, so that several trainings are evaluated at the same steps.

    Use it as a context manager: all figures are written at the end of its block.
    """

    def __init__(self, config: PretrainConfig, validation: ValidationRunner) -> None:
        storage = Storage(config.storage)
        self._config, self._storage, self._validation = config, storage, validation
        self._writer = CheckpointWriter(
            storage, run_folder.checkpoints_uri(config.run), config.saving.keep_checkpoints
        )
        self._metrics = tracking.JsonLinesTracker(storage, run_folder.metrics_uri(config.run))
        self._trackers = [
            self._metrics,
            *tracking.open_trackers(
                config.saving.trackers, config.run, config.model_dump(mode="json")
            ),
        ]
        self._saved_at = time.monotonic()
        self._to_validate: str | None = None

    def log(self, step: int, figures: dict[str, float]) -> None:
        """Write the figures of a step."""
        for tracker in self._trackers:
            tracker.log(step, figures)

    def save_if_due(
        self, step: int, snapshot: Callable[[], TrainingState], last: bool, stopping: bool
    ) -> None:
        """Start writing a checkpoint of a step if one is due.

        Args:
            snapshot: copies the state of the training.
            last: whether the step is the last of the schedule.
            stopping: whether the training stops after this step, so that a checkpoint is needed.

        Raises RunError if the previous checkpoint, or the figures, could not be written.
        """
        self._start_validation()
        saving = self._config.saving
        regular = last or step % saving.checkpoint_every_steps == 0
        # Not while one is written, so that a slow storage does not slow the training too.
        overdue = (
            saving.checkpoint_every_s is not None
            and time.monotonic() - self._saved_at >= saving.checkpoint_every_s
            and not self._writer.is_writing
        )
        if not (regular or overdue or stopping):
            return
        # A training that resumes from this checkpoint finds the lines up to it.
        self._metrics.flush()
        uri = self._writer.write(step, snapshot(), self._validation.in_progress)
        self._saved_at = time.monotonic()
        if regular:
            self._to_validate = uri

    def wait(self) -> None:
        """Wait until the last checkpoint is written.

        Raises RunError if the checkpoint could not be written.
        """
        self._writer.wait()

    def validate_last(self, step: int) -> None:
        """Start evaluating the last checkpoint of the schedule, unless this was started before."""
        uri = checkpoint_uri(self._writer.folder, step)
        lines = read_lines(self._storage, run_folder.validation_uri(self._config.run))
        done = sum(line["step"] == step for line in tracking.parse_json_lines(lines))
        if done < len(self._config.validation) and uri not in self._validation.in_progress:
            self._validation.start_validation(uri)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for tracker in self._trackers:
            tracker.close()

    def _start_validation(self) -> None:
        if self._to_validate and self._writer.last_written == self._to_validate:
            self._validation.start_validation(self._to_validate)
            self._to_validate = None
