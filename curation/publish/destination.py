"""The folder, bucket or hub repository of a dataset. No data file is ever overwritten.

Until the dataset is finished, `publishing.json` contains the claim (all that determines the bytes)
and the receipts of the shards. `dataset.json` contains the same for a finished dataset.
`SHA256SUMS` is written last.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from curation.errors import InputError
from curation.publish.options import DESCRIPTIVE_OPTIONS
from curation.storage.files import Storage
from curation.uris import absolute_uri, join_uri

# Of `dataset.json` and of the files it lists: see docs/formats.md.
PUBLISHED_FORMAT = 2
CHECKSUMS_FILE = "SHA256SUMS"
FACTS_FILE = "dataset.json"
_PROGRESS_FILE = "publishing.json"


@dataclass(frozen=True)
class ShardReceipt:
    """The files of a published shard: the SHA-256 of each path, and counts of their content.

    `seconds` is the total duration of the clips' segments. `same` counts clips whose audio file has
    the annotated bytes, and `other` counts the other clips. `excluded` gives a reason for each clip
    without usable audio.
    """

    files: dict[str, str]
    bytes: int
    rows: int
    clips: int
    seconds: float
    same: int = 0
    other: int = 0
    excluded: dict[str, str] = field(default_factory=dict)


class PublishDestination:
    """A folder, bucket or hub repository that takes one dataset.

    `claim` is everything that determines the dataset's bytes. A folder that already has another
    claim is refused.
    """

    def __init__(
        self,
        storage: Storage,
        uri: str,
        claim: dict[str, Any],
        overwrite_metadata: bool = False,
    ) -> None:
        """Open the destination; with `overwrite_metadata`, a finished dataset of the same data.

        The claim may then differ from that of the dataset in options that only describe it, and
        need not name the previous publication.

        Raises InputError if the destination has another claim, or, with `overwrite_metadata`, if it
        has no finished dataset.
        """
        self._storage = storage
        self.uri = absolute_uri(uri).rstrip("/")
        self.claim = json.loads(json.dumps(claim))
        self.finished = self._storage.exists(self._at(CHECKSUMS_FILE))
        if overwrite_metadata and not self.finished:
            raise InputError(
                f"{uri}: there is no finished dataset whose metadata could be overwritten; publish "
                "without --overwrite-metadata first"
            )
        found = self._json(FACTS_FILE if self.finished else _PROGRESS_FILE)
        if found is not None:
            if overwrite_metadata:
                self.claim["previous"] = self.claim["previous"] or found["claim"].get("previous")
            allowed = DESCRIPTIVE_OPTIONS if overwrite_metadata else frozenset()
            self._check_claim(found["claim"], {f"options.{name}" for name in allowed})
        self._receipts = (found or {}).get("shards", {})

    def done(self, label: str) -> ShardReceipt | None:
        """Return the receipt of a shard if all files of the shard exist unchanged, else None.

        Raises InputError if one of the files exists with other content.
        """
        if label not in self._receipts:
            return None
        receipt = self.get_receipt(label)
        return receipt if all([self._holds(*file) for file in receipt.files.items()]) else None

    def get_receipt(self, label: str) -> ShardReceipt:
        """Return the receipt of a shard that was written, without a look at its files."""
        return ShardReceipt(**self._receipts[label])

    def put_shard(
        self, label: str, files: Iterable[tuple[str, bytes]], receipt: Callable[..., ShardReceipt]
    ) -> ShardReceipt:
        """Write the files of a shard, and then record the shard's receipt."""
        sums, size = {}, 0
        for path, data in files:
            sums[path] = self.put(path, data)
            size += len(data)
        self._receipts[label] = asdict(receipt(files=sums, bytes=size))
        self._storage.put(self._at(_PROGRESS_FILE), self._facts())
        return self.get_receipt(label)

    def put(self, path: str, data: bytes) -> str:
        """Create a file, and return its SHA-256.

        An existing file with the same bytes is accepted. Raises InputError if the file exists with
        other content.
        """
        if not self._storage.put_new(self._at(path), data):
            raise _conflict_error(self._at(path))
        return hashlib.sha256(data).hexdigest()

    def finish(self, sums: dict[str, str]) -> None:
        """Write `dataset.json`, and then the checksums as the last file."""
        sums = {**sums, FACTS_FILE: self.put(FACTS_FILE, self._facts())}
        self.put(CHECKSUMS_FILE, _format_checksums(sums))
        if self._storage.exists(self._at(_PROGRESS_FILE)):
            self._storage.delete(self._at(_PROGRESS_FILE))

    def replace(self, files: Mapping[str, bytes]) -> None:
        """Overwrite files of a finished dataset and `dataset.json`, and then the checksums.

        If a call was interrupted, repeat it. Until a call has ended, `SHA256SUMS` contains the old
        checksums.
        """
        sums = self._checksums()
        for path, data in {**files, FACTS_FILE: self._facts()}.items():
            self._storage.put(self._at(path), data)
            sums[path] = hashlib.sha256(data).hexdigest()
        self._storage.put(self._at(CHECKSUMS_FILE), _format_checksums(sums))

    def check(self, except_for: Collection[str] = ()) -> int:
        """Check that a finished dataset's files are unchanged, and return the number of files.

        Files in `except_for` are not checked. Raises InputError naming a file that is missing or
        has other content.
        """
        sums = self._checksums()
        for path, digest in sums.items():
            if path not in except_for and not self._holds(path, digest):
                raise InputError(
                    f"{self._at(path)}: gone, though {CHECKSUMS_FILE} names it; delete "
                    f"{CHECKSUMS_FILE} and {FACTS_FILE}, and publish again: what is there is kept"
                )
        return len(sums)

    def _checksums(self) -> dict[str, str]:
        """SHA-256 of the files of a finished dataset by path."""
        lines = self._storage.read_bytes(self._at(CHECKSUMS_FILE)).decode().splitlines()
        return {path: digest for digest, _, path in (line.partition("  ") for line in lines)}

    def _facts(self) -> bytes:
        facts = {"claim": self.claim, "shards": dict(sorted(self._receipts.items()))}
        return json.dumps(facts, indent=1, sort_keys=True).encode() + b"\n"

    def _check_claim(self, found: dict[str, Any], allowed: Collection[str]) -> None:
        differing = [key for key in _find_differences(self.claim, found) if key not in allowed]
        if differing:
            facts = self._at(FACTS_FILE if self.finished else _PROGRESS_FILE)
            raise InputError(
                f"{facts}: this is another publication (differing: {', '.join(differing)}), and "
                "nothing of it is overwritten; publish to another folder, and name this one by "
                "--previous for the changelog"
            )

    def _holds(self, path: str, digest: str) -> bool:
        try:
            data = self._storage.read_bytes(self._at(path))
        except FileNotFoundError:
            return False
        if hashlib.sha256(data).hexdigest() != digest:
            raise _conflict_error(self._at(path))
        return True

    def _json(self, path: str) -> dict[str, Any] | None:
        if not self._storage.exists(self._at(path)):
            return None
        found: dict[str, Any] = json.loads(self._storage.read_bytes(self._at(path)))
        return found

    def _at(self, path: str) -> str:
        return join_uri(self.uri, path)


def _find_differences(claim: dict[str, Any], found: dict[str, Any]) -> Iterator[str]:
    """The keys of a claim whose values differ from those of another claim; options by name."""
    for key, value in claim.items():
        other = found.get(key)
        if isinstance(value, dict) and isinstance(other, dict):
            yield from (f"{key}.{name}" for name in value if other.get(name) != value[name])
        elif other != value:
            yield key


def _format_checksums(sums: Mapping[str, str]) -> bytes:
    return "".join(f"{digest}  {path}\n" for path, digest in sorted(sums.items())).encode()


def _conflict_error(uri: str) -> InputError:
    return InputError(
        f"{uri}: already there with other content, and nothing is overwritten; delete it if it is "
        "of no use, or publish to another folder"
    )
