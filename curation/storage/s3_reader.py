"""Reads of S3 objects by a native client, which leaves the interpreter's lock to the models.

A worker reads a hundred clips a second beside its models. An HTTP client in Python takes 2.5 to
3 ms of the interpreter for each, this one a quarter of one: see docs/storage.md. All but reading
goes through s3fs, in `object_store`.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from curation.errors import InputError

# Of a request as a whole, whose parts may take `timeout_s` each: a large file on a slow line.
_LONGEST = "6h"

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")


class Refused(OSError):
    """An answer that is no object; `response` is as the exceptions of botocore carry it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.response = {
            "Error": {"Code": code},
            "ResponseMetadata": {"HTTPStatusCode": status},
        }


def open_bucket(
    bucket: str, options: dict[str, str], credentials: Any | None, timeout_s: float
) -> S3Store:
    """A bucket's reader, to be kept, as it holds connections. It retries nothing itself.

    Args:
        options: as Delta's, AWS_REGION and so forth.
        credentials: botocore's, asked anew when they expire; None: requests are not signed.
    """
    allow_http = options.get("AWS_ALLOW_HTTP") == "true"
    config = {name: value for name, value in options.items() if name != "AWS_ALLOW_HTTP"}
    timeout = f"{timeout_s * 1000:.0f}ms"
    return S3Store(
        bucket,
        config=config,  # type: ignore[arg-type]
        credential_provider=_Provider(credentials) if credentials else None,  # type: ignore[arg-type]
        client_options={
            "allow_http": allow_http,
            "connect_timeout": timeout,
            "read_timeout": timeout,
            "timeout": _LONGEST,
        },
        retry_config={"max_retries": 0},
    )


def head(store: S3Store, key: str) -> tuple[int, str | None]:
    """Size and tag of an object. Raises as `get` does."""
    _need_addressable(store, key)
    with _errors():
        found = store.head(key)
    return found["size"], found["e_tag"]


def get(
    store: S3Store,
    key: str,
    start: int | None = None,
    end: int | None = None,
    etag: str | None = None,
    reserve: Callable[[int], None] | None = None,
) -> bytes:
    """An object, or a range of it; `reserve` hears its size before its body is read.

    Raises FileNotFoundError, PermissionError, InputError for a key that cannot be asked for, and
    for what may pass errors that `retrying` knows the kinds of.
    """
    _need_addressable(store, key)
    asked: dict[str, Any] = {}
    if end is not None:
        asked["range"] = (start or 0, end)
    elif start is not None:
        asked["range"] = {"offset": start}
    if etag:
        asked["if_match"] = etag
    with _errors():
        answer = store.get(key, options=asked)  # type: ignore[arg-type]
        if reserve:
            first, last = answer.range
            reserve(last - first)
        return answer.bytes().to_bytes()


def _need_addressable(store: S3Store, key: str) -> None:
    if {"", ".", ".."} & set(key.split("/")):
        raise InputError(
            f"s3://{store.config['bucket']}/{key}: a key whose parts are empty, '.' or '..' cannot "
            "be read; copy the object to another key"
        )


@contextmanager
def _errors() -> Iterator[None]:
    """The client's errors as Python has them. What was met stands in their text alone."""
    try:
        yield
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise PermissionError(_told(error)) from error
    except BaseError as error:
        raise _of_its_kind(error) from error


class _Provider:
    """Botocore's credentials as the client asks for them."""

    def __init__(self, credentials: Any) -> None:
        self._credentials = credentials

    def __call__(self) -> dict[str, Any]:
        keys = self._credentials.get_frozen_credentials()
        return {
            "access_key_id": keys.access_key,
            "secret_access_key": keys.secret_key,
            "token": keys.token,
            # Asked again five minutes before that. It is botocore that renews them, in good time.
            "expires_at": datetime.now(UTC) + timedelta(minutes=10),
        }


def _of_its_kind(error: BaseError) -> Exception:
    text = str(error)
    if found := _STATUS.search(text):
        code = _CODE.search(text)
        return Refused(int(found[1]), code[1] if code else "", _told(error))
    if "kind: Timeout" in text:
        return TimeoutError(_told(error))
    if "IncompleteBody" in text or "IncompleteMessage" in text:
        return EOFError(_told(error))
    if "HttpError" in text:
        return ConnectionError(_told(error))
    return OSError(_told(error))


def _told(error: Exception) -> str:
    """The sentence of an error, without the nested one that follows it."""
    return str(error).partition("\n\nDebug source")[0]
