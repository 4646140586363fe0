"""Transient faults of object storage are classified by kind, retried with back-off, and counted.

An operation is retried until its timeout. The delays between attempts are random (full jitter), so
that workers that failed together do not retry together. The clients' own retries are off (`s3`,
`drivers`), because they do not cover a truncated body, and do not report how often they retried.
"""

import logging
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, NoReturn, TypeVar

import tenacity

from curation.errors import RunError

T = TypeVar("T")

# throttled: a response that demands a lower rate; connection: refused, reset or closed; truncated:
# a body that ends before its length; timeout: nothing received for too long; server: any other 5xx.
FaultKind = Literal["throttled", "connection", "truncated", "timeout", "server"]
GIVEN_UP = "given_up"

# How long a clip's read is retried by default, and how many times as long what a whole shard or run
# depends on: writes, listings, the plan.
READ_RETRY_TIMEOUT_S = 60.0
RUN_TIMEOUT_FACTOR = 5
BACKOFF_S = 0.1
BACKOFF_MAX_S = 10.0
# An endpoint that was never reached and refuses connections, or has no address, is a wrong one most
# likely: it is given up after this time, whatever the timeout.
FIRST_CONTACT_TIMEOUT_S = 6.0
# Log a warning after this time.
_WARN_AFTER_S = 5.0

_THROTTLED = {
    "SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "RequestThrottled",
    "TooManyRequests", "TooManyRequestsException", "BandwidthLimitExceeded", "ServiceUnavailable",
    # Two conditional writes at once: the one that must try again finds the other's object.
    "ConditionalRequestConflict",
}  # fmt: skip
_CUT_UPLOAD = {"IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch"}

# By kind: Python's own class of error, and those of the clients by module.
_FAULT_CLASSES: tuple[tuple[FaultKind, type[Exception], dict[str, tuple[str, ...]]], ...] = (
    (
        "truncated",
        EOFError,
        {
            "aiohttp.client_exceptions": ("ClientPayloadError",),
            "botocore.exceptions": (
                "ResponseStreamingError", "IncompleteReadError", "FlexibleChecksumError",
            ),
            "botocore.parsers": ("ResponseParserError",),
        },
    ),
    (
        "timeout",
        TimeoutError,
        {"botocore.exceptions": ("ReadTimeoutError", "ConnectTimeoutError")},
    ),
    (
        "connection",
        ConnectionError,
        {
            "aiohttp.client_exceptions": ("ClientConnectionError",),
            "botocore.exceptions": ("HTTPClientError", "ConnectionError"),
        },
    ),
)  # fmt: skip

_log = logging.getLogger("tagscribe.storage")
_jitter = random.Random()
_backoff = tenacity.wait_exponential(multiplier=BACKOFF_S, max=BACKOFF_MAX_S)
_lock = threading.Lock()
_totals: Counter[str] = Counter()


class _ThreadCounts(threading.local):
    """The faults that this thread has met."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()


_thread = _ThreadCounts()


class RetriesExhausted(RunError, OSError):
    """Storage failed until the retry timeout; `kind` is the kind of the last fault."""

    def __init__(self, kind: FaultKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Endpoint:
    """A server: its name for messages, and whether it has ever answered this process."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.reached = False


def call_with_retries(
    operation: str, timeout_s: float, call: Callable[[], T], endpoint: Endpoint | None = None
) -> T:
    """Return the result of `call`; retry transient faults for `timeout_s` from the first fault.

    Args:
        operation: the name of the operation in messages; a URI.
        endpoint: the server, if known. If it has never answered this process, retries end after
            FIRST_CONTACT_TIMEOUT_S.

    Raises RetriesExhausted if faults last until the timeout. Raises any other error at once.
    """
    budget = _RetryBudget(operation, timeout_s, endpoint)
    retry_loop = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_is_transient),
        wait=_jittered_wait_s,
        stop=budget.is_exhausted,
        before_sleep=budget.record_retry,
        retry_error_callback=budget.raise_exhausted,
    )
    return retry_loop(budget.watch(call))


