"""Reads S3 objects whose keys the native client refuses, such as `a//b`, `./a` or a key with a tab.

This module uses s3fs, which accepts any key but is slower; see `s3_reader`.
"""

import re
from collections.abc import Callable
from typing import Any, cast

from fsspec.asyn import sync

# What the client of s3_reader takes for no path, or for another one.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def is_odd_key(key: str) -> bool:
    """Whether a part of a key is empty, `.` or `..`, or the key has ASCII control characters."""
    return bool({"", ".", ".."} & set(key.split("/")) or _CONTROL.search(key))


def head_odd_object(filesystem: Any, bucket: str, key: str) -> tuple[int, str | None]:
    """Return the size and the tag of an object. Raises as `get_odd_object` does."""
    found = filesystem.call_s3("head_object", Bucket=bucket, Key=key)
    return int(found["ContentLength"]), found.get("ETag")


def get_odd_object(
    filesystem: Any,
    bucket: str,
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
    options: dict[str, Any] = {"Bucket": bucket, "Key": key}
    if reserve:
        size, found = head_odd_object(filesystem, bucket, key)
        reserve(max(0, (size if end is None else min(end, size)) - (start or 0)))
        etag = etag or found
    if start is not None or end is not None:
        options["Range"] = f"bytes={start or 0}-{'' if end is None else end - 1}"
    if etag:
        options["IfMatch"] = etag
    return cast(bytes, sync(filesystem.loop, _read_body, filesystem, options))


async def _read_body(filesystem: Any, options: dict[str, Any]) -> bytes:
    answer = await filesystem._call_s3("get_object", **options)
    async with answer["Body"] as body:
        return cast(bytes, await body.read())
