"""Evaluates checkpoints during the training, one at a time, each in a separate process."""

import os
import subprocess
import sys
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from curation import console
from training.config.pretrain import PretrainConfig

# Not the training's process group.
_UNSET = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "TORCHELASTIC_RUN_ID", "MASTER_ADDR"}


class ValidationRunner(ABC):
    """Evaluates one checkpoint at a time; training steps never wait for it.

    Use it as a context manager, around the training and its process group. At the end of the block,
    the runner waits for the evaluations that were started. If an exception leaves the block, it
    cancels them. No process of the process group waits for an evaluation.
    """

    def __init__(self, config: PretrainConfig) -> None:
        self._config = config
        self._running: str | None = None
        self._next: str | None = None

    def start_validation(self, checkpoint: str) -> None:
        """Start evaluating a checkpoint. Returns at once.

        If another checkpoint is being evaluated, this one waits. If a newer one arrives while it
        waits, the newer one replaces it.
        """
        if not self._config.validation:
            return
        self._next = checkpoint
        if not self._is_running():
            self._begin_next()

    @property
    def in_progress(self) -> list[str]:
        """The checkpoints that are or will be evaluated. They must not be deleted."""
        running = self._running if self._is_running() else None
        return [each for each in (running, self._next) if each]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            while kind is None and self._running:
                self._begin_next()
        finally:
            # Of a training that failed or was stopped, or while its last evaluation was awaited.
            if self._running:
                self._cancel()

    def _begin_next(self) -> None:
        """Wait for the evaluation that runs, then begin the one that waits."""
        if self._running:
            self._wait()
        self._running, self._next = self._next, None
        if self._running:
            self._begin(self._running)

    def _is_running(self) -> bool:
        return self._running is not None and not self._has_ended()

    @abstractmethod
    def _begin(self, checkpoint: str) -> None: ...

    @abstractmethod
    def _has_ended(self) -> bool: ...

    @abstractmethod
    def _wait(self) -> None:
        """Wait for the evaluation that runs; print where it failed."""

    @abstractmethod
    def _cancel(self) -> None: ...


class SubprocessValidationRunner(ValidationRunner):
    """Evaluates in a process on this machine."""

    _process: "subprocess.Popen[bytes]"

    def _begin(self, checkpoint: str) -> None:
        command = [
            *(sys.executable, "-m", "training.validation"),
            *(self._config.run, checkpoint, self._config.storage.model_dump_json()),
            *(section.model_dump_json() for section in self._config.validation),
        ]
        # A process group of its own: the Ctrl-C of a terminal is the training's to handle.
        self._process = subprocess.Popen(
            command,
            env={k: v for k, v in os.environ.items() if k not in _UNSET},
            stdout=subprocess.DEVNULL,
            process_group=0,
        )

    def _has_ended(self) -> bool:
        return self._process.poll() is not None

    def _wait(self) -> None:
        if self._process.wait():
            console.stderr.print("an evaluation failed (see above); the training goes on")

    def _cancel(self) -> None:
        self._process.terminate()
        self._process.wait()