class _RetryBudget:
    """The time that one operation may be retried, counted from its first fault."""

    def __init__(self, operation: str, timeout_s: float, endpoint: Endpoint | None) -> None:
        self._operation = operation
        self._timeout_s = timeout_s
        self._endpoint = endpoint
        self._begun_s = time.monotonic()
        self._first_fault_s: float | None = None
        self._elapsed_s = 0.0
        self._warned = False

    def watch(self, call: Callable[[], T]) -> Callable[[], T]:
        """Return `call` wrapped so that it records whether its endpoint answered."""

        def watched() -> T:
            try:
                result = call()
            except Exception as error:
                if self._endpoint and not is_unreachable(error):
                    self._endpoint.reached = True
                raise
            if self._endpoint:
                self._endpoint.reached = True
            return result

        return watched

    def is_exhausted(self, state: tenacity.RetryCallState) -> bool:
        now_s = time.monotonic()
        if self._endpoint and not self._endpoint.reached:
            waited_s = now_s - self._begun_s + state.upcoming_sleep
            if waited_s > FIRST_CONTACT_TIMEOUT_S:
                return True
        if self._first_fault_s is None:
            self._first_fault_s = now_s
        self._elapsed_s = now_s - self._first_fault_s
        return self._elapsed_s + state.upcoming_sleep > self._timeout_s

    def record_retry(self, state: tenacity.RetryCallState) -> None:
        error, kind = _failure_of(state)
        reached = self._endpoint is None or self._endpoint.reached
        if self._elapsed_s > _WARN_AFTER_S and reached and not self._warned:
            self._warned = True
            _log.warning(
                "%s: %s (%s); trying for %g s", self._operation, kind, error, self._timeout_s
            )
        _count(kind)

    def raise_exhausted(self, state: tenacity.RetryCallState) -> NoReturn:
        error, kind = _failure_of(state)
        _count(GIVEN_UP)
        if self._endpoint and not self._endpoint.reached:
            raise RetriesExhausted(
                kind,
                f"{self._operation}: no connection to {self._endpoint.name} ({error}); check the "
                "endpoint (storage.endpoint_url, --endpoint-url, AWS_ENDPOINT_URL), and whether "
                "its server runs",
            ) from error
        raise RetriesExhausted(
            kind, f"{self._operation}: {kind}, again and again for {self._timeout_s:g} s: {error}"
        ) from error


def _is_transient(error: BaseException) -> bool:
    return isinstance(error, Exception) and classify_fault(error) is not None


def _jittered_wait_s(state: tenacity.RetryCallState) -> float:
    """Full jitter. By a generator of its own: a seeded `random` of the program stays as it is."""
    return _jitter.uniform(0, _backoff(state))


def _failure_of(state: tenacity.RetryCallState) -> tuple[BaseException, FaultKind]:
    assert state.outcome is not None
    error = state.outcome.exception()
    assert error is not None
    kind = classify_fault(error)
    assert kind is not None
    return error, kind


def fault_totals() -> dict[str, int]:
    """Return this process's number of retries by kind of fault, and of operations given up."""
    with _lock:
        return dict(_totals)


@contextmanager
def count_faults() -> Iterator[Counter[str]]:
    """Count this thread's faults by kind during the block; the counts are complete at its end."""
    before = _thread.counts.copy()
    counts: Counter[str] = Counter()
    try:
        yield counts
    finally:
        counts.update(_thread.counts - before)


def is_unreachable(error: BaseException) -> bool:
    """Whether the connection failed: refused, no route, unknown host, or TLS not agreed on."""
    from botocore.exceptions import EndpointConnectionError, SSLError

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (EndpointConnectionError, SSLError, ConnectionRefusedError)):
            return True
        cause = cause.__cause__
    return False


def classify_fault(error: BaseException) -> FaultKind | None:
    """Return the kind of a transient fault; None for an error that should not be retried."""
    if isinstance(error, (RetriesExhausted, FileNotFoundError, PermissionError, FileExistsError)):
        return None
    cause: BaseException | None = error
    while cause is not None:
        kind = _kind_by_status(cause) or _kind_by_class(cause)
        if kind:
            return kind
        cause = cause.__cause__
    return None


def _kind_by_status(error: BaseException) -> FaultKind | None:
    """By the response of a server, as the exceptions of S3, GCS, Azure and the hub carry it."""
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


def _kind_by_class(error: BaseException) -> FaultKind | None:
    for kind, builtin, clients in _FAULT_CLASSES:
        if isinstance(error, (builtin, *_loaded_classes(clients))):
            return kind
    return None


def _loaded_classes(names: Mapping[str, tuple[str, ...]]) -> list[type[BaseException]]:
    """The classes of modules that are imported: an error of another cannot have been raised.

    Importing the clients would take longer than selecting from a small run.
    """
    return [
        getattr(sys.modules[module], name)
        for module, classes in names.items()
        for name in classes
        if hasattr(sys.modules.get(module), name)
    ]


def _count(kind: str) -> None:
    with _lock:
        _totals[kind] += 1
    _thread.counts[kind] += 1
