"""Writes the data files of one shard as Parquet, WebDataset tars or JSONL manifests.

The bytes depend only on the rows, so the same publication gives the same files.
"""

import io
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from curation.publish.columns import CAPTION_COLUMNS, add_features_metadata, select_public_columns
from curation.publish.options import DatasetFormat, PublishOptions
from curation.publish.splits import DatasetShard
from curation.publish.text import to_file_key

File = tuple[str, bytes]
Row = dict[str, Any]
# With audio a row group is what a reader of one row must fetch.
_GROUP_ROWS = {True: 100, False: 20_000}
SPLIT_PATTERNS: dict[DatasetFormat, str] = {
    DatasetFormat.PARQUET: "data/{split}-*.parquet",
    DatasetFormat.WEBDATASET: "webdataset/{split}/*.tar",
    DatasetFormat.JSONL: "jsonl/nemo-{split}-*.jsonl",
}


def build_data_files(
    rows: pa.Table, shard: DatasetShard, options: PublishOptions
) -> Iterator[File]:
    """Build the files of a shard from its rows with audio.

    Yields the path within the dataset, and the content, of each file.
    """
    for name in options.formats:
        yield from _WRITERS[name](select_public_columns(rows), shard, options)


def webdataset_path(shard: DatasetShard) -> str:
    return f"webdataset/{shard.split}/{shard.index:05d}.tar"


def _parquet(rows: pa.Table, shard: DatasetShard, options: PublishOptions) -> Iterator[File]:
    buffer = io.BytesIO()
    pq.write_table(
        add_features_metadata(rows, options.sample_rate_hz),
        buffer,
        compression="zstd",
        row_group_size=_GROUP_ROWS[options.audio],
    )
    yield f"data/{shard.label}.parquet", buffer.getvalue()


def _webdataset(rows: pa.Table, shard: DatasetShard, options: PublishOptions) -> Iterator[File]:
    """One sample per clip: <key>.flac, <key>.txt with its best caption, <key>.json with all.

    The JSON has what LAION-CLAP reads, `text` (all captions, best first) and `tag`, beside all that
    is known: of the captions in lists of that order, of the clip once.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for clip_id, captions in group_by_clip(rows):
            best, key = captions[0], to_file_key(clip_id)
            facts = {
                name: [row[name] for row in captions] if name in CAPTION_COLUMNS else best[name]
                for name in rows.column_names
                if name not in ("caption", "rank", "audio")
            }
            facts["text"] = [row["caption"] for row in captions]
            facts["tag"] = [tag["name"] for tag in best["tags"]]
            _add(tar, f"{key}.flac", best["audio"]["bytes"])
            _add(tar, f"{key}.txt", best["caption"].encode())
            _add(tar, f"{key}.json", json.dumps(facts, sort_keys=True).encode())
    yield webdataset_path(shard), buffer.getvalue()


def _jsonl(rows: pa.Table, shard: DatasetShard, options: PublishOptions) -> Iterator[File]:
    """Manifests of NeMo and lhotse; with audio, the recordings that they speak of.

    Paths are relative to the manifests; without audio they are those of the source's folder.
    """
    nemo: list[Row] = []
    supervisions: list[Row] = []
    recordings: list[Row] = []
    for clip_id, captions in group_by_clip(rows):
        path, start_s = captions[0]["file"], captions[0]["start_s"]
        duration_s = captions[0]["end_s"] - start_s
        if options.audio:
            data = captions[0]["audio"]["bytes"]
            path, start_s = f"audio/{shard.split}/{to_file_key(clip_id)}.flac", 0.0
            recording = _recording(clip_id, path, data)
            duration_s = recording["duration"]
            recordings.append(recording)
            yield f"jsonl/{path}", data
        for row in captions:
            nemo.append(_nemo(row, path, start_s, duration_s))
            supervisions.append(_supervision(row, start_s, duration_s, options.language))
    yield f"jsonl/nemo-{shard.label}.jsonl", _lines(nemo)
    yield f"jsonl/lhotse-supervisions-{shard.label}.jsonl", _lines(supervisions)
    if options.audio:
        yield f"jsonl/lhotse-recordings-{shard.label}.jsonl", _lines(recordings)


_WRITERS: dict[
    DatasetFormat, Callable[[pa.Table, DatasetShard, PublishOptions], Iterator[File]]
] = {
    DatasetFormat.PARQUET: _parquet,
    DatasetFormat.WEBDATASET: _webdataset,
    DatasetFormat.JSONL: _jsonl,
}


def group_by_clip(rows: pa.Table) -> Iterator[tuple[str, list[Row]]]:
    """Group rows by clip. Only one batch of rows at a time is converted to Python objects."""
    each = (row for batch in rows.to_batches(max_chunksize=1024) for row in batch.to_pylist())
    for clip_id, captions in groupby(each, key=lambda row: str(row["clip_id"])):
        yield clip_id, list(captions)


def _recording(clip_id: str, path: str, flac: bytes) -> Row:
    found = soundfile.info(io.BytesIO(flac))
    return {
        "id": clip_id,
        "sources": [{"type": "file", "channels": [0], "source": path}],
        "sampling_rate": found.samplerate,
        "num_samples": found.frames,
        "duration": found.frames / found.samplerate,
        "channel_ids": [0],
    }


def _nemo(row: Row, path: str, start_s: float, duration_s: float) -> Row:
    return {
        "audio_filepath": path,
        "offset": start_s,
        "duration": duration_s,
        "text": row["caption"],
        "clip_id": row["clip_id"],
        "clap_score": row["clap_score"],
    }


def _supervision(row: Row, start_s: float, duration_s: float, language: str) -> Row:
    return {
        "id": f"{row['clip_id']}-{row['rank']}",
        "recording_id": row["clip_id"],
        "start": start_s,
        "duration": duration_s,
        "channel": 0,
        "text": row["caption"],
        "language": language,
        "custom": {
            "clap_score": row["clap_score"],
            "tags": row["tags"],
        },
    }


def _lines(rows: Iterable[Row]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))
