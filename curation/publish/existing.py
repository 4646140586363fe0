"""A dataset that is published already: what it says of itself, and its rows."""

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from curation import storage
from curation.errors import InputError
from curation.publish.destination import FACTS


def claim_of(uri: str) -> dict[str, Any]:
    """What decided a dataset's bytes: its origin, its options, a hash of its rows.

    Raises InputError where no finished dataset is there.
    """
    try:
        facts = json.loads(storage.read_bytes(storage.join(uri, FACTS)))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(
            f"{uri}: no {FACTS}; expected a finished dataset as tagscribe publish writes it"
        ) from error
    claim: dict[str, Any] = facts["claim"]
    return claim


def rows_of(uri: str, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """A dataset's Parquet files, one after the other, all splits.

    Raises InputError where there are none.
    """
    files = [file.uri for file in storage.list_files(storage.join(uri, "data"))]
    files = [file for file in files if file.endswith(".parquet")]
    if not files:
        raise InputError(f"{uri}: no Parquet files in data/; expected a published dataset")
    for file in files:
        yield storage.read_parquet(file, columns)
