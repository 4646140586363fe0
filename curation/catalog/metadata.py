"""Reads the rows of a CSV or JSONL of metadata, each with its place for messages.

`folder` defines the meaning of the columns.
"""

import csv
import io
import json
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, cast

from curation.errors import InputError
from curation.storage.files import Storage

Row = dict[str, Any]

# First bytes of files that are not UTF-8 text.
_MAGIC = {
    b"\x1f\x8b": "compressed by gzip; unpack it with gunzip",
    b"BZh": "compressed by bzip2; unpack it with bunzip2",
    b"\xfd7zXZ": "compressed by xz; unpack it with unxz",
    b"\x28\xb5\x2f\xfd": "compressed by zstd; unpack it with unzstd",
    b"PK\x03\x04": "a zip archive or a spreadsheet; save the sheet as CSV in UTF-8",
    b"PAR1": "Parquet; use kind: parquet, or write it as CSV",
    b"\xff\xfe": "UTF-16; save it as UTF-8: iconv -f UTF-16 -t UTF-8",
    b"\xfe\xff": "UTF-16; save it as UTF-8: iconv -f UTF-16 -t UTF-8",
}
_SEPARATORS = {"\t": "tabs", ";": "semicolons", "|": "bars"}
_SPACE_BEFORE_QUOTE = re.compile(r"(?:^|(?<=,)) +$")


def read_metadata(storage: Storage, uri: str, needed: list[str]) -> Iterator[tuple[str, Row]]:
    """The rows of a .csv or .jsonl with the columns `needed`, each after its place.

    Raises InputError with the cause if the file cannot be read or lacks a column.
    """
    if not storage.exists(uri):
        raise InputError(f"{uri}: no such file, given as metadata: of the catalog")
    with storage.open_input(uri) as file:
        _check_is_text(uri, file)
        text = io.TextIOWrapper(file, "utf-8-sig", newline="")
        if uri.lower().endswith(".csv"):
            yield from _read_csv(uri, text, needed)
        elif uri.lower().endswith(".jsonl"):
            yield from _read_jsonl(uri, text, needed)
        else:
            raise InputError(f"{uri}: expected metadata that ends in .csv or .jsonl")


def check_text_head(uri: str, head: bytes) -> None:
    """Raises InputError if the first bytes of a file are not UTF-8 text."""
    for magic, what in _MAGIC.items():
        if head.startswith(magic):
            raise InputError(f"{uri}: found a file that is {what}")
    if b"\0" in head:
        raise InputError(
            f"{uri}: found bytes 0 at its beginning: UTF-16, or no text; save as UTF-8"
        )


def _check_is_text(uri: str, file: BinaryIO) -> None:
    head = file.read(64)
    file.seek(0)
    check_text_head(uri, head)


def _read_csv(uri: str, text: io.TextIOWrapper, needed: list[str]) -> Iterator[tuple[str, Row]]:
    # The limit is the process's. A transcript may be longer than its usual 128 KiB.
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    reader = csv.reader(_drop_spaces_before_quotes(text), strict=True)
    header: list[str] | None = None
    line = 1
    try:
        for values in reader:
            place, line = f"{uri} line {line}", reader.line_num + 1
            if not any(value.strip() for value in values) and len(values) <= 1:
                continue
            if header is None:
                header = [name.strip() for name in values]
                _check_columns(place, header, needed)
            elif len(values) != len(header):
                raise InputError(
                    f"{place}: found {len(values)} fields in {','.join(values)!r}; expected "
                    f"{len(header)}: {', '.join(header)}"
                )
            else:
                yield place, dict(zip(header, values, strict=True))
    except UnicodeDecodeError as error:
        raise InputError(f"{uri} after line {reader.line_num}: not UTF-8: {error}") from error
    except csv.Error as error:
        raise InputError(f"{uri} line {line}: not CSV: {error}") from error
    if header is None:
        raise InputError(f"{uri}: found no line; expected a header: {', '.join(needed)}")


def _drop_spaces_before_quotes(lines: Iterable[str]) -> Iterator[str]:
    """So that `a, "b, c"` has two fields, while a space belongs to a name that is not quoted."""
    quoted = False
    for line in lines:
        parts = line.split('"')
        for index, part in enumerate(parts[:-1]):
            if quoted:
                quoted = False
                continue
            if not part and index:  # a doubled quote
                quoted = True
                continue
            begun = _SPACE_BEFORE_QUOTE.sub("", part)
            # Else the quote is a character of the field.
            if begun.endswith(",") or not begun and not index:
                parts[index], quoted = begun, True
        yield '"'.join(parts)


def _read_jsonl(uri: str, text: io.TextIOWrapper, needed: list[str]) -> Iterator[tuple[str, Row]]:
    number = 0
    try:
        for number, line in enumerate(text, 1):
            if not line.strip():
                continue
            row = json.loads(line)
            if not isinstance(row, dict):
                raise InputError(f"{uri} line {number}: found {line.strip()!r}; expected an object")
            _check_columns(f"{uri} line {number}", list(row), needed)
            yield f"{uri} line {number}", cast(Row, row)
    except UnicodeDecodeError as error:
        raise InputError(f"{uri} after line {number}: not UTF-8: {error}") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{uri} line {number}: not JSON: {error}") from error


def _check_columns(place: str, columns: list[str], needed: list[str]) -> None:
    for column in needed:
        if columns.count(column) > 1:
            raise InputError(f"{place}: {columns.count(column)} columns are called {column!r}")
        if column in columns:
            continue
        for separator, name in _SEPARATORS.items():
            if len(columns) == 1 and separator in columns[0]:
                raise InputError(
                    f"{place}: found fields divided by {name} in {columns[0]!r}; expected a CSV "
                    "divided by commas"
                )
        raise InputError(
            f"{place}: no column {column!r} among {', '.join(columns)}; name the columns in "
            "the catalog by file:, id:, tags:, start_s: and end_s:, or set tags: null"
        )
