"""WebDataset tars: each sample an audio file and a JSON of one name, read by their byte range."""

import json
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa

from curation.catalog.clip_bytes import tar_member_uri
from curation.catalog.listing import (
    CatalogCoverage,
    CatalogListing,
    TagColumnBuilder,
    build_clip_table,
    check_unique_ids,
    file_extension,
    is_audio_file,
    list_data_files,
)
from curation.config.catalog import WebDatasetConfig
from curation.errors import InputError
from curation.storage.files import Storage

# Listing a tar waits for its storage most of the time.
_THREADS = 8
# Members are about as large as what is skipped between two headers: few large requests cost less.
_BUFFER_BYTES = 8 * 2**20
# A sample's JSON holds some names; a sparse member may claim any size at no cost.
_MAX_JSON_BYTES = 2**24


def list_webdataset_clips(storage: Storage, config: WebDatasetConfig) -> CatalogListing:
    """One clip a sample; a sample that has a JSON and no audio is listed as missing.

    Only the tars' headers and the JSON members are used, and nothing is unpacked. Raises
    InputError for a tar that cannot be read by ranges, JSON that cannot be read, a class that
    AudioSet does not have, or an id given twice.
    """
    tars = list_data_files(storage, config.data, ".tar")
    samples: list[_Sample] = []
    with ThreadPoolExecutor(_THREADS) as threads:
        for listed in threads.map(partial(_read_tar, storage), tars):
            samples.extend(listed)
    tags = TagColumnBuilder()
    ids = []
    for sample in samples:
        try:
            tags.append(_labels(sample.facts, config.tags))
            ids.append(_clip_id(sample, config.id))
        except InputError as error:
            raise InputError(f"{sample.place}: {error}") from error
    empty = pa.nulls(len(samples), pa.float64())
    clips = build_clip_table(ids, [sample.uri for sample in samples], empty, empty, tags.finish())
    check_unique_ids(clips["clip_id"], lambda row: samples[row].place)
    return CatalogListing(
        clips, CatalogCoverage(len(samples), len(samples) - clips["uri"].null_count)
    )


@dataclass
class _Sample:
    key: str
    place: str
    uri: str | None
    facts: dict[str, Any]


def _read_tar(storage: Storage, uri: str) -> list[_Sample]:
    samples: dict[str, _Sample] = {}
    for member, content in _members(storage, uri):
        folder, slash, name = member.name.rpartition("/")
        key = folder + slash + name.partition(".")[0]
        place = f"{key} in {uri}"
        sample = samples.setdefault(key, _Sample(key, place, None, {}))
        if content is not None:
            sample.facts = _facts(f"{member.name} in {uri}", content)
        elif sample.uri is not None:
            raise InputError(f"{place}: two audio files; expected one a sample")
        else:
            sample.uri = tar_member_uri(uri, member.offset_data, member.size, member.name)
    return list(samples.values())


def _members(storage: Storage, uri: str) -> Iterator[tuple[tarfile.TarInfo, bytes | None]]:
    """The audio members of a tar, and its JSON members with their content."""
    with storage.open_input(uri, _BUFFER_BYTES) as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for member in tar:
                    if not member.isreg() or member.issparse():
                        continue
                    if file_extension(member.name) == "json":
                        _check_json(uri, member)
                        content = tar.extractfile(member)
                        yield member, content.read() if content else b""
                    elif is_audio_file(member.name):
                        yield member, None
        except tarfile.TarError as error:
            raise InputError(
                f"{uri}: not a whole, uncompressed tar ({error}); a compressed one must be "
                "unpacked with gunzip, a truncated one fetched again"
            ) from error


def _check_json(uri: str, member: tarfile.TarInfo) -> None:
    if member.size > _MAX_JSON_BYTES:
        raise InputError(
            f"{member.name} in {uri}: {member.size} bytes of JSON; expected at most "
            f"{_MAX_JSON_BYTES}"
        )


def _facts(place: str, content: bytes) -> dict[str, Any]:
    try:
        facts = json.loads(content)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{place}: not JSON in UTF-8: {error}") from error
    if not isinstance(facts, dict):
        raise InputError(f"{place}: found {type(facts).__name__}; expected an object")
    return facts


def _labels(facts: dict[str, Any], key: str | None) -> list[str]:
    value = None if key is None else facts.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(label, str) for label in value):
        raise InputError(f"found {value!r} as {key!r}; expected a list of class ids or names")
    return value


def _clip_id(sample: _Sample, key: str | None) -> str:
    if key is None:
        return sample.key
    value = sample.facts.get(key)
    if not isinstance(value, (str, int)) or value == "":
        raise InputError(f"found {value!r} as {key!r}; expected the clip's id")
    return str(value)
