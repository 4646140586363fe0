"""A publication from beginning to end: shard after shard, then the card and its kin.

Only Arrow columns of captions are held whole; audio, and rows as Python objects, a shard at a time.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from curation.publish import audio_column, excluded, files, hub
from curation.publish.card import card
from curation.publish.changelog import (
    CHANGELOG,
    Previous,
    changelog,
    pair_hashes,
    read_previous,
)
from curation.publish.croissant import croissant
from curation.publish.destination import Destination, Receipt
from curation.publish.options import Format
from curation.publish.publication import Publication, made
from curation.publish.splits import Shard, first_of_clip
from curation.publish.summary import Summary, summarise

Update = Callable[[int, int], None]
Written = dict[str, tuple[Shard, Receipt]]


@dataclass(frozen=True)
class Published:
    """What stands at the destination. `summary` is None where all of it stood there before."""

    uri: str
    files: int
    summary: Summary | None
    left_out: pa.Table
    same: int = 0  # clips whose audio file has the bytes that were annotated
    other: int = 0


def publish(
    publication: Publication, uri: str, previous: str | None = None, update: Update | None = None
) -> Published:
    """Write a dataset; run again, it goes on where it stopped, and changes nothing that is done.

    Args:
        uri: a folder, `s3://` or `hf://org/name`.
        previous: an earlier publication, with which the changelog compares this one.
        update: called with rows done and rows in all.

    Raises InputError where something else is there, naming it; nothing is overwritten.
    """
    with hub.refusals_told(uri):
        return _publish(publication, uri, previous, update)


def _publish(
    publication: Publication, uri: str, previous: str | None, update: Update | None
) -> Published:
    destination, earlier = claimed(publication, uri, previous)
    if destination.finished:
        count = destination.check()
        return Published(destination.uri, count, None, publication.left_out)
    written = _write_shards(publication, destination, update)
    receipts = [receipt for _, receipt in written.values()]
    stays = [publication.left_out, *(excluded.of(receipt.left_out) for receipt in receipts)]
    out = pa.concat_tables(stays)
    rows = excluded.kept(publication.source.rows, out)
    summary = summarise(rows, publication.options, publication.source.origin, written, out)
    sums = {path: digest for receipt in receipts for path, digest in receipt.files.items()}
    log = changelog(summary, pair_hashes([rows]), earlier)
    for path, data in {**_beside(summary, written, out), CHANGELOG: log}.items():
        sums[path] = destination.put(path, data)
    destination.finish(sums)
    return Published(
        destination.uri,
        len(sums) + 1,
        summary,
        out,
        sum(receipt.same for receipt in receipts),
        sum(receipt.other for receipt in receipts),
    )


def claimed(
    publication: Publication, uri: str, previous: str | None
) -> tuple[Destination, Previous | None]:
    """Where it goes, and what was published before; nothing is written yet.

    Raises InputError where another publication is there, or none where the previous should be.
    """
    uri = hub.address(uri)
    hub.need_repository(uri)
    earlier = read_previous(hub.address(previous)) if previous else None
    claim = {**publication.claim, "previous": earlier.origin if earlier else None}
    return Destination(uri, claim), earlier


def _write_shards(
    publication: Publication, destination: Destination, update: Update | None
) -> Written:
    written: Written = {}
    done = 0
    for shard in publication.shards:
        receipt = destination.done(shard.label)
        if receipt is None:
            rows = publication.source.rows.take(pa.array(shard.rows))
            rows, heard = made(rows, publication)
            receipt = destination.put_shard(
                shard.label,
                files.data_files(rows, shard, publication.options),
                partial(_receipt, rows, heard),
            )
        written[shard.label] = shard, receipt
        done += len(shard.rows)
        if update:
            update(done, publication.source.rows.num_rows)
    return written


def _receipt(
    rows: pa.Table, heard: audio_column.Heard, files: dict[str, str], bytes: int
) -> Receipt:
    first = rows.filter(pa.array(first_of_clip(rows["clip_id"])))
    seconds = pc.sum(pc.subtract(first["end_s"], first["start_s"])).as_py() or 0.0
    return Receipt(
        files,
        bytes,
        rows.num_rows,
        first.num_rows,
        round(seconds, 3),
        heard.same,
        heard.other,
        heard.left_out,
    )


def _beside(summary: Summary, written: Written, out: pa.Table) -> dict[str, bytes]:
    """The files beside the data, by path."""
    beside = {"README.md": card(summary), "croissant.json": croissant(summary)}
    if out.num_rows:
        beside["left_out.csv"] = excluded.as_csv(out)
    if Format.WEBDATASET in summary.options.formats:
        # Clips by tar, where open_clip and LAION-CLAP look for them.
        for split in summary.splits:
            sizes = {
                files.tar_path(shard).rpartition("/")[2]: receipt.clips
                for shard, receipt in written.values()
                if shard.split == split
            }
            beside[f"webdataset/{split}/sizes.json"] = json.dumps(sizes).encode()
    return beside
