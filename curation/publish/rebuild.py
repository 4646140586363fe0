"""Adds audio from a folder to a dataset that was published without audio."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from curation.catalog import audioset
from curation.catalog.audio_files import drop_audio_extension, list_audio_folder
from curation.errors import InputError
from curation.publish import hub, published_dataset
from curation.publish.destination import CHECKSUMS_FILE
from curation.publish.options import DatasetFormat, PublishOptions
from curation.publish.source import DatasetSource
from curation.publish.splits import is_first_of_clip
from curation.storage.files import Storage
from curation.uris import join_uri


@dataclass(frozen=True)
class AudioCoverage:
    """Number of a dataset's clips, and number of those that have a file in the audio folder."""

    clips: int
    found: int

    @property
    def message(self) -> str:
        # Rounded down, so that 100 % means all.
        share = self.found * 1000 // max(1, self.clips) / 10
        return f"{self.found:,} of {self.clips:,} clips have a file ({share} %)"


def load_rebuild_source(
    storage: Storage, dataset: str, audio: str, files: Literal["cut", "whole"] = "cut"
) -> tuple[DatasetSource, dict[str, Any], AudioCoverage]:
    """Find the audio of a published dataset's rows in a folder.

    Returns the rows, the options of the dataset, and the number of clips with a file.

    Args:
        files: what a file contains that is named only by its YouTube id: "cut" for the clip,
            "whole" for the whole recording.

    Raises InputError if there is no such dataset or folder, or if no clip has a file in the folder.
    """
    dataset = hub.resolve_hub_uri(dataset)
    claim = published_dataset.read_dataset_facts(storage, dataset)
    rows = pa.concat_tables(
        published_dataset.read_published_rows(storage, dataset)
    ).replace_schema_metadata(None)
    if "audio" in rows.column_names:
        raise InputError(f"{dataset}: it already contains audio; there is nothing to rebuild")
    rows = rows.sort_by([("clip_id", "ascending"), ("rank", "ascending")])
    if claim["origin"]["catalog"] == "audioset":
        rows = _by_segment(storage, rows, audio, files)
    else:
        rows = _by_file(storage, rows, audio)
    found = rows.filter(rows["uri"].is_valid())
    coverage = AudioCoverage(
        *(int(is_first_of_clip(part["clip_id"]).sum()) for part in (rows, found))
    )
    if not found.num_rows:
        raise InputError(
            f"{audio}: no file there belongs to any of the {coverage.clips} clips of {dataset}; "
            f"expected names such as {rows['file'][0].as_py()!r}, nested as in that path"
        )
    sums = storage.read_bytes(join_uri(dataset, CHECKSUMS_FILE))
    origin = {**claim["origin"], "rebuilt_from": hashlib.sha256(sums).hexdigest()}
    return DatasetSource(found, origin, storage, exact=False), claim["options"], coverage


def build_rebuild_options(
    options: dict[str, Any], formats: Sequence[DatasetFormat], sample_rate_hz: int
) -> PublishOptions:
    """Build the options of the rebuilt dataset, with the splits of the original."""
    changed = {"formats": tuple(formats), "audio": True, "sample_rate_hz": sample_rate_hz}
    return PublishOptions(**{**options, **changed})


def _by_segment(
    storage: Storage, rows: pa.Table, audio: str, files: Literal["cut", "whole"]
) -> pa.Table:
    clip_ids = rows["clip_id"].unique()
    uris, begins_s = audioset.find_segment_files(storage, audio, clip_ids.to_pylist(), files)
    place = pc.index_in(rows["clip_id"], clip_ids)
    begins = pa.array(begins_s, pa.float64()).take(place)
    return _located(rows, pa.array(uris, pa.string()).take(place), begins)


def _by_file(storage: Storage, rows: pa.Table, audio: str) -> pa.Table:
    """By the same path within the folder, else by its one file with another audio extension."""
    found = list_audio_folder(storage, audio).audio
    stems = Counter(map(drop_audio_extension, found))
    by_stem = {
        stem: uri for path, uri in found.items() if stems[stem := drop_audio_extension(path)] == 1
    }
    files = rows["file"].unique()
    uris = [
        found.get(file) or by_stem.get(drop_audio_extension(file)) for file in files.to_pylist()
    ]
    place = pc.index_in(rows["file"], files)
    return _located(rows, pa.array(uris, pa.string()).take(place), pa.scalar(0.0))


def _located(rows: pa.Table, uris: pa.Array, begins_s: pa.Array | pa.Scalar) -> pa.Table:
    return (
        rows.append_column("uri", uris)
        .append_column("from_s", pc.add(rows["start_s"], begins_s))
        .append_column("to_s", pc.add(rows["end_s"], begins_s))
    )
