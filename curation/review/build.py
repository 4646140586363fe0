"""Makes the index of a run, once for each state of its evidence, in the user's cache folder.

Memory grows with the run: about 350 bytes a candidate while it is made (0.7 GB for two millions),
beside a few shards' texts, which go to disk as they are read.
"""

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import run, sink, storage
from curation.console import Update
from curation.errors import InputError
from curation.review import drawing, index
from curation.review.index import SCORES, About, Index
from curation.review.postings import Gathering, words
from curation.select import rules
from curation.select.policy import Policy

# Part of the cache's key: a change of the layout makes the indexes of before useless.
_LAYOUT = 1
_EVIDENCE = ["clip_id", "tags", "candidates", "outcome", "error"]
_NO_CANDIDATES = "no candidates"


def opened(run_uri: str, on_shard: Update) -> Index:
    """The index of a run's evidence as it is now; made where the cache does not have it.

    Raises:
        InputError: there is no run, no evidence yet, or evidence that holds no usable scores.
    """
    record = run.need_record(run_uri)
    files = sink.list_evidence(run_uri)
    if not files:
        raise InputError(f"{run_uri}: no evidence to review yet; tagscribe annotate writes it")
    design = _design(record, files)
    of_run = hashlib.sha256(storage.absolute(run_uri).encode()).hexdigest()[:16]
    home = cache_folder() / of_run
    folder = home / design
    if not folder.exists():
        home.mkdir(parents=True, exist_ok=True)
        _make(run_uri, list(files), design, folder, on_shard)
        for old in home.iterdir():
            if old.is_dir() and old != folder:
                shutil.rmtree(old, ignore_errors=True)
    return index.load(folder)


def cache_folder() -> Path:
    """Where the indexes lie: `tagscribe/review` in the user's cache folder (XDG_CACHE_HOME)."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home) / "tagscribe" / "review"


def _design(record: run.RunRecord, files: dict[int, storage.FileInfo]) -> str:
    """The name of the sample drawn of this evidence, which is the same wherever it lies."""
    sizes = [[shard, file.size_bytes] for shard, file in files.items()]
    listing = json.dumps([_LAYOUT, record.config_hash, record.plan_hash, sizes])
    return hashlib.sha256(listing.encode()).hexdigest()[:16]


def _make(run_uri: str, shards: list[int], design: str, folder: Path, on_shard: Update) -> None:
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix="making-"))
    try:
        gathered = _Gathered(aside)
        on_shard(0, len(shards))
        evidence = sink.read_shards(run_uri, shards, _EVIDENCE)
        for done, (shard, rows) in enumerate(zip(shards, evidence, strict=True), start=1):
            gathered.add(shard, rows)
            on_shard(done, len(shards))
        columns, errors, tag_names = gathered.finish(aside)
        index.save(
            aside,
            About(
                run=storage.absolute(run_uri),
                design=design,
                shards=len(shards),
                entries=len(columns["clip"]),
                clips=len(columns["shard"]),
                errors=errors,
                tag_names=tag_names,
            ),
            columns,
        )
        aside.rename(folder)
    except OSError:
        if not folder.exists():  # else another process made it meanwhile
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


class _Gathered:
    """The columns of an index, shard by shard; texts go to files at once."""

    def __init__(self, folder: Path) -> None:
        self._captions = _text_file(folder / "captions.arrow")
        self._clip_ids = _text_file(folder / "clip_ids.arrow")
        self._words, self._tags = Gathering(), Gathering()
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
        for name in ("clap_score", "log_prob", "second_score"):
            scores = pc.struct_field(spread, name).cast(pa.float64()).fill_null(np.nan)
            self._append(**{name: scores.to_numpy()})
        captions = pc.struct_field(spread, "caption").fill_null("")
        self._captions.write(pa.record_batch([captions], ["text"]))
        self._clip_ids.write(pa.record_batch([evidence["clip_id"].combine_chunks()], ["text"]))
        self._words.add(words(captions))
        self._add_tags(evidence["tags"].combine_chunks())
        self._clips += len(lengths)

    def finish(self, folder: Path) -> tuple[dict[str, np.ndarray], list[str], list[str]]:
        """All columns, kinds of errors, names of tags; postings are written into `folder`."""
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
            "second_score": parts["second_score"].astype(np.float32),
            "first_entry": np.r_[0, np.cumsum(parts["entries"])].astype(np.int64),
            "shard": parts["shard"].astype(np.int32),
            "row": parts["row"].astype(np.int32),
            "error": parts["error"].astype(np.int16),
            "tag_starts": tag_starts,
            "tags": tags,
            "tag_group": _rarest(tag_starts, tags),
        }
        columns |= _scored(columns, parts["clap_score"], parts["log_prob"])
        names = [self._tag_names[mid] for mid in tag_clips.terms.to_pylist()]
        return columns, list(self._kinds), names

    def _append(self, **columns: np.ndarray) -> None:
        for name, values in columns.items():
            self._parts.setdefault(name, []).append(values)

    def _errors(self, evidence: pa.Table, lengths: np.ndarray) -> np.ndarray:
        """The number of each clip's kind of error, -1 where it has captions."""
        stage, type_ = (pc.struct_field(evidence["error"], name) for name in ("stage", "type"))
        kinds = pc.binary_join_element_wise(stage, type_, "/").fill_null(_NO_CANDIDATES)
        numbers = np.full(len(lengths), -1)
        for clip in np.flatnonzero(lengths == 0):
            numbers[clip] = self._kinds.setdefault(kinds[clip].as_py(), len(self._kinds))
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


def _rarest(starts: np.ndarray, tags: np.ndarray) -> np.ndarray:
    """The group of each clip as `rules.rarest_tag` has it, int32 `[clips]`; tags are by mid."""
    clips = len(starts) - 1
    frequency = np.bincount(tags)
    clip = np.repeat(np.arange(clips), np.diff(starts))
    best = np.lexsort((tags, frequency[tags], clip))
    tagged, first = np.unique(clip[best], return_index=True)
    groups = np.full(clips, len(frequency), np.int32)
    groups[tagged] = tags[best[first]]
    return groups


def _scored(
    columns: dict[str, np.ndarray], clap_score: np.ndarray, log_prob: np.ndarray
) -> dict[str, np.ndarray]:
    """The columns of each score, and the sample, of entries that have a caption."""
    rows = np.flatnonzero(columns["candidate"] >= 0)
    clip = columns["clip"][rows]
    candidates = rules.Candidates(clip, clap_score[rows], log_prob[rows], columns["tag_group"])
    rules.need_scores(candidates)
    group = columns["tag_group"][clip]
    result = {}
    for name in SCORES:
        score = rules.scores(candidates, Policy(score=name))
        rank = rules.ranks(clip, score)
        order = np.argsort(-score, kind="stable")
        by_tag = order[np.argsort(group[order], kind="stable")]
        result[f"score_{name}"] = _spread(score, rows, len(clap_score), np.nan)
        result[f"rank_{name}"] = _spread(rank.astype(np.int16), rows, len(clap_score), 0)
        result[f"order_{name}"] = rows[order].astype(np.int32)
        result[f"tag_order_{name}"] = rows[by_tag].astype(np.int32)
    stratum = drawing.strata(clap_score, result["rank_clap"])
    return {**result, "stratum": stratum, "drawn": drawing.order(stratum)}


def _spread(values: np.ndarray, rows: np.ndarray, length: int, elsewhere: float) -> np.ndarray:
    result = np.full(length, elsewhere, values.dtype)
    result[rows] = values
    return result
