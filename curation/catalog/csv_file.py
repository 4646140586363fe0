"""Reads a CSV that a user wrote, and yields each row with its place in the file for messages.

The caller defines the columns.
"""

import csv
import io
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from curation.errors import InputError

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


def check_text_head(uri: str, head: bytes) -> None:
    """Check that the first bytes of a file are UTF-8 text. Raises InputError if they are not."""
    for magic, what in _MAGIC.items():
        if head.startswith(magic):
            raise InputError(f"{uri}: found a file that is {what}")
    if b"\0" in head:
        raise InputError(
            f"{uri}: found bytes 0 at its beginning: UTF-16, or no text; save as UTF-8"
        )


def read_csv(
    uri: str, file: BinaryIO, expected: str, check_header: Callable[[str, list[str]], None]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the place of each row of a CSV, and the row as a dict from column to value.

    Spaces around the names of columns and before a quoted field are ignored.

    Args:
        uri: the name of the file in messages.
        file: the open file, at its beginning.
        expected: the names of the columns, for the message about an empty file.
        check_header: called with the place and the columns of the header; raises InputError if the
            columns are wrong.

    Raises InputError with place and cause if the file is not a CSV in UTF-8, or if a row lacks
    fields.
    """
    head = file.read(64)
    file.seek(0)
    check_text_head(uri, head)
    text = io.TextIOWrapper(file, "utf-8-sig", newline="")
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
                _check_separator(place, header)
                check_header(place, header)
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
        raise InputError(f"{uri}: found no line; expected a header: {expected}")


def _check_separator(place: str, header: list[str]) -> None:
    for separator, name in _SEPARATORS.items():
        if len(header) == 1 and separator in header[0]:
            raise InputError(
                f"{place}: found fields divided by {name} in {header[0]!r}; expected a CSV "
                "divided by commas"
            )


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
