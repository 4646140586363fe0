"""The driver's heartbeat file, `state.json`: running, finished, or stopped with a reason.

The file is replaced as a whole. A running driver writes it every half minute. If a file that says
"running" is older, the driver was killed.
"""

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any, Literal

from curation.errors import InputError, RunError
from curation.redact import redact_secrets
from curation.run.layout import RunFolder
from curation.uris import is_local_uri, join_uri

HEARTBEAT_INTERVAL_S = 30.0
# A driver without a heartbeat for this long is taken for dead.
DEAD_AFTER_S = 4 * HEARTBEAT_INTERVAL_S
MAX_REASON_CHARS = 2000
# Set aside at the start, so that the end of a run can be recorded on a full disk.
_RESERVE_BYTES = 2**16


@dataclass(frozen=True)
class DriverState:
    """The state of a run's driver. Times are Unix times in seconds, by the driver's clock."""

    state: Literal["running", "finished", "stopped"]
    started_s: float
    heartbeat_s: float
    reason: str = ""

    def is_dead(self, now_s: float) -> bool:
        """Whether the state is running and the last heartbeat is older than DEAD_AFTER_S."""
        return self.state == "running" and now_s - self.heartbeat_s > DEAD_AFTER_S

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of `state.json`, in which `heartbeat_s` is named `heard_s`."""
        fields = asdict(self)
        return {"heard_s" if key == "heartbeat_s" else key: fields[key] for key in fields}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "DriverState":
        """Create a state from the fields of `state.json`."""
        return cls(fields["state"], fields["started_s"], fields["heard_s"], fields["reason"])


def read_driver_state(run: RunFolder) -> DriverState | None:
    """Read the state of a run's driver; None if no driver has worked on the run."""
    try:
        return DriverState.from_dict(json.loads(run.storage.read_bytes(_uri(run))))
    except FileNotFoundError:
        return None


def describe_other_driver(run: RunFolder, now_s: float | None = None) -> str:
    """Return a warning if another driver seems to be working on the run; else an empty text.

    `now_s` is the Unix time in seconds, by default the current time.
    """
    state, now_s = read_driver_state(run), time.time() if now_s is None else now_s
    if state is None or state.state != "running" or state.is_dead(now_s):
        return ""
    return (
        f"another driver of {run.uri} was alive {max(0.0, now_s - state.heartbeat_s):.0f} s ago. "
        "If it still runs, both do the same work: stop one. If it was killed, all is well"
    )


@contextmanager
def record_driver_state(run: RunFolder) -> Iterator[Callable[[], None]]:
    """Record that a driver works on a run during a block, and how the block ended.

    Yields a function that the block should call regularly. The function writes a heartbeat at most
    once every HEARTBEAT_INTERVAL_S. An error of the block is recorded and raised again, even if
    storage fails to record it. On a local disk, space for the record is reserved during the block.
    """
    started_s = time.time()
    last_heartbeat_s = 0.0

    def heartbeat() -> None:
        nonlocal last_heartbeat_s
        if time.time() - last_heartbeat_s >= HEARTBEAT_INTERVAL_S:
            last_heartbeat_s = time.time()
            _write(run, DriverState("running", started_s, last_heartbeat_s))

    reserve = _Reserve(run)
    heartbeat()
    try:
        yield heartbeat
    except BaseException as error:
        reserve.release()
        with suppress(OSError):
            _write(run, DriverState("stopped", started_s, time.time(), _reason(error)))
        raise
    reserve.release()
    _write(run, DriverState("finished", started_s, time.time()))


class _Reserve:
    """A file that takes room on a local disk until it is released."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._uri = join_uri(run.uri, ".state.reserve")
        if is_local_uri(run.uri):
            # Random, as a file system may compress.
            run.storage.put(self._uri, random.Random(0).randbytes(_RESERVE_BYTES))

    def release(self) -> None:
        if is_local_uri(self._run.uri):
            with suppress(OSError):
                self._run.storage.delete(self._uri)


def _reason(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted from the keyboard (Ctrl-C)"
    if isinstance(error, SystemExit):
        return "terminated from outside (SIGTERM)"
    message = str(error) if isinstance(error, InputError | RunError) else _with_class(error)
    return redact_secrets(message)[:MAX_REASON_CHARS]


def _with_class(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _write(run: RunFolder, state: DriverState) -> None:
    run.storage.put(_uri(run), json.dumps(state.to_dict(), indent=2).encode() + b"\n")


def _uri(run: RunFolder) -> str:
    return join_uri(run.uri, "state.json")
