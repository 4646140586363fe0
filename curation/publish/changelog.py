"""Lists the changes between two publications: policy, models, and pairs added, kept and removed."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from curation.errors import InputError
from curation.publish import published_dataset
from curation.publish.summary import PublishSummary
from curation.publish.text import escape_markdown
from curation.run.record import list_differences
from curation.storage.files import Storage
from curation.uris import join_uri

CHANGELOG = "CHANGELOG.md"
_TITLE = "# Changes\n"
_PAIR = ["clip_id", "caption"]
# What of the origin is compared, key by key.
_COMPARED = ("policy", "models", "settings", "plan_hash", "catalog", "versions")


class PreviousPublication(NamedTuple):
    """An earlier publication: its origin, options, changelog and pairs."""

    origin: dict[str, Any]
    options: dict[str, Any]
    changelog: str
    pairs: np.ndarray  # uint64, sorted hashes of clip id and caption


def read_previous_publication(storage: Storage, uri: str) -> PreviousPublication:
    """Read an earlier publication from the folder of its dataset.

    Raises InputError if there is no finished dataset with Parquet files.
    """
    claim = published_dataset.read_dataset_facts(storage, uri)
    try:
        text = storage.read_bytes(join_uri(uri, CHANGELOG)).decode()
    except FileNotFoundError as error:
        raise InputError(
            f"{uri}: no {CHANGELOG}; it was not published to its end, publish it again first"
        ) from error
    pairs = hash_pairs(published_dataset.read_published_rows(storage, uri, _PAIR))
    return PreviousPublication(claim["origin"], claim["options"], text, pairs)


def hash_pairs(tables: Iterable[pa.Table]) -> np.ndarray:
    """Compute hashes that identify the pairs (clip id and caption), uint64 `[pairs]`, sorted."""
    parts = [np.empty(0, np.uint64)]
    for rows in tables:
        for batch in rows.select(_PAIR).to_batches(max_chunksize=65536):
            pairs = zip(*(column.to_pylist() for column in batch), strict=True)
            hashes = (_hash(*pair) for pair in pairs)
            parts.append(np.fromiter(hashes, np.uint64, batch.num_rows))
    return np.sort(np.concatenate(parts))


def build_changelog(
    summary: PublishSummary, pairs: np.ndarray, previous: PreviousPublication | None
) -> bytes:
    """Build the changelog: the entry of this version, followed by those of the previous version."""
    origin = summary.origin
    total = summary.total
    lines = [
        f"\n## Version {origin['table_version']}, {origin['committed']}\n\n",
        f"- {total.rows:,} captions of {total.clips:,} clips.\n",
    ]
    if previous:
        common = len(np.intersect1d(pairs, previous.pairs))
        lines.append(
            f"- Pairs: {common:,} as before, {len(pairs) - common:,} new, "
            f"{len(previous.pairs) - common:,} gone, against version "
            f"{previous.origin['table_version']}.\n"
        )
        lines += [f"- {escape_markdown(change)}\n" for change in _changes(previous, summary)]
    else:
        lines.append("- The first version.\n")
    earlier = previous.changelog.removeprefix(_TITLE) if previous else ""
    return (_TITLE + "".join(lines) + earlier).encode()


def _changes(previous: PreviousPublication, summary: PublishSummary) -> Iterator[str]:
    """In words what differs of origin and options, but the pairs."""
    before, after = previous.origin, summary.origin
    old = {name: before.get(name) for name in _COMPARED} | {"options": previous.options}
    new = {name: after.get(name) for name in _COMPARED} | {"options": summary.options.to_dict()}
    for key, value, now in list_differences(old, new):
        yield f"{key}: {_format_value(value)} before, {_format_value(now)} now."


def _format_value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "none" if value is None else str(value)


def _hash(clip_id: str, caption: str) -> int:
    text = f"{clip_id}\0{caption}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest())
