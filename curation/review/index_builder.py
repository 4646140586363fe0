"""Builds the index of a run in the user's cache folder, once for each state of its evidence.

While the index is built, memory grows with the run: about 350 bytes per candidate (0.7 GB for two
million), plus the texts of a few shards. Texts are written to disk as they are read.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.config.policy import Policy
from curation.console import ProgressCallback
from curation.errors import InputError
from curation.review import index, sampling
from curation.review.index import MIN_SECOND_SCORE, SCORES, IndexMetadata, ReviewIndex
from curation.review.postings import PostingsBuilder, split_words
from curation.run import evidence as run_evidence
from curation.run.error_kinds import error_kinds
from curation.run.layout import RunFolder
from curation.run.record import RunRecord, require_run_record
from curation.select import policy as select_policy
from curation.select.tag_groups import group_by_rarest_number
from curation.storage.local import FileInfo
from curation.uris import absolute_uri

# Part of an index's name: a change of the layout makes those of before useless.
_LAYOUT = 2
_EVIDENCE = ["clip_id", "tags", "candidates", "outcome", "error"]
# Of a candidate, and the columns that hold them.
_SCORE_FIELDS = {
    "clap_score": "score_clap",
    "log_prob": "score_log_prob",
    "second_score": "second_score",
}
_NO_CANDIDATES = "no candidates"
_UNFINISHED_PREFIX = "unfinished-"
_A_DAY_S = 24 * 3600


def open_index(run: RunFolder, on_shard: ProgressCallback) -> ReviewIndex:
    """Open the index of a run's present evidence; build it if the cache does not have it.

    Raises:
        InputError: there is no run, no evidence yet, or evidence without usable scores.
    """
    record = require_run_record(run)
    files = run_evidence.list_evidence_files(run)
    if not files:
        raise InputError(f"{run.uri}: no evidence to review yet; tagscribe annotate writes it")
    sample_design = _sample_design(record, files)
    of_run = hashlib.sha256(absolute_uri(run.uri).encode()).hexdigest()[:16]
    home = index_cache_folder() / of_run
    folder = home / f"{sample_design}-{_LAYOUT}"
    if not folder.exists():
        home.mkdir(parents=True, exist_ok=True)
        _build_index(run, list(files), sample_design, folder, on_shard)
        _remove_outdated(home, folder)
    return index.load_index(folder)


def index_cache_folder() -> Path:
    """Return the folder of the indexes: `tagscribe/review` in the cache folder (XDG_CACHE_HOME)."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home) / "tagscribe" / "review"


def _remove_outdated(home: Path, folder: Path) -> None:
    """Remove the indexes of older states of the evidence, and what broken off makings left."""
    for other in home.iterdir():
        unfinished = (
            other.name.startswith(_UNFINISHED_PREFIX)
            and time.time() - other.stat().st_mtime < _A_DAY_S
        )
        if other != folder and not unfinished:
            shutil.rmtree(other, ignore_errors=True)


def _sample_design(record: RunRecord, files: dict[int, FileInfo]) -> str:
    """The name of the sample drawn of this evidence, which does not depend on its location."""
    sizes = [[shard, file.size_bytes] for shard, file in files.items()]
    listing = json.dumps([record.config_hash, record.plan_hash, sizes])
    return hashlib.sha256(listing.encode()).hexdigest()[:16]


def _build_index(
    run: RunFolder, shards: list[int], sample_design: str, folder: Path, on_shard: ProgressCallback
) -> None:
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=_UNFINISHED_PREFIX))
    try:
        columns_read = _IndexColumns(aside)
        on_shard(0, len(shards))
        evidence = run_evidence.read_evidence_shards(run, shards, _EVIDENCE)
        for done, (shard, rows) in enumerate(zip(shards, evidence, strict=True), start=1):
            columns_read.add(shard, rows)
            on_shard(done, len(shards))
        columns, errors, tag_names = columns_read.finish(aside)
        scored, unusable = _score_columns(columns)
        index.save_index(
            aside,
            IndexMetadata(
                run=absolute_uri(run.uri),
                sample_design=sample_design,
                shards=len(shards),
                entries=len(columns["clip"]),
                clips=len(columns["shard"]),
                errors=errors,
                tag_names=tag_names,
                unusable=unusable,
            ),
            columns | scored,
        )
        aside.rename(folder)
    except OSError:
        if not folder.exists():  # else another process made it meanwhile
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


