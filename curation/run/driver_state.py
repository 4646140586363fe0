"""What the driver of a run leaves behind of itself: that it is at work, and why it stopped.

`state.json` in the run's folder is replaced whole. While the driver lives it writes one every half
minute; one that is older, and says running, is all that a killed driver leaves.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Literal

from curation.errors import InputError, RunError
from curation.redact import redact_secrets
from curation.storage import files as storage
from curation.uris import join_uri

HEARTBEAT_INTERVAL_S = 30.0
# A driver that has been silent for so long is taken for dead.
DEAD_AFTER_S = 4 * HEARTBEAT_INTERVAL_S
MAX_REASON_CHARS = 2000


@dataclass(frozen=True)
class DriverState:
    """The driver's own word, times as Unix time in seconds of its clock."""

    state: Literal["running", "finished", "stopped"]
    started_s: float
    heard_s: float
    reason: str = ""

    def silent(self, now_s: float) -> bool:
        """Whether it said running, and has not been heard of for too long."""
        return self.state == "running" and now_s - self.heard_s > DEAD_AFTER_S


def read_driver_state(run_uri: str) -> DriverState | None:
    """The state of a run; None where no driver has worked on it."""
    try:
        return DriverState(**json.loads(storage.read_bytes(_uri(run_uri))))
    except FileNotFoundError:
        return None


@contextmanager
def record_driver_state(run_uri: str) -> Iterator[Callable[[], None]]:
    """Record a driver's work for the time of a block, and how the block ended.

    Yields the beat: to be called now and again, it writes that the driver is at work once every
    BEAT_INTERVAL_S. An error of the block is recorded and goes on; that nothing can be recorded
    hides no error.
    """
    started_s = time.time()
    beaten_s = 0.0

    def beat() -> None:
        nonlocal beaten_s
        if time.time() - beaten_s >= HEARTBEAT_INTERVAL_S:
            beaten_s = time.time()
            _write(run_uri, DriverState("running", started_s, beaten_s))

    beat()
    try:
        yield beat
    except BaseException as error:
        with suppress(OSError):
            _write(run_uri, DriverState("stopped", started_s, time.time(), _reason(error)))
        raise
    _write(run_uri, DriverState("finished", started_s, time.time()))


def _reason(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted from the keyboard (Ctrl-C)"
    if isinstance(error, SystemExit):
        return "terminated from outside (SIGTERM)"
    told = str(error) if isinstance(error, InputError | RunError) else _with_class(error)
    return redact_secrets(told)[:MAX_REASON_CHARS]


def _with_class(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _write(run_uri: str, state: DriverState) -> None:
    storage.put(_uri(run_uri), json.dumps(asdict(state), indent=2).encode() + b"\n")


def _uri(run_uri: str) -> str:
    return join_uri(run_uri, "state.json")
