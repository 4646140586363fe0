"""What changed between two publications: policy, models, and which pairs came, stayed and went."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from curation import storage
from curation.errors import InputError
from curation.publish.destination import FACTS
from curation.publish.summary import Summary
from curation.publish.text import markdown

CHANGELOG = "CHANGELOG.md"
_TITLE = "# Changes\n"
# What of the origin is compared, key by key.
_COMPARED = ("policy", "models", "settings", "plan_hash", "catalog", "versions")


class Previous(NamedTuple):
    """An earlier publication: where its dataset came from, its changelog, its pairs."""

    origin: dict[str, Any]
    changelog: str
    pairs: np.ndarray  # uint64, sorted hashes of clip id and caption


def read_previous(uri: str) -> Previous:
    """Raises InputError where no finished dataset with Parquet files is there."""
    try:
        facts = json.loads(storage.read_bytes(storage.join(uri, FACTS)))
        changelog = storage.read_bytes(storage.join(uri, CHANGELOG)).decode()
    except FileNotFoundError as error:
        raise InputError(f"{uri}: no finished dataset of tagscribe publish: {error}") from error
    return Previous(facts["claim"]["origin"], changelog, pair_hashes(parquet_rows(uri, _PAIR)))


_PAIR = ["clip_id", "caption"]


def parquet_rows(uri: str, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """A published dataset's Parquet files, one after the other, all splits.

    Raises InputError where there are none.
    """
    files = [f.uri for f in storage.list_files(storage.join(uri, "data"))]
    files = [file for file in files if file.endswith(".parquet")]
    if not files:
        raise InputError(f"{uri}: no Parquet files in data/; expected a published dataset")
    for file in files:
        yield storage.read_parquet(file, columns)


def pair_hashes(tables: Iterable[pa.Table]) -> np.ndarray:
    """Hashes that tell pairs apart, sorted, `[pairs]`."""
    parts = [np.empty(0, np.uint64)]
    for rows in tables:
        for batch in rows.select(_PAIR).to_batches(max_chunksize=65536):
            pairs = zip(*(column.to_pylist() for column in batch), strict=True)
            hashes = (_hash(*pair) for pair in pairs)
            parts.append(np.fromiter(hashes, np.uint64, batch.num_rows))
    return np.sort(np.concatenate(parts))


def changelog(summary: Summary, pairs: np.ndarray, previous: Previous | None) -> bytes:
    """The changelog, newest first, with this version's entry before those of the previous."""
    origin = summary.origin
    total = summary.total
    lines = [
        f"\n## Version {origin['table_version']}, {origin['committed']}\n\n",
        f"- {total.rows:,} captions of {total.clips:,} clips.\n",
    ]
    if previous:
        kept = len(np.intersect1d(pairs, previous.pairs))
        lines.append(
            f"- Pairs: {kept:,} as before, {len(pairs) - kept:,} new, "
            f"{len(previous.pairs) - kept:,} gone, against version "
            f"{previous.origin['table_version']}.\n"
        )
        lines += [f"- {markdown(change)}\n" for change in _changes(previous.origin, origin)]
    else:
        lines.append("- The first version.\n")
    earlier = previous.changelog.removeprefix(_TITLE) if previous else ""
    return (_TITLE + "".join(lines) + earlier).encode()


def _changes(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    old = dict(_flat({name: before.get(name) for name in _COMPARED}))
    new = dict(_flat({name: after.get(name) for name in _COMPARED}))
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            yield f"{key}: {old.get(key)} before, {new.get(key)} now."


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def _hash(clip_id: str, caption: str) -> int:
    text = f"{clip_id}\0{caption}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest())
