"""Models of a process that share its GPU: all stay on it, or all but one wait in host memory."""

from typing import Protocol


class Offloadable(Protocol):
    """The methods of a model used here; see the contracts of captioners, scorers and taggers."""

    def setup(self) -> None: ...

    def offload(self) -> None: ...

    def restore(self) -> None: ...


class ModelOffloader:
    """Moves models between the GPU and host memory.

    Call it only while holding the worker's `PriorityLock`, so that no thread uses the model that
    is moved away.
    """

    def __init__(self, offload: bool) -> None:
        """`offload`: one model at a time is on the GPU; False: all stay there."""
        self._offload = offload
        self._active: Offloadable | None = None

    def set_up(self, model: Offloadable) -> None:
        """Load a model; where models are offloaded, move it to host memory."""
        model.setup()
        if self._offload:
            model.offload()

    def activate(self, model: Offloadable) -> None:
        """Move this model to the GPU, and the active one to host memory."""
        if not self._offload or self._active is model:
            return
        previous, self._active = self._active, None
        if previous:
            previous.offload()
        model.restore()
        self._active = model
