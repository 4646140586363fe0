"""Faults of object storage that pass: told by kind, tried again with back-off, and counted.

An operation is tried again until its patience is used up, with full jitter between the attempts, so
that workers which failed together do not come back together. Clients' own retries are off
(`object_store`): they neither cover a body that ends early nor say how often they were needed.
"""

import itertools
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeVar

from curation.errors import RunError

T = TypeVar("T")

# throttled: asked to slow down; connection: refused, reset or closed; truncated: a body that ends
# before its length; timeout: nothing came for too long; server: any other 5xx.
Fault = Literal["throttled", "connection", "truncated", "timeout", "server"]
GIVEN_UP = "given_up"

BACKOFF_S = 0.1
BACKOFF_LIMIT_S = 10.0
# What fails for this long is told, as a wrong endpoint looks like a storage that is away.
_WARN_AFTER_S = 5.0

_THROTTLED = {
    "SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "RequestThrottled",
    "TooManyRequests", "TooManyRequestsException", "BandwidthLimitExceeded", "ServiceUnavailable",
    # Two conditional writes at once: the one that is told to try again finds the other's object.
    "ConditionalRequestConflict",
}  # fmt: skip
_CUT_UPLOAD = {"IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch"}

_log = logging.getLogger("tagscribe.storage")
_jitter = random.Random()
_lock = threading.Lock()
_totals: Counter[str] = Counter()


class _Thread(threading.local):
    """The faults that this thread has met."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()


_thread = _Thread()


class GaveUp(RunError, OSError):
    """Storage that kept failing for as long as it may; `kind` is that of the last fault."""

    def __init__(self, kind: Fault, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def retrying(what: str, patience_s: float, work: Callable[[], T]) -> T:
    """What `work` returns; faults that pass are retried for `patience_s` from the first one.

    Raises GaveUp for a fault that did not pass, and at once whatever is no such fault.
    """
    failing_since = 0.0
    warned = False
    for attempt in itertools.count():
        try:
            return work()
        except Exception as error:
            kind = fault(error)
            if kind is None:
                raise
            failing_since = failing_since or time.monotonic()
            wait_s = _jitter.uniform(0, min(BACKOFF_LIMIT_S, BACKOFF_S * 2**attempt))
            elapsed_s = time.monotonic() - failing_since
            if elapsed_s + wait_s > patience_s:
                _count(GIVEN_UP)
                raise GaveUp(
                    kind, f"{what}: {kind}, again and again for {patience_s:g} s: {error}"
                ) from error
            if elapsed_s > _WARN_AFTER_S and not warned:
                warned = True
                _log.warning("%s: %s (%s); trying for %g s", what, kind, error, patience_s)
            _count(kind)
            time.sleep(wait_s)
    raise AssertionError("not reached")


def totals() -> dict[str, int]:
    """Retries of this process so far by kind of fault, and operations given up."""
    with _lock:
        return dict(_totals)


@contextmanager
def counting() -> Iterator[Counter[str]]:
    """The same for what this thread does within the block, told when the block ends."""
    before = _thread.counts.copy()
    found: Counter[str] = Counter()
    try:
        yield found
    finally:
        found.update(_thread.counts - before)


def fault(error: BaseException) -> Fault | None:
    """The kind of a fault that passes; None for an error that will be the same the next time."""
    if isinstance(error, (GaveUp, FileNotFoundError, PermissionError, FileExistsError)):
        return None
    each: BaseException | None = error
    while each is not None:
        kind = _by_status(each) or _by_class(each)
        if kind:
            return kind
        each = each.__cause__
    return None


def _by_status(error: BaseException) -> Fault | None:
    """By the answer of a server, as the exceptions of S3, GCS, Azure and the hub carry it."""
    response = getattr(error, "response", None)
    code = ""
    if isinstance(response, dict):
        code = str(response.get("Error", {}).get("Code", ""))
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        found = (getattr(response, "status_code", None), getattr(error, "status_code", None))
        status = next((each for each in (*found, getattr(error, "code", None)) if each), None)
    if code in _THROTTLED or status in (429, 503):
        return "throttled"
    if code in _CUT_UPLOAD:
        return "truncated"
    if code == "RequestTimeout":
        return "timeout"
    return "server" if isinstance(status, int) and 500 <= status < 600 else None


def _by_class(error: BaseException) -> Fault | None:
    # Slow to import, and there already when one of their errors has come.
    import aiohttp
    from botocore import exceptions as boto
    from botocore.parsers import ResponseParserError
    from fsspec.exceptions import FSTimeoutError

    truncated = (
        aiohttp.ClientPayloadError, boto.ResponseStreamingError, boto.IncompleteReadError,
        boto.FlexibleChecksumError, ResponseParserError, EOFError,
    )  # fmt: skip
    timeout = (boto.ReadTimeoutError, boto.ConnectTimeoutError, FSTimeoutError, TimeoutError)
    connection = (
        boto.HTTPClientError,
        boto.ConnectionError,
        aiohttp.ClientConnectionError,
        ConnectionError,
    )
    if isinstance(error, truncated):
        return "truncated"
    if isinstance(error, timeout):
        return "timeout"
    return "connection" if isinstance(error, connection) else None


def _count(kind: str) -> None:
    with _lock:
        _totals[kind] += 1
    _thread.counts[kind] += 1
