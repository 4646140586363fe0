"""Finds out the licences of clips, and which of them allow redistribution of the audio."""

import re
from collections.abc import Iterable, Mapping
from itertools import chain, islice
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from curation.catalog import folder
from curation.catalog.csv_file import read_csv
from curation.config.catalog import FolderConfig
from curation.config.run import RunConfig
from curation.errors import InputError
from curation.storage.files import Storage

NO_LICENCE = "no licence is given"
_CC_URL = re.compile(
    r"creativecommons\.org/(?:licenses/([a-z-]+)/(\d\.\d)|publicdomain/(zero|mark))"
)
_CC = re.compile(r"(?:cc-)?(by(?:-nc)?(?:-sa)?(?:-nd)?)(?:-(\d\.\d))?")
_WORDS = {"attribution": "by", "noncommercial": "nc", "sharealike": "sa"}
_WORDS |= {"noderivatives": "nd", "noderivs": "nd"}
_NOISE = {"creative", "commons", "international", "unported", "universal", "licence", "license"}
_FREE = {"0": "cc0-1.0", "cc0": "cc0-1.0", "cc0-1.0": "cc0-1.0", "public-domain": "public-domain"}
_FREE |= {"pddl": "pddl", "unlicense": "unlicense", "mit": "mit"}


class Licence(NamedTuple):
    """A licence by its hub id; if it does not allow publishing the audio, also the reason."""

    id: str
    refused: str | None


def parse_licence(text: str) -> Licence:
    """Parse the id, name or URL of a licence, and decide whether it allows publishing the audio.

    Creative Commons licences allow it, except those that forbid derivatives, because a segment that
    was cut out of a recording and resampled may be a derivative. Unknown licences do not allow it.
    """
    if not text:
        return Licence("", NO_LICENCE)
    if found := _CC_URL.search(text.lower()):
        name = f"cc-{found[1]}-{found[2]}" if found[1] else "cc0-1.0"
    else:
        name = re.sub(r"[^a-z0-9.]+", "-", text.lower().replace("non-commercial", "noncommercial"))
        words = (word for word in name.strip("-").split("-") if word not in _NOISE)
        name = "-".join(_WORDS.get(word, word) for word in words)
    if name in _FREE:
        return Licence(_FREE[name], None)
    if not (found := _CC.fullmatch(name)):
        return Licence(text, f"licence {text!r} is not known to allow it")
    known = "cc-" + "-".join(part for part in found.groups() if part)
    return Licence(known, f"{known} allows no derivatives" if "nd" in known.split("-") else None)


class Licences:
    """The licence of each clip, from a CSV or from the catalog's metadata."""

    def __init__(
        self, by_clip: Iterable[tuple[str, str]] = (), by_source: Mapping[str, str] | None = None
    ) -> None:
        self._by_clip = _columns(by_clip)
        self._rest = (by_source or {}).get("*")
        # The longest source first, so that a folder within another has its own licence.
        named = (item for item in (by_source or {}).items() if item[0] != "*")
        self._by_source = sorted(named, key=lambda item: -len(item[0]))

    def column(self, rows: pa.Table) -> tuple[pa.Array, pa.Array]:
        """Return the licence of each row, and the reason why its audio is excluded.

        The reason is null if the licence allows publishing the audio.
        """
        if self._by_clip.num_rows:
            place = pc.index_in(rows["clip_id"], self._by_clip["clip_id"])
            texts = self._by_clip["licence"].take(place)
        else:
            texts = self._of_sources(rows["file"])
        coded = pc.fill_null(texts, "").combine_chunks().dictionary_encode()
        judged = [parse_licence(text) for text in coded.dictionary.to_pylist()]
        ids = pa.array([licence.id for licence in judged], pa.string())
        refused = pa.array([licence.refused for licence in judged], pa.string())
        return ids.take(coded.indices), refused.take(coded.indices)

    def _of_sources(self, files: pa.ChunkedArray) -> pa.ChunkedArray:
        texts = pa.chunked_array([pa.nulls(len(files), pa.string())])
        for source, licence in self._by_source:
            below = pc.or_(pc.equal(files, source), pc.starts_with(files, source.rstrip("/") + "/"))
            texts = pc.if_else(pc.and_(below, texts.is_null()), licence, texts)
        return pc.fill_null(texts, self._rest) if self._rest else texts


def _columns(pairs: Iterable[tuple[str, str]]) -> pa.Table:
    """Clips and licences as columns; millions of them are never Python objects at once."""
    schema = pa.schema([("clip_id", pa.string()), ("licence", pa.string())])
    remaining = iter(pairs)
    batches = []
    while few := list(islice(remaining, 65536)):
        arrays = [pa.array(column, pa.string()) for column in zip(*few, strict=True)]
        batches.append(pa.record_batch(arrays, schema=schema))
    return pa.Table.from_batches(batches, schema)


def read_licences(storage: Storage, uri: str) -> Licences:
    """Read licences from a CSV with the columns `clip_id` or `source`, and `licence`.

    A source is a folder within the catalog's folder, or `*` for all clips that no other row names.
    Raises InputError if the file is invalid.
    """
    if not storage.exists(uri):
        raise InputError(f"{uri}: no such file, given as licences")
    keys: list[str] = []

    def check_header(place: str, header: list[str]) -> None:
        keys.extend(key for key in ("clip_id", "source") if key in header)
        if "licence" not in header or len(keys) != 1:
            raise InputError(
                f"{place}: found columns {', '.join(header)}; expected licence and either clip_id "
                "or source"
            )

    with storage.open_input(uri) as file:
        rows = (row for _, row in read_csv(uri, file, "source, licence", check_header))
        read = ((row[keys[0]].strip(), row["licence"].strip()) for row in rows)
        licences = ((key, licence) for key, licence in read if key and licence)
        first = list(islice(licences, 1))  # reads the header
        pairs = chain(first, licences)
        return Licences(pairs) if keys == ["clip_id"] else Licences(by_source=dict(pairs))


def read_catalog_licences(storage: Storage, config: RunConfig, column: str) -> Licences:
    """Read licences from a column of the metadata of a run's catalog.

    Raises InputError if the catalog has no metadata, or no such column.
    """
    catalog = config.catalog
    if not isinstance(catalog, FolderConfig) or catalog.metadata is None:
        raise InputError(
            f"the run's catalog ({catalog.kind}) has no metadata to take column {column!r} from; "
            "give licences as a CSV by --licences"
        )
    return Licences(folder.read_metadata_column(storage, catalog, column))
