"""Writes and reads checkpoints: the state of a training in one safetensors file, local or on S3.

A checkpoint is written in one atomic step, so a listed checkpoint is complete. If a process dies
while it writes, the earlier checkpoints are unchanged. No file is pickled.
"""

import json
import re
import struct
from collections.abc import Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import safetensors.torch
from torch import Tensor, nn

from curation.errors import InputError, RunError
from curation.storage.files import Storage
from curation.uris import join_uri

FORMAT = 1

_NAME = re.compile(r"step-(\d{9})\.safetensors")


@dataclass(frozen=True)
class TrainingState:
    """Everything that a training needs to resume.

    `progress` is small plain data: the step, the state of the loader, and the last logged figures.
    """

    tensors: dict[str, Tensor]
    progress: dict[str, Any]


def snapshot_state(parts: Mapping[str, Any], progress: Mapping[str, Any]) -> TrainingState:
    """Copy the state of a training to main memory, so that later steps do not change it.

    Args:
        parts: modules and optimisers by name; the name is the prefix of the tensors' names.
    """
    tensors = {}
    plain: dict[str, Any] = {}
    for name, part in parts.items():
        if isinstance(part, nn.Module):
            found: Mapping[str, Any] = part.state_dict()
        else:
            found = {}
            state = part.state_dict()
            plain[name] = state["param_groups"]
            for index, values in state["state"].items():
                found = {**found, **{f"{index}/{key}": value for key, value in values.items()}}
        for key, tensor in found.items():
            tensors[f"{name}:{key}"] = tensor.detach().to("cpu", copy=True).contiguous()
    return TrainingState(tensors, {"format": FORMAT, **progress, "groups": plain})


def restore_state(state: TrainingState, parts: Mapping[str, Any], uri: str) -> None:
    """Load a snapshot into modules and optimisers.

    Raises InputError naming a tensor that is missing, unknown or of another shape.
    """
    for name, part in parts.items():
        prefix = f"{name}:"
        mine = {k.removeprefix(prefix): t for k, t in state.tensors.items() if k.startswith(prefix)}
        if isinstance(part, nn.Module):
            _check_shapes(mine, part.state_dict(), uri)
            part.load_state_dict(mine)
        else:
            values: dict[int, dict[str, Tensor]] = {}
            for key, tensor in mine.items():
                index, _, field = key.partition("/")
                values.setdefault(int(index), {})[field] = tensor
            part.load_state_dict({"state": values, "param_groups": state.progress["groups"][name]})


def module_state(state: TrainingState, name: str) -> dict[str, Tensor]:
    """The tensors of one module of a checkpoint; empty if the checkpoint lacks it."""
    prefix = f"{name}:"
    return {k.removeprefix(prefix): t for k, t in state.tensors.items() if k.startswith(prefix)}


def list_checkpoints(storage: Storage, folder: str) -> dict[int, str]:
    """The complete checkpoints of a folder: URI by step, oldest first."""
    found = {}
    for file in storage.list_files(folder):
        if name := _NAME.fullmatch(file.uri.rsplit("/", 1)[-1]):
            found[int(name[1])] = file.uri
    return dict(sorted(found.items()))


def checkpoint_uri(folder: str, step: int) -> str:
    return join_uri(folder, f"step-{step:09d}.safetensors")


def read_checkpoint(storage: Storage, uri: str) -> TrainingState:
    """Read a checkpoint. Raises InputError if the file is not a checkpoint of this version."""
    data = storage.read_bytes(uri)
    try:
        tensors = safetensors.torch.load(data)
        about = json.loads(_metadata(data)["state"])
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise InputError(
            f"{uri}: not a checkpoint ({error}); delete it, and the one before is taken"
        ) from error
    if about.get("format") != FORMAT:
        raise InputError(
            f"{uri}: a checkpoint of format {about.get('format')}, this version reads {FORMAT}"
        )
    return TrainingState(tensors, about)


class CheckpointWriter:
    """Writes checkpoints in the background, one at a time, and keeps the newest few."""

    def __init__(self, storage: Storage, folder: str, keep: int) -> None:
        self._storage = storage
        self.folder = folder
        self.keep = keep
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._pending: Future[str] | None = None

    def write(self, step: int, state: TrainingState, in_use: Collection[str] = ()) -> str:
        """Wait for the previous write, then start writing a checkpoint.

        Raises RunError if the previous write failed.

        Args:
            in_use: checkpoints that are not deleted, because they are still read elsewhere.

        Returns the URI of the checkpoint.
        """
        self.wait()
        uri = checkpoint_uri(self.folder, step)
        self._pending = self._thread.submit(self._write, uri, state, in_use)
        return uri

    def wait(self) -> str | None:
        """Wait for the last write. Returns the URI of the written checkpoint."""
        if self._pending is None:
            return None
        try:
            return self._pending.result()
        except OSError as error:
            raise RunError(
                f"{self.folder}: a checkpoint could not be written ({error}); those so far are "
                "whole: make room and run the same command again to go on from there"
            ) from error

    @property
    def is_writing(self) -> bool:
        return self._pending is not None and not self._pending.done()

    @property
    def last_written(self) -> str | None:
        """The URI of the last checkpoint; None if it is being written or was not written."""
        pending = self._pending
        if pending is None or not pending.done() or pending.exception():
            return None
        return pending.result()

    def _write(self, uri: str, state: TrainingState, in_use: Collection[str]) -> str:
        metadata = {"format": "pt", "state": json.dumps(state.progress)}
        self._storage.put(uri, safetensors.torch.save(state.tensors, metadata))
        for old in list(list_checkpoints(self._storage, self.folder).values())[: -self.keep]:
            if old not in in_use:
                self._storage.delete(old)
        return uri


def _check_shapes(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], uri: str) -> None:
    for name in sorted(set(found) | set(wanted)):
        have = tuple(found[name].shape) if name in found else "none"
        want = tuple(wanted[name].shape) if name in wanted else "none"
        if have != want:
            raise InputError(
                f"{uri}: of another architecture: {name} has shape {have}, the configured model "
                f"{want}; configure the model that it was trained as, or train in another folder"
            )


def _metadata(data: bytes) -> dict[str, str]:
    """The header of safetensors: eight bytes of its length, then JSON."""
    (length,) = struct.unpack("<Q", data[:8])
    metadata: dict[str, str] = json.loads(data[8 : 8 + length])["__metadata__"]
    return metadata
