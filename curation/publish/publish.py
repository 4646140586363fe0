"""A publication from beginning to end: what would be written, shard after shard, and the card.

Only Arrow columns of captions are held whole; audio, and rows as Python objects, a shard at a time.
"""

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.errors import InputError
from curation.publish import files, sounds
from curation.publish.card import card
from curation.publish.changelog import CHANGELOG, changelog, pair_hashes, read_previous
from curation.publish.croissant import croissant
from curation.publish.destination import Destination, Receipt
from curation.publish.licences import Licences
from curation.publish.options import Format, Options
from curation.publish.source import Source
from curation.publish.splits import Shard, first_of_clip, shards
from curation.publish.summary import Summary, summarise

FORMAT = 1
# So many rows are made into files to tell how large all will be.
_MEASURED_ROWS = 64

Update = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Publication:
    """A source made ready: the rows that may go out, cut into shards, and clips that may not."""

    source: Source
    options: Options
    shards: list[Shard]
    left_out: dict[str, str]

    @property
    def claim(self) -> dict[str, Any]:
        """What decides every byte of the dataset."""
        return {
            "format": FORMAT,
            "origin": self.source.origin,
            "options": self.options.as_json(),
            "rows": _digest(self.source.rows),
        }


@dataclass(frozen=True)
class Outlook:
    """What a publication would write, by a sample of its rows."""

    files: dict[str, int]  # by format, beside the card and its kin
    size_bytes: dict[str, int]
    left_out: dict[str, int]  # clips by reason


@dataclass(frozen=True)
class Published:
    """What stands at the destination. `summary` is None where all of it stood there before."""

    uri: str
    files: int
    summary: Summary | None
    left_out: dict[str, str]
    same: int = 0  # clips whose audio file has the bytes that were annotated
    other: int = 0


def prepare(source: Source, options: Options, licences: Licences | None) -> Publication:
    """Decide what goes out, and in which files.

    Raises InputError where audio is asked for and no licences are told, or none allows it.
    """
    left_out: dict[str, str] = {}
    if options.audio and source.exact:
        if licences is None:
            raise InputError(
                "audio goes out only where its licence allows it, and none is told: name a CSV "
                "by --licences, or a column of the catalog's metadata by --licence-column; "
                "AudioSet's own audio is not yours to pass on"
            )
        source, left_out = _allowed(source, licences)
    if not source.rows.num_rows:
        reasons = ", ".join(f"{n} clips: {why}" for why, n in Counter(left_out.values()).items())
        raise InputError(f"nothing to publish ({reasons or 'the table has no pairs'})")
    cut = shards(source.rows, options.validation, options.test, options.audio)
    return Publication(source, options, cut, left_out)


def outlook(publication: Publication) -> Outlook:
    """Measure a few rows, spread over all; reads the audio of those alone."""
    options, rows = publication.options, publication.source.rows
    places = np.linspace(0, rows.num_rows - 1, min(_MEASURED_ROWS, rows.num_rows)).astype(int)
    few = rows.take(pa.array(places))
    clips = int(first_of_clip(rows["clip_id"]).sum())
    made, _ = _made(few, publication)
    shard = Shard("train", 0, 1, places)
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for path, data in files.data_files(made, shard, options):
        name = path.partition("/")[0]
        sizes[name] += len(data) * rows.num_rows // max(1, made.num_rows)
        counts[name] = len(publication.shards) * (2 + options.audio if name == "jsonl" else 1)
    if options.audio and "jsonl" in counts:
        counts["jsonl"] += clips
    reasons = dict(sorted(Counter(publication.left_out.values()).items()))
    return Outlook(dict(counts), dict(sizes), reasons)


