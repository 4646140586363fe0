"""Handles URIs and local paths as text: joins them, makes them absolute, and finds their protocol.

There is no I/O here; `storage` reads and writes the files.
"""

import os
from urllib.parse import quote_from_bytes, unquote_to_bytes

from curation.errors import InputError


def uri_scheme(uri: str) -> str:
    """Return the scheme of a URI, empty for a local path.

    Raises InputError if the URI contains a password.
    """
    scheme, divider, rest = uri.partition("://")
    if not divider:
        return ""
    user, at, _ = rest.partition("/")[0].rpartition("@")
    if at and ":" in user:
        raise InputError(
            f"{scheme}://: the URI holds a password, which would be written into the run; "
            "credentials come from the environment or a profile"
        )
    return scheme


def is_local_uri(uri: str) -> bool:
    """Whether a URI names a file of this machine: a path, or file://."""
    return uri_scheme(uri) in ("", "file", "local")


def absolute_uri(uri: str) -> str:
    """Return the URI that names the same file in any working directory and process."""
    return local_path(uri) if is_local_uri(uri) else uri.replace("s3a://", "s3://", 1)


def join_uri(uri: str, *parts: str) -> str:
    """Return the URI of an entry below a folder."""
    return "/".join([uri.rstrip("/"), *parts])


def local_path(uri: str) -> str:
    """Return the absolute path of a local URI.

    `~` is expanded, and the `%` escapes of file:// are decoded.
    """
    scheme, divider, rest = uri.partition("://")
    path = os.fsdecode(unquote_to_bytes(rest)) if divider and scheme == "file" else rest or uri
    return os.path.abspath(os.path.expanduser(path))


def local_uri(path: str) -> str:
    """Return the URI of a local file: its path, or file:// with escapes if the path is not UTF-8.

    `path` is as the operating system's functions return it, with undecodable bytes as surrogates.
    """
    return path if _is_utf8(path) else f"file://{quote_from_bytes(os.fsencode(path))}"


def readable_path(path: str) -> str:
    r"""Return a path as readable text: each byte that is not UTF-8 becomes `\xNN`."""
    if _is_utf8(path):
        return path
    try:
        return os.fsencode(path).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # surrogates that stand for no byte
        return path.encode("utf-8", "backslashreplace").decode()


def _is_utf8(path: str) -> bool:
    if path.isascii():
        return True
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
