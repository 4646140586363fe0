"""Reads the rows of a CSV or JSONL of metadata, with the place of each row for messages.

`folder` defines the meaning of the columns.
"""

import io
import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, BinaryIO, cast

from curation.catalog.csv_file import check_text_head, read_csv
from curation.errors import InputError
from curation.storage.files import Storage

Row = dict[str, Any]


def read_metadata(
    storage: Storage, uri: str, needed: Sequence[str], key: str = "metadata"
) -> Iterator[tuple[str, Row]]:
    """Yield the place and the values of each row of a .csv or .jsonl file.

    Args:
        uri: the file, given in the YAML as `key` of the catalog.
        needed: columns that it must have.

    Raises InputError with the cause if the file cannot be read or lacks a column.
    """
    if not storage.exists(uri):
        raise InputError(f"{uri}: no such file, given as {key}: of the catalog")
    with storage.open_input(uri) as file:
        if uri.lower().endswith(".csv"):
            yield from read_csv(
                uri, file, ", ".join(needed), partial(_check_columns, needed=needed)
            )
        elif uri.lower().endswith(".jsonl"):
            yield from _read_jsonl(uri, file, needed)
        else:
            raise InputError(f"{uri}: expected metadata that ends in .csv or .jsonl")


def _read_jsonl(uri: str, file: BinaryIO, needed: Sequence[str]) -> Iterator[tuple[str, Row]]:
    check_text_head(uri, file.read(64))
    file.seek(0)
    text = io.TextIOWrapper(file, "utf-8-sig", newline="")
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


def _check_columns(place: str, columns: list[str], needed: Sequence[str]) -> None:
    for column in needed:
        if columns.count(column) > 1:
            raise InputError(f"{place}: {columns.count(column)} columns are called {column!r}")
        if column in columns:
            continue
        raise InputError(
            f"{place}: no column {column!r} among {', '.join(columns)}; name the columns in "
            "the catalog by file:, id:, tags:, start_s: and end_s:, or set tags: null"
        )
