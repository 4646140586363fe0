"""Escapes untrusted text for Markdown and untrusted ids for file names."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from curation.text_safety import escape_invisible

# A colon only where it would make a link of a bare address.
_MARKUP = re.compile(r"([\\`*_{}\[\]#|~$]|:(?=//))")
_UNSAFE = re.compile(rb"[^A-Za-z0-9_-]")
# A name in a ustar header has 100 bytes, and an extension must fit beside the key.
_KEY_BYTES = 90
_HASHED = 32


def escape_markdown(value: object) -> str:
    """Return one line of Markdown that is rendered as this text, also within a table cell."""
    escaped = _MARKUP.sub(r"\\\1", escape_invisible(str(value)))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def to_plain_name(text: str) -> str:
    """Return a text in which only ASCII letters, digits, `-` and `_` are left."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-") or "dataset"


def to_file_key(clip_id: str) -> str:
    """Return a clip's name in tars and folders: without dots or slashes, and unique for each id."""
    data = clip_id.encode("utf-8", "surrogatepass")
    key = _UNSAFE.sub(lambda found: b"%%%02X" % found[0][0], data).decode()
    if len(key) <= _KEY_BYTES:
        return key
    return f"{key[: _KEY_BYTES - _HASHED]}{hashlib.sha256(data).hexdigest()[:_HASHED]}"


def strip_paths(value: Any) -> Any:
    """Return a configuration in which only the last part of each path or URI is left."""
    if isinstance(value, dict):
        return {key: strip_paths(item) for key, item in value.items()}
    if isinstance(value, list):
        return [strip_paths(item) for item in value]
    if isinstance(value, str) and (value.startswith(("/", "~", "./", "../")) or "://" in value):
        return value.rstrip("/").rpartition("/")[2]
    return value


def format_markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a table in Markdown; the cells must already be Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
