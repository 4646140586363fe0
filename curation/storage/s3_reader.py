"""Reads S3 objects by a native client, which does not hold Python's interpreter lock.

A worker reads a hundred clips per second while its models run. Per clip, an HTTP client in Python
holds the lock for 2.5 to 3 ms, and this client for 0.25 ms: see docs/storage.md. `s3` makes all
other requests with s3fs.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

# Of a request as a whole, whose parts may take `timeout_s` each: a large file on a slow line.
_REQUEST_TIMEOUT = "6h"

_STATUS_PATTERN = re.compile(r"status code: (\d{3})")
_CODE_PATTERN = re.compile(r"<Code>(\w+)</Code>")


class S3ResponseError(OSError):
    """S3 returned an error; `response` has the form of the one in botocore's exceptions."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.response = {
            "Error": {"Code": code},
            "ResponseMetadata": {"HTTPStatusCode": status},
        }


def open_bucket(
    bucket: str, options: dict[str, str], credentials: Any | None, timeout_s: float
) -> S3Store:
    """Open a reader for a bucket. Reuse it, because it keeps connections open. It does not retry.

    Args:
        options: as for Delta Lake, AWS_REGION and so on.
        credentials: botocore's credentials, which renew themselves; None for unsigned requests.
    """
    allow_http = options.get("AWS_ALLOW_HTTP") == "true"
    config = {name: value for name, value in options.items() if name != "AWS_ALLOW_HTTP"}
    timeout = f"{timeout_s * 1000:.0f}ms"
    return S3Store(
        bucket,
        config=config,  # type: ignore[arg-type]
        credential_provider=_CredentialProvider(credentials) if credentials else None,  # type: ignore[arg-type]
        client_options={
            "allow_http": allow_http,
            "connect_timeout": timeout,
            "read_timeout": timeout,
            "timeout": _REQUEST_TIMEOUT,
        },
        retry_config={"max_retries": 0},
    )


def head_object(store: S3Store, key: str) -> tuple[int, str | None]:
    """Return the size and the tag of an object. Raises as `get_object` does."""
    with _translate_errors():
        found = store.head(key)
    return found["size"], found["e_tag"]


def get_object(
    store: S3Store,
    key: str,
    start: int | None = None,
    end: int | None = None,
    etag: str | None = None,
    reserve: Callable[[int], None] | None = None,
) -> bytes:
    """Read an object, or a range of it; `reserve` is called with the size before the body is read.

    Raises FileNotFoundError, PermissionError, and for transient faults errors that `classify_fault`
    accepts.
    """
    options: dict[str, Any] = {}
    if end is not None:
        options["range"] = (start or 0, end)
    elif start is not None:
        options["range"] = {"offset": start}
    if etag:
        options["if_match"] = etag
    with _translate_errors():
        answer = store.get(key, options=options)  # type: ignore[arg-type]
        if reserve:
            first, last = answer.range
            reserve(last - first)
        return answer.bytes().to_bytes()


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Raise the client's errors as Python's. Their kind is known from their text only."""
    try:
        yield
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise PermissionError(_first_paragraph(error)) from error
    except BaseError as error:
        raise _translate_error(error) from error


class _CredentialProvider:
    """Botocore's credentials in the form that the client expects."""

    def __init__(self, credentials: Any) -> None:
        self._credentials = credentials

    def __call__(self) -> dict[str, Any]:
        keys = self._credentials.get_frozen_credentials()
        return {
            "access_key_id": keys.access_key,
            "secret_access_key": keys.secret_key,
            "token": keys.token,
            # Called again five minutes before that. Botocore renews them in time.
            "expires_at": datetime.now(UTC) + timedelta(minutes=10),
        }


def _translate_error(error: BaseError) -> Exception:
    text = str(error)
    if found := _STATUS_PATTERN.search(text):
        code = _CODE_PATTERN.search(text)
        return S3ResponseError(int(found[1]), code[1] if code else "", _first_paragraph(error))
    if "kind: Timeout" in text:
        return TimeoutError(_first_paragraph(error))
    if "IncompleteBody" in text or "IncompleteMessage" in text:
        return EOFError(_first_paragraph(error))
    if "kind: Connect," in text:
        return ConnectionRefusedError(_first_paragraph(error))
    if "HttpError" in text:
        return ConnectionError(_first_paragraph(error))
    return OSError(_first_paragraph(error))


def _first_paragraph(error: Exception) -> str:
    """The message of an error, without the nested one that follows it."""
    return str(error).partition("\n\nDebug source")[0]
