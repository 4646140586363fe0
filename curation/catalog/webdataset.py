"""Lists WebDataset tars. A sample is an audio file and a JSON with the same name.

The audio is read by byte range.
"""

import json
import tarfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pyarrow as pa

from curation.catalog.audio_files import count_unread, is_audio_file, unread_kind
from curation.catalog.clip_bytes import tar_member_uri
from curation.catalog.labels import parse_labels
from curation.catalog.listing import (
    CatalogCoverage,
    CatalogListing,
    TagColumnBuilder,
    build_clip_table,
    check_unique_ids,
    list_data_files,
)
from curation.catalog.tag_map import build_tag_finder
from curation.config.catalog import WebDatasetConfig
from curation.errors import InputError
from curation.storage.files import Storage
from curation.uris import readable_path

# Listing a tar waits for its storage most of the time.
_THREADS = 8
# Members are about as large as what is skipped between two headers: few large requests cost less.
_BUFFER_BYTES = 8 * 2**20
# A sample's JSON holds some names; a sparse member may claim any size at no cost.
_MAX_JSON_BYTES = 2**24
_SPLIT = "names are split at their first dot, as webdataset does: 22.05.wav is 05.wav of sample 22"


def list_webdataset_clips(storage: Storage, config: WebDatasetConfig) -> CatalogListing:
    """List one clip per sample. A sample with a JSON but without audio is listed as missing.

    Only the headers of the tars and the JSON members are read, and nothing is unpacked. Raises
    InputError for a tar that cannot be read by ranges, invalid JSON, a class that AudioSet does not
    have, or a duplicate id.
    """
    data = list_data_files(storage, config.data, ".tar")
    samples: list[_Sample] = []
    unread = Counter(count_unread([*data.others.others, *data.others.audio]))
    with ThreadPoolExecutor(_THREADS) as threads:
        for listed, passed in threads.map(partial(_read_tar, storage), data.uris):
            samples.extend(listed)
            unread += passed
    tags = TagColumnBuilder(build_tag_finder(storage, config))
    ids = []
    for sample in samples:
        try:
            labels = None if config.tags is None else sample.facts.get(config.tags)
            tags.append(parse_labels(labels, config.tags))
            ids.append(_clip_id(sample, config.id))
        except InputError as error:
            raise InputError(f"{sample.place}: {error}") from error
    empty = pa.nulls(len(samples), pa.float64())
    column = tags.finish(lambda row: samples[row].place)
    clips = build_clip_table(ids, [sample.uri for sample in samples], empty, empty, column)
    check_unique_ids(
        clips["clip_id"],
        lambda row: samples[row].place,
        f"{_SPLIT}; rename the samples, or name a key of ids that are unique (id:)",
    )
    found = len(samples) - clips["uri"].null_count
    coverage = CatalogCoverage(
        len(samples),
        found,
        0,
        dict(unread.most_common()),
        (*data.others.notes(), *tags.notes()),
    )
    return CatalogListing(clips, coverage)


@dataclass
class _Sample:
    key: str
    place: str
    uri: str | None = None
    audio: str | None = None  # names of its members
    json: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def _read_tar(storage: Storage, uri: str) -> tuple[list[_Sample], Counter[str]]:
    """The samples of a tar, and its other members by `unread_kind`."""
    samples: dict[str, _Sample] = {}
    unread: Counter[str] = Counter()
    for member, content in _members(storage, uri, unread):
        name = readable_path(member.name)
        folder, slash, base = name.rpartition("/")
        key = folder + slash + base.partition(".")[0]
        sample = samples.setdefault(key, _Sample(key, f"{key} in {uri}"))
        if content is not None:
            _check_single(sample, "JSON", sample.json, name)
            sample.json = name
            sample.facts = _facts(f"{name} in {uri}", content)
        else:
            _check_single(sample, "audio", sample.audio, name)
            sample.audio = name
            sample.uri = tar_member_uri(uri, member.offset_data, member.size, name)
        _check_same_stem(sample)
    return list(samples.values()), unread


def _check_single(sample: _Sample, kind: str, before: str | None, name: str) -> None:
    """Raises InputError if a sample has such a member already."""
    if before is None:
        return
    cause = "" if before == name else f"; {_SPLIT}"
    raise InputError(
        f"{sample.place}: two {kind} files, {before} and {name}; expected one a sample{cause}"
    )


def _check_same_stem(sample: _Sample) -> None:
    """Raises InputError if audio and JSON share the name up to its first dot, and no more."""
    if sample.audio is None or sample.json is None:
        return
    middles = [
        name.rpartition("/")[2].partition(".")[2].rpartition(".")[0]
        for name in (sample.audio, sample.json)
    ]
    if all(middles) and middles[0] != middles[1]:
        raise InputError(
            f"{sample.place}: {sample.audio} and {sample.json} would be one sample; {_SPLIT}"
        )


def _members(
    storage: Storage, uri: str, unread: Counter[str]
) -> Iterator[tuple[tarfile.TarInfo, bytes | None]]:
    """The audio members of a tar, and its JSON members with their content; others are counted."""
    with storage.open_input(uri, _BUFFER_BYTES) as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for member in tar:
                    if not member.isreg() or member.issparse():
                        if not member.isdir():
                            unread["link or special file"] += 1
                        continue
                    if unread_kind(member.name) == ".json":
                        _check_json(uri, member)
                        content = tar.extractfile(member)
                        yield member, content.read() if content else b""
                    elif is_audio_file(member.name):
                        yield member, None
                    else:
                        unread[unread_kind(member.name)] += 1
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


def _clip_id(sample: _Sample, key: str | None) -> str:
    if key is None:
        return sample.key
    value = sample.facts.get(key)
    if not isinstance(value, (str, int)) or value == "":
        raise InputError(f"found {value!r} as {key!r}; expected the clip's id")
    return readable_path(str(value))
