"""Publishes a dataset: shard after shard, then the card and the other metadata.

The captions of all shards are in memory as Arrow columns. Audio and Python objects are in memory
for one shard at a time.
"""

import json
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from curation.console import ProgressCallback
from curation.publish import audio_column, excluded, files, hub
from curation.publish.card import build_card
from curation.publish.changelog import (
    CHANGELOG,
    PreviousPublication,
    build_changelog,
    hash_pairs,
    read_previous_publication,
)
from curation.publish.croissant import build_croissant
from curation.publish.destination import (
    FACTS_FILE,
    PublishDestination,
    ShardReceipt,
)
from curation.publish.options import DatasetFormat
from curation.publish.publication import Publication, add_requested_audio
from curation.publish.splits import DatasetShard, is_first_of_clip
from curation.publish.summary import PublishSummary, summarise_publication

CARD, CROISSANT = "README.md", "croissant.json"
# What depends on the options that describe the dataset.
DESCRIPTIVE_FILES = CARD, CROISSANT, FACTS_FILE
ShardReceipts = dict[str, tuple[DatasetShard, ShardReceipt]]


@dataclass(frozen=True)
class PublishResult:
    """The files at the destination. `summary` is None if the dataset was already complete."""

    uri: str
    files: int
    summary: PublishSummary | None
    excluded: pa.Table
    same: int = 0  # clips whose audio file has the bytes that were annotated
    other: int = 0


def publish_dataset(
    publication: Publication,
    uri: str,
    previous: str | None = None,
    update: ProgressCallback | None = None,
    overwrite_metadata: bool = False,
) -> PublishResult:
    """Write a dataset. A second call continues an interrupted one, and changes no finished file.

    Args:
        uri: a folder, `s3://` or `hf://org/name`.
        previous: an earlier publication, with which the changelog compares this one.
        update: called with the number of rows done and the number of all rows.
        overwrite_metadata: write the card and `croissant.json` of a finished dataset again, with
            this publication's name, licence and description. The data files are checked and kept.

    Raises InputError naming a file that exists with other content; only `overwrite_metadata`
    overwrites files. With `overwrite_metadata`, InputError is also raised if there is no finished
    dataset of the same data.
    """
    with hub.explain_hub_errors(uri):
        return _publish(publication, uri, previous, update, overwrite_metadata)


def _publish(
    publication: Publication,
    uri: str,
    previous: str | None,
    update: ProgressCallback | None,
    overwrite_metadata: bool,
) -> PublishResult:
    destination, earlier = claim_destination(publication, uri, previous, overwrite_metadata)
    if overwrite_metadata:
        return _overwrite_metadata(publication, destination)
    if destination.finished:
        count = destination.check()
        return PublishResult(destination.uri, count, None, publication.excluded)
    written = _write_shards(publication, destination, update)
    summary, rows, out = _summarise(publication, written)
    receipts = [receipt for _, receipt in written.values()]
    sums = {path: digest for receipt in receipts for path, digest in receipt.files.items()}
    log = build_changelog(summary, hash_pairs([rows]), earlier)
    for path, data in {**_build_metadata_files(summary, written, out), CHANGELOG: log}.items():
        sums[path] = destination.put(path, data)
    destination.finish(sums)
    return PublishResult(
        destination.uri,
        len(sums) + 1,
        summary,
        out,
        sum(receipt.same for receipt in receipts),
        sum(receipt.other for receipt in receipts),
    )


def _overwrite_metadata(publication: Publication, destination: PublishDestination) -> PublishResult:
    """Check the files of a finished dataset, and write again those that describe it."""
    count = destination.check(except_for=DESCRIPTIVE_FILES)
    written = {
        shard.label: (shard, destination.get_receipt(shard.label)) for shard in publication.shards
    }
    summary, _, out = _summarise(publication, written)
    destination.replace({CARD: build_card(summary), CROISSANT: build_croissant(summary)})
    return PublishResult(destination.uri, count, summary, out)


def _summarise(
    publication: Publication, written: ShardReceipts
) -> tuple[PublishSummary, pa.Table, pa.Table]:
    """The summary of the written shards, the published rows, and the excluded clips."""
    found = [excluded.build_excluded_table(receipt.excluded) for _, receipt in written.values()]
    out = pa.concat_tables([publication.excluded, *found])
    rows = excluded.drop_excluded(publication.source.rows, out)
    summary = summarise_publication(
        rows, publication.options, publication.source.origin, written, out
    )
    return summary, rows, out


def claim_destination(
    publication: Publication, uri: str, previous: str | None, overwrite_metadata: bool = False
) -> tuple[PublishDestination, PreviousPublication | None]:
    """Open the destination and the previous publication; nothing is written yet.

    Raises InputError if the destination has another publication, or if `previous` does not exist.
    With `overwrite_metadata`, InputError is also raised if the destination has no finished dataset.
    """
    uri = hub.resolve_hub_uri(uri)
    storage = publication.source.storage
    hub.require_hub_repository(storage, uri)
    earlier = (
        read_previous_publication(storage, hub.resolve_hub_uri(previous)) if previous else None
    )
    claim = {**publication.claim, "previous": earlier.origin if earlier else None}
    return PublishDestination(storage, uri, claim, overwrite_metadata), earlier


def _write_shards(
    publication: Publication, destination: PublishDestination, update: ProgressCallback | None
) -> ShardReceipts:
    written: ShardReceipts = {}
    done = 0
    for shard in publication.shards:
        receipt = destination.done(shard.label)
        if receipt is None:
            rows = publication.source.rows.take(pa.array(shard.rows))
            rows, outcome = add_requested_audio(rows, publication)
            receipt = destination.put_shard(
                shard.label,
                files.build_data_files(rows, shard, publication.options),
                partial(_receipt, rows, outcome),
            )
        written[shard.label] = shard, receipt
        done += len(shard.rows)
        if update:
            update(done, publication.source.rows.num_rows)
    return written


def _receipt(
    rows: pa.Table, outcome: audio_column.AudioOutcome, files: dict[str, str], bytes: int
) -> ShardReceipt:
    first = rows.filter(pa.array(is_first_of_clip(rows["clip_id"])))
    seconds = pc.sum(pc.subtract(first["end_s"], first["start_s"])).as_py() or 0.0
    return ShardReceipt(
        files,
        bytes,
        rows.num_rows,
        first.num_rows,
        round(seconds, 3),
        outcome.same,
        outcome.other,
        outcome.excluded,
    )


def _build_metadata_files(
    summary: PublishSummary, written: ShardReceipts, out: pa.Table
) -> dict[str, bytes]:
    """The files beside the data, by path."""
    beside = {CARD: build_card(summary), CROISSANT: build_croissant(summary)}
    if out.num_rows:
        beside["excluded.csv"] = excluded.format_excluded_csv(out)
    if DatasetFormat.WEBDATASET in summary.options.formats:
        # Clips by tar, where open_clip and LAION-CLAP look for them.
        for split in summary.splits:
            sizes = {
                files.webdataset_path(shard).rpartition("/")[2]: receipt.clips
                for shard, receipt in written.values()
                if shard.split == split
            }
            beside[f"webdataset/{split}/sizes.json"] = json.dumps(sizes).encode()
    return beside
