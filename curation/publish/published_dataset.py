"""Reads the claim and the rows of a published dataset."""

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from curation.errors import InputError
from curation.publish.destination import FACTS_FILE, PUBLISHED_FORMAT
from curation.storage.files import Storage
from curation.uris import join_uri


def read_dataset_facts(storage: Storage, uri: str) -> dict[str, Any]:
    """Read the claim in `dataset.json`: format, origin, options and a hash of the rows.

    Raises InputError if there is no finished dataset, or if its format is unknown.
    """
    try:
        claim: dict[str, Any] = json.loads(storage.read_bytes(join_uri(uri, FACTS_FILE)))["claim"]
        found = claim["format"]
    except (FileNotFoundError, NotADirectoryError, ValueError, LookupError, TypeError) as error:
        raise InputError(
            f"{uri}: no {FACTS_FILE} of tagscribe publish there; expected a finished dataset"
        ) from error
    if found != PUBLISHED_FORMAT:
        raise InputError(
            f"{uri}/{FACTS_FILE}: format {found!r}, this version reads {PUBLISHED_FORMAT}; use the "
            "version of tagscribe that wrote it"
        )
    return claim


def read_published_rows(
    storage: Storage, uri: str, columns: list[str] | None = None
) -> Iterator[pa.Table]:
    """Read the rows of a dataset's Parquet files, of all splits, file by file.

    Raises InputError if the dataset has no Parquet files.
    """
    files = [file.uri for file in storage.list_files(join_uri(uri, "data"))]
    files = [file for file in files if file.endswith(".parquet")]
    if not files:
        raise InputError(f"{uri}: no Parquet files in data/; expected a published dataset")
    for file in files:
        yield storage.read_parquet(file, columns)
