"""Prepares a publication: chooses rows, cuts them into shards, and estimates the size."""

import hashlib
import io
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from curation.errors import InputError
from curation.publish import audio_column, excluded, files
from curation.publish.destination import PUBLISHED_FORMAT
from curation.publish.licences import Licences
from curation.publish.options import PublishOptions
from curation.publish.source import DatasetSource
from curation.publish.splits import DatasetShard, cut_shards, is_first_of_clip

# So many clips are made into files to tell how large all will be.
_MEASURED_CLIPS = 32


@dataclass(frozen=True, eq=False)
class Publication:
    """A prepared publication: the rows to publish, their shards, and the excluded clips."""

    source: DatasetSource
    options: PublishOptions
    shards: list[DatasetShard]
    excluded: pa.Table

    @property
    def claim(self) -> dict[str, Any]:
        """Everything that determines the bytes of the dataset."""
        return {
            "format": PUBLISHED_FORMAT,
            "origin": self.source.origin,
            "options": self.options.to_dict(),
            "rows": _hash_rows(self.source.rows),
        }


@dataclass(frozen=True)
class SizeEstimate:
    """The maximum size of a publication; bytes are estimated from a sample of its clips."""

    captions: int
    clips: dict[str, int]  # by split
    files: dict[str, int]  # by format, beside the card and its kin
    size_bytes: dict[str, int]


def prepare_publication(
    source: DatasetSource, options: PublishOptions, licences: Licences | None
) -> Publication:
    """Decide which rows are published, and in which files.

    Raises InputError if audio is requested without licences, or if no licence allows it.
    """
    stays = excluded.EXCLUDED_SCHEMA.empty_table()
    if options.audio and source.exact:
        if licences is None:
            raise InputError(
                "audio is published only if its licence allows it, and no licences are given: name "
                "a CSV by --licences, or a column of the catalog's metadata by --licence-column; "
                "AudioSet's own audio may not be redistributed"
            )
        source, stays = _allowed(source, licences)
    if not source.rows.num_rows:
        counts = excluded.count_by_reason(stays).items()
        reasons = ", ".join(f"{clips} clips: {why}" for why, clips in counts)
        raise InputError(f"nothing to publish ({reasons or 'the table has no pairs'})")
    cut = cut_shards(source.rows, options.validation, options.test, options.audio)
    return Publication(source, options, cut, stays)


def estimate_size(publication: Publication) -> SizeEstimate:
    """Estimate the size from a few clips at even distances; only their audio is read."""
    options, rows = publication.options, publication.source.rows
    first = is_first_of_clip(rows["clip_id"])
    split_clips: Counter[str] = Counter()
    for shard in publication.shards:
        split_clips[shard.split] += int(first[shard.rows].sum())
    clips = split_clips.total()
    measured = np.linspace(0, clips - 1, min(_MEASURED_CLIPS, clips)).astype(int)
    places = np.flatnonzero(np.isin(np.cumsum(first) - 1, measured))
    few, _ = add_requested_audio(rows.take(pa.array(places)), publication)
    share = clips / max(1, int(is_first_of_clip(few["clip_id"]).sum()))
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for path, data in files.build_data_files(few, DatasetShard("train", 0, 1, places), options):
        name = path.partition("/")[0]
        sizes[name] += len(data)
        counts[name] = len(publication.shards) * (2 + options.audio if name == "jsonl" else 1)
    if options.audio and "jsonl" in counts:
        counts["jsonl"] += clips
    size_bytes = {name: round(size * share) for name, size in sizes.items()}
    return SizeEstimate(rows.num_rows, dict(split_clips), dict(counts), size_bytes)


def add_requested_audio(
    rows: pa.Table, publication: Publication
) -> tuple[pa.Table, audio_column.AudioOutcome]:
    """Return the rows as they are published, with audio if it is requested."""
    if not publication.options.audio:
        return rows, audio_column.AudioOutcome()
    rate_hz = publication.options.sample_rate_hz
    return audio_column.add_audio_column(
        publication.source.storage, rows, rate_hz, publication.source.exact
    )


def _allowed(source: DatasetSource, licences: Licences) -> tuple[DatasetSource, pa.Table]:
    """The source's rows whose audio may be passed on, with `licence`, and the other clips."""
    ids, refused = licences.column(source.rows)
    rows = source.rows.append_column("licence", ids)
    stays = rows.select(["clip_id"]).append_column("reason", refused).filter(refused.is_valid())
    stays = stays.filter(pa.array(is_first_of_clip(stays["clip_id"]))).cast(
        excluded.EXCLUDED_SCHEMA
    )
    return replace(source, rows=rows.filter(refused.is_null())), stays


def _hash_rows(rows: pa.Table) -> str:
    """SHA-256 of rows, whatever chunks they are in."""
    sha = hashlib.sha256(rows.schema.remove_metadata().to_string().encode())
    for start in range(0, rows.num_rows, 65536):
        buffer = io.BytesIO()
        part = rows.slice(start, 65536).combine_chunks().replace_schema_metadata(None)
        with pa.ipc.new_stream(buffer, part.schema) as stream:
            stream.write_table(part)
        sha.update(buffer.getvalue())
    return sha.hexdigest()
