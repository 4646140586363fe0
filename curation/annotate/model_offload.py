"""Models of a process that share its GPU: all on it, or one while the others wait in the host."""

from typing import Protocol


class Parked(Protocol):
    """What is asked of a model here; see the contracts of captioners, scorers and taggers."""

    def setup(self) -> None: ...

    def park(self) -> None: ...

    def resume(self) -> None: ...


class Parking:
    """Says which model is on the GPU.

    To be asked within a turn alone (`turns`), so that nobody is using the model that has to go.
    """

    def __init__(self, in_turns: bool) -> None:
        self._in_turns = in_turns
        self._there: Parked | None = None

    def set_up(self, model: Parked) -> None:
        """Load a model; where they take turns, it then waits for its own."""
        model.setup()
        if self._in_turns:
            model.park()

    def bring(self, model: Parked) -> None:
        """Have this model on the GPU, in place of the one that is there."""
        if not self._in_turns or self._there is model:
            return
        there, self._there = self._there, None
        if there:
            there.park()
        model.resume()
        self._there = model
