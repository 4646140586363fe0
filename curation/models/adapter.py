"""Base class of this package's model adapters; an adapter loads its weights in `setup`."""

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from curation.models import files


@dataclass(frozen=True)
class Adapter:
    """A model and its device. It is small and picklable until `setup` reads the weights.

    Attributes:
        model: "reference", a directory, or a hub id with a pinned `revision`.
        device: "auto" (a GPU if there is one), "cpu", "cuda:1", ...
    """

    kind: ClassVar[files.ModelKind]

    model: str = "reference"
    revision: str | None = None
    device: str = "auto"

    @cached_property
    def identity(self) -> dict[str, str]:
        """The model's name, revision and weights' SHA-256. Raises InputError as `setup` does."""
        return {
            "model": self.model,
            "revision": self.revision or "",
            "weights_sha256": files.hash_weights(self._folder),
        }

    def setup(self) -> None:
        """Load the weights. Raises InputError if the directory contains another kind of model."""
        _ = self._loaded

    def offload(self) -> None:
        """Move the weights to host memory, so that another model can use the GPU."""
        self._loaded.move("cpu")

    def restore(self) -> None:
        """Move the weights back to `device` after `offload`."""
        self._loaded.move(self.device)

    @cached_property
    def _folder(self) -> Path:
        return files.locate_model(self.model, self.revision, self.kind)

    @cached_property
    def _loaded(self) -> Any:
        """What works with the weights, which it loads; its module brings torch, this does not.

        Its `move(device)` takes them to another device.
        """
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        # What was loaded stays behind: the worker loads its own.
        return {field.name: getattr(self, field.name) for field in fields(self)}
