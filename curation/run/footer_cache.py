"""A cache of the footers of a run's evidence, so that few reads cover thousands of shards.

`progress/shards-00064.json` contains the footers of 64 consecutive shards. The driver writes it
once all of these shards are done. Only the listing of evidence/ decides which shards are done. An
entry of the cache is valid only if the evidence file has the recorded size. The folder progress/
can be deleted.
"""

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from curation.run import evidence as run_evidence
from curation.run import layout
from curation.run.layout import RunFolder
from curation.storage.files import Storage
from curation.storage.local import FileInfo
from curation.uris import join_uri

SHARDS_PER_PART = 64
_READERS = 16

Entry = dict[str, Any]


def read_footers(
    run: RunFolder, evidence: Mapping[int, FileInfo]
) -> dict[int, run_evidence.ShardFooter]:
    """Read the footer of each listed evidence file, from progress/ if it is cached there."""
    known = {entry["shard"]: entry for part in _read_parts(run) for entry in part}
    entries = {
        shard: known[shard]
        for shard, file in evidence.items()
        if shard in known and known[shard]["bytes"] == file.size_bytes
    }
    entries |= _read_entries(
        run.storage, {shard: evidence[shard] for shard in evidence.keys() - entries}
    )
    return {
        shard: run_evidence.ShardFooter.parse(entries[shard]["counts"], entries[shard]["work"])
        for shard in evidence
    }


def read_counts(run: RunFolder, shards: int) -> run_evidence.ShardCounts:
    """Count the outcomes of clips in those of a run's first `shards` shards that have evidence."""
    files = run_evidence.list_evidence_files(run)
    footers = read_footers(run, {shard: files[shard] for shard in files if shard < shards})
    return run_evidence.sum_counts([footer.counts for footer in footers.values()])


class FooterCacheWriter:
    """Writes the footers of complete groups of shards to progress/; used by the driver of a run."""

    def __init__(self, run: RunFolder, shards: int, todo: Iterable[int]) -> None:
        """`todo`: the shards that will be written; cached parts with one of them are deleted."""
        self._run = run
        self._shards = shards
        redone = {shard // SHARDS_PER_PART for shard in todo}
        self._written = set()
        for file in run.storage.list_files(layout.progress_uri(run.uri)):
            first = _first_shard(file.uri)
            if first is None:
                continue
            if first // SHARDS_PER_PART in redone:
                run.storage.delete(file.uri)
            else:
                self._written.add(first // SHARDS_PER_PART)

    def write_full_parts(self, evidence: Mapping[int, FileInfo]) -> None:
        """Write the missing groups whose shards are all in `evidence`, a listing of files."""
        for part in range(-(-self._shards // SHARDS_PER_PART)):
            first = part * SHARDS_PER_PART
            shards = range(first, min(first + SHARDS_PER_PART, self._shards))
            if part in self._written or not all(shard in evidence for shard in shards):
                continue
            entries = _read_entries(self._run.storage, {shard: evidence[shard] for shard in shards})
            data = json.dumps([entries[shard] for shard in shards]).encode()
            self._run.storage.put(_part_uri(self._run, first), data)
            self._written.add(part)


def _read_parts(run: RunFolder) -> list[list[Entry]]:
    uris = [file.uri for file in run.storage.list_files(layout.progress_uri(run.uri))]
    with ThreadPoolExecutor(max_workers=_READERS) as pool:
        parts = [uri for uri in uris if _first_shard(uri) is not None]
        return list(pool.map(partial(_read_part, run.storage), parts))


def _read_part(storage: Storage, uri: str) -> list[Entry]:
    try:
        entries: list[Entry] = json.loads(storage.read_bytes(uri))
    except FileNotFoundError:  # taken back since it was listed
        return []
    return entries


def _read_entries(storage: Storage, files: Mapping[int, FileInfo]) -> dict[int, Entry]:
    read = run_evidence.read_footer_metadata(storage, list(files.values()))
    return {
        shard: {"shard": shard, "bytes": file.size_bytes, "counts": counts, "work": work}
        for (shard, file), (counts, work) in zip(files.items(), read, strict=True)
    }


def _part_uri(run: RunFolder, first: int) -> str:
    return join_uri(layout.progress_uri(run.uri), f"shards-{first:05d}.json")


def _first_shard(uri: str) -> int | None:
    name = uri.rpartition("/")[2]
    digits = name.removeprefix("shards-").removesuffix(".json")
    return int(digits) if digits.isdigit() and name == f"shards-{digits}.json" else None