def publish(
    publication: Publication, uri: str, previous: str | None = None, update: Update | None = None
) -> Published:
    """Write a dataset; run again, it goes on where it stopped, and changes nothing that is done.

    Args:
        uri: a folder, `s3://` or `hf://datasets/org/name`.
        previous: an earlier publication, with which the changelog compares this one.
        update: called with rows done and rows in all.

    Raises InputError where something else is there, naming it; nothing is overwritten.
    """
    earlier = read_previous(previous) if previous else None
    claim = {**publication.claim, "previous": earlier.origin if earlier else None}
    destination = Destination(uri, claim)
    if destination.finished:
        count = destination.check()
        return Published(destination.uri, count, None, publication.left_out)
    written = _write_shards(publication, destination, update)
    receipts = [receipt for _, receipt in written.values()]
    left_out = publication.left_out | {
        clip_id: why for receipt in receipts for clip_id, why in receipt.left_out.items()
    }
    source, options = publication.source, publication.options
    summary = summarise(source.rows, options, source.origin, written, left_out)
    kept = source.rows.filter(pc.invert(_among(source.rows["clip_id"], left_out)))
    log = changelog(summary, pair_hashes([kept]), earlier)
    sums = {path: digest for receipt in receipts for path, digest in receipt.files.items()}
    for path, data in _beside(summary, written, left_out, log).items():
        sums[path] = destination.put(path, data)
    destination.finish(sums)
    return Published(
        destination.uri,
        len(sums) + 1,
        summary,
        left_out,
        sum(receipt.same for receipt in receipts),
        sum(receipt.other for receipt in receipts),
    )


def _write_shards(
    publication: Publication, destination: Destination, update: Update | None
) -> dict[str, tuple[Shard, Receipt]]:
    written, done = {}, 0
    for shard in publication.shards:
        receipt = destination.done(shard.label)
        if receipt is None:
            rows = publication.source.rows.take(pa.array(shard.rows))
            made, heard = _made(rows, publication)
            receipt = destination.put_shard(
                shard.label,
                files.data_files(made, shard, publication.options),
                partial(_receipt, made, heard),
            )
        written[shard.label] = shard, receipt
        done += len(shard.rows)
        if update:
            update(done, publication.source.rows.num_rows)
    return written


def _made(rows: pa.Table, publication: Publication) -> tuple[pa.Table, sounds.Heard]:
    if not publication.options.audio:
        return rows, sounds.Heard()
    rate_hz = publication.options.sample_rate_hz
    return sounds.add_audio(rows, rate_hz, publication.source.exact)


def _receipt(rows: pa.Table, heard: sounds.Heard, files: dict[str, str], bytes: int) -> Receipt:
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


def _beside(
    summary: Summary,
    written: dict[str, tuple[Shard, Receipt]],
    left_out: dict[str, str],
    log: bytes,
) -> dict[str, bytes]:
    """The files beside the data, by path."""
    beside = {"README.md": card(summary), "croissant.json": croissant(summary), CHANGELOG: log}
    if left_out:
        beside["left_out.csv"] = _left_out_csv(left_out)
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


def _left_out_csv(left_out: dict[str, str]) -> bytes:
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["clip_id", "reason"])
    lines.writerows(sorted(left_out.items()))
    return text.getvalue().encode()


def _allowed(source: Source, licences: Licences) -> tuple[Source, dict[str, str]]:
    """The source's rows whose audio may be passed on, with `licence`, and the other clips."""
    ids, refused = licences.column(source.rows)
    rows = source.rows.append_column("licence", ids)
    stays = rows.append_column("why", refused).filter(refused.is_valid())
    left_out = dict(zip(stays["clip_id"].to_pylist(), stays["why"].to_pylist(), strict=True))
    return Source(rows.filter(refused.is_null()), source.origin, source.exact), left_out


def _among(clip_ids: pa.ChunkedArray, clips: dict[str, str]) -> pa.ChunkedArray:
    return pc.is_in(clip_ids, pa.array(list(clips), pa.string()))


def _digest(rows: pa.Table) -> str:
    """SHA-256 of rows, whatever chunks they are in."""
    sha = hashlib.sha256(rows.schema.remove_metadata().to_string().encode())
    for start in range(0, rows.num_rows, 65536):
        buffer = io.BytesIO()
        part = rows.slice(start, 65536).combine_chunks().replace_schema_metadata(None)
        with pa.ipc.new_stream(buffer, part.schema) as stream:
            stream.write_table(part)
        sha.update(buffer.getvalue())
    return sha.hexdigest()
