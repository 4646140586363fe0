"""Keeps all models of a process on its GPU, or one at a time with the others in host memory."""

from typing import Protocol


class Offloadable(Protocol):
    """The methods of a model that this module calls. The contracts of the adapters define them."""

    def setup(self) -> None: ...

    def offload(self) -> None: ...

    def restore(self) -> None: ...


class ModelOffloader:
    """Moves models between the GPU and host memory.

    Call its methods only while holding the worker's `PriorityLock`, so that no thread uses a model
    that is being moved.
    """

    def __init__(self, offload: bool) -> None:
        """`offload`: True keeps one model at a time on the GPU, False keeps all."""
        self._offload = offload
        self._active: Offloadable | None = None

    def set_up(self, model: Offloadable) -> None:
        """Load a model. With offloading, move the model to host memory afterwards."""
        model.setup()
        if self._offload:
            model.offload()

    def activate(self, model: Offloadable) -> None:
        """Move this model to the GPU, and the model that was on the GPU to host memory."""
        if not self._offload or self._active is model:
            return
        previous, self._active = self._active, None
        if previous:
            previous.offload()
        model.restore()
        self._active = model