class _IndexColumns:
    """The columns of an index, shard by shard; texts go to files at once."""

    def __init__(self, folder: Path) -> None:
        self._captions = _text_file(folder / "captions.arrow")
        self._clip_ids = _text_file(folder / "clip_ids.arrow")
        self._words, self._tags = PostingsBuilder(), PostingsBuilder()
        self._parts: dict[str, list[np.ndarray]] = {}
        self._clips = 0
        self._kinds: dict[str, int] = {}
        self._tag_names: dict[str, str] = {}

    def add(self, shard: int, evidence: pa.Table) -> None:
        evidence = evidence.combine_chunks()
        candidates = evidence["candidates"].combine_chunks()
        lengths = candidates.value_lengths().to_numpy()
        entries = np.maximum(lengths, 1)
        clip = np.repeat(np.arange(len(lengths)), entries)
        candidate = np.arange(len(clip)) - np.repeat(np.cumsum(entries) - entries, entries)
        captioned = np.repeat(lengths > 0, entries)
        self._append(clip=self._clips + clip, candidate=np.where(captioned, candidate, -1))
        self._append(shard=np.full(len(lengths), shard), row=np.arange(len(lengths)))
        self._append(entries=entries, error=self._errors(evidence, lengths))
        flat = candidates.flatten()
        places = pa.array(np.where(captioned, np.cumsum(captioned) - 1, 0), mask=~captioned)
        spread = flat.take(places)
        for name in _SCORE_FIELDS:
            scores = pc.struct_field(spread, name).cast(pa.float64()).fill_null(np.nan)
            self._append(**{name: scores.to_numpy()})
        captions = pc.struct_field(spread, "caption").fill_null("")
        self._captions.write(pa.record_batch([captions], ["text"]))
        self._clip_ids.write(pa.record_batch([evidence["clip_id"].combine_chunks()], ["text"]))
        self._words.add(split_words(captions))
        self._add_tags(evidence["tags"].combine_chunks())
        self._clips += len(lengths)

    def finish(self, folder: Path) -> tuple[dict[str, np.ndarray], list[str], list[str]]:
        """Return the columns of the evidence, the kinds of errors, and the names of tags.

        Postings are written into `folder`.
        """
        self._captions.close()
        self._clip_ids.close()
        self._words.postings().save(folder, "words")
        del self._words
        tag_starts, tags = self._tags.by_row()
        tag_clips = self._tags.postings()
        tag_clips.save(folder, "tags")
        parts = {name: np.concatenate(blocks) for name, blocks in self._parts.items()}
        columns = {
            "clip": parts["clip"].astype(np.int32),
            "candidate": parts["candidate"].astype(np.int16),
            "first_entry": np.r_[0, np.cumsum(parts["entries"])].astype(np.int32),
            "shard": parts["shard"].astype(np.int32),
            "row": parts["row"].astype(np.int32),
            "error": parts["error"].astype(np.int16),
            "tag_starts": tag_starts,
            "tags": tags,
            "tag_group": group_by_rarest_number(tag_starts, tags).astype(np.int32),
        }
        columns |= {column: parts[field] for field, column in _SCORE_FIELDS.items()}
        names = [self._tag_names[mid] for mid in tag_clips.terms.to_pylist()]
        return columns, list(self._kinds), names

    def _append(self, **columns: np.ndarray) -> None:
        for name, values in columns.items():
            self._parts.setdefault(name, []).append(values)

    def _errors(self, evidence: pa.Table, lengths: np.ndarray) -> np.ndarray:
        """The number of each clip's kind of error, -1 where it has captions."""
        kinds = error_kinds(evidence)
        numbers = np.full(len(lengths), -1)
        for clip in np.flatnonzero(lengths == 0):
            kind = kinds[clip] or _NO_CANDIDATES
            numbers[clip] = self._kinds.setdefault(kind, len(self._kinds))
        return numbers

    def _add_tags(self, tags: pa.ListArray) -> None:
        flat = tags.flatten()
        mids, names = (pc.struct_field(flat, name) for name in ("mid", "name"))
        self._tags.add(pa.ListArray.from_arrays(_offsets(tags), mids))
        pairs = pa.table({"mid": mids, "name": names}).group_by(["mid", "name"]).aggregate([])
        for pair in pairs.to_pylist():
            self._tag_names.setdefault(pair["mid"], pair["name"])


def _text_file(file: Path) -> pa.ipc.RecordBatchFileWriter:
    return pa.ipc.new_file(str(file), pa.schema([("text", pa.string())]))


def _offsets(lists: pa.ListArray) -> pa.Array:
    """Where each list begins in `lists.flatten()`."""
    return pc.subtract(lists.offsets, lists.offsets[0])


def _score_columns(columns: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The columns of each usable score, and the sample; and why the other scores are not usable.

    Raises InputError if the scores of CLAP are not.
    """
    entries = len(columns["candidate"])
    rows = np.flatnonzero(columns["candidate"] >= 0)
    candidates = select_policy.Candidates(
        clip=columns["clip"][rows],
        clap_score=columns["score_clap"][rows],
        second_score=columns["second_score"][rows],
        log_prob=columns["score_log_prob"][rows],
        clip_tag=columns["tag_group"],
    )
    select_policy.require_scores(candidates, Policy())
    unusable = _unusable_scores(candidates)
    result = {}
    for name in (name for name in SCORES if name not in unusable):
        rank = candidates.rank(name).astype(np.int16)
        result[f"score_{name}"] = _scatter(candidates.score(name), rows, entries, np.nan)
        result[f"rank_{name}"] = _scatter(rank, rows, entries, 0)
        for column, by_tag in (("order", False), ("tag_order", True)):
            order = candidates.order(name, by_tag)
            result[f"{column}_{name}"] = rows[order].astype(np.int32)
    stratum = sampling.assign_stratum(columns["score_clap"], result["rank_clap"])
    return {**result, "stratum": stratum, "drawn": sampling.sampling_order(stratum)}, unusable


def _unusable_scores(candidates: select_policy.Candidates) -> dict[str, str]:
    """Why policies cannot use a score, as `select` says it, by the score's name."""
    policies: dict[str, Policy] = {name: Policy(score=name) for name in SCORES}
    policies[MIN_SECOND_SCORE] = Policy(min_second_score=0.0)
    reasons = {}
    for name, policy in policies.items():
        try:
            select_policy.require_scores(candidates, policy)
        except InputError as error:
            reasons[name] = str(error)
    return reasons


def _scatter(values: np.ndarray, rows: np.ndarray, length: int, elsewhere: float) -> np.ndarray:
    result = np.full(length, elsewhere, values.dtype)
    result[rows] = values
    return result
