"""The pairs of an annotated run: the best caption of each clip, paired with all clips of a sample.

The evidence has the captions, the scores, and the audio embeddings of the run's scorer. Only a
second scorer has to embed the audio again.
"""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.audio.decode import DecodedAudio
from curation.audio.errors import AudioError
from curation.calibration import embeddings as calibration_embeddings
from curation.calibration.thresholds import ScoredPairs
from curation.catalog.reload import reload_audio
from curation.config.run import RunConfig
from curation.errors import InputError
from curation.models.scorers.base import Scorer
from curation.run import evidence as run_evidence
from curation.run.layout import RunFolder
from curation.run.record import list_differences, require_run_record
from curation.schema import OK
from curation.storage.files import Storage
from curation.tags import ontology

# The part that a scorer plays in a run.
ScorerRole = Literal["scorer", "second_scorer"]

# Shards that a sample comes from: enough that no folder and no day of recording fills it.
_MOST_SHARDS = 32
_SCORE = {"scorer": "clap_score", "second_scorer": "second_score"}
_COLUMNS = ["clip_id", "tags", "candidates", "outcome"]
# What a scorer's own sounds are made of.
_SOUNDS = {
    "scorer": ["audio_embedding"],
    "second_scorer": ["uri", "start_s", "end_s", "audio_sha256"],
}


def score_run_pairs(
    config: RunConfig, scorer: Scorer, clips: int, role: ScorerRole = "scorer"
) -> ScoredPairs:
    """Score the best captions of a random sample of a run's clips against all clips of the sample.

    The best caption of a clip is the one with the highest CLAP score. The pair of this caption and
    another clip counts as shuffled if the two clips are unrelated (`unrelated_clips`).

    Args:
        config: the configuration of the run.
        scorer: the scorer that has this `role` in the run; it is set up here.
        clips: size of the sample, drawn with the seed of the run. A second scorer embeds the
            sampled clips again, except for clips whose audio is missing or has changed.
        role: whether `scorer` is the run's first or second scorer.

    Raises InputError if fewer than two clips have evidence, or if the evidence is of another
    scorer.
    """
    _check_scorer(config, scorer, role)
    rows = _sample_rows(config, clips, role)
    scorer.setup()
    if role == "second_scorer":
        rows, sounds = _embed_reloaded(config, scorer, rows)
    else:
        sounds = np.array([row["audio_embedding"] for row in rows], np.float32)
    best = [max(row["candidates"], key=lambda each: each["clap_score"]) for row in rows]
    captions = [each["caption"] for each in best]
    return ScoredPairs(
        source="written",
        matched=np.array([each[_SCORE[role]] for each in best]),
        shuffled=scorer.embed_text(captions) @ sounds.T,
        unrelated=unrelated_clips([{tag["mid"] for tag in row["tags"]} for row in rows]),
        words=np.array([len(caption.split()) for caption in captions]),
    )


def unrelated_clips(tags: list[set[str]]) -> np.ndarray:
    """Find pairs of clips that share no class: bool `[clip, clip]`, True for an unrelated pair.

    Two clips are related if a class of one is also a class of the other, or is implied by a class
    of the other: a bark implies a dog. A clip is related to itself, whatever its classes. `tags`
    has the set of classes of each clip.
    """
    implied = [mids.union(*map(_ancestors, mids)) for mids in tags]
    column = {mid: place for place, mid in enumerate(sorted(set().union(*implied)))}
    own, all_ = (np.zeros((len(tags), len(column)), np.float32) for _ in range(2))
    for row, (mids, more) in enumerate(zip(tags, implied, strict=True)):
        own[row, [column[mid] for mid in mids]] = 1
        all_[row, [column[mid] for mid in more]] = 1
    shared = own @ all_.T
    apart: np.ndarray = (shared + shared.T) == 0
    np.fill_diagonal(apart, False)
    return apart


def _ancestors(mid: str) -> frozenset[str]:
    try:
        return ontology.ancestor_classes(mid)
    except InputError:  # a class of another vocabulary implies nothing
        return frozenset()


def _check_scorer(config: RunConfig, scorer: Scorer, part: ScorerRole) -> None:
    there = require_run_record(RunFolder.from_config(config)).models[part]
    differing = [
        f"{name} {here or ''!r} here, {there or ''!r} in run.json"
        for name, here, there in list_differences(scorer.identity, there)
    ]
    if differing:
        raise InputError(
            f"{config.run}: the {part.replace('_', ' ')} here is another than the run's: "
            f"{', '.join(differing)}; "
            "name that of the run, or calibrate another one with --captions"
        )


def _sample_rows(config: RunConfig, clips: int, part: ScorerRole) -> list[dict[str, Any]]:
    run = RunFolder.from_config(config)
    shards = run_evidence.list_done_shards(run)
    if not shards:
        raise InputError(
            f"{config.run}: no evidence yet; run tagscribe annotate first, or give captions of "
            "your own with --captions"
        )
    rng = np.random.default_rng(config.seed)
    few = sorted(rng.permutation(shards)[:_MOST_SHARDS].tolist())
    evidence = pa.concat_tables(
        run_evidence.read_evidence_shards(run, few, [*_COLUMNS, *_SOUNDS[part]])
    )
    served = evidence.filter(pc.equal(evidence["outcome"], OK))
    _require_two(config, served.num_rows, "with captions")
    return served.take(np.sort(rng.permutation(served.num_rows)[:clips])).to_pylist()


def _require_two(config: RunConfig, clips: int, which: str) -> None:
    if clips < 2:
        raise InputError(f"{config.run}: {clips} clips {which}; expected two or more")


def _embed_reloaded(
    config: RunConfig, scorer: Scorer, rows: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], np.ndarray]:
    """The clips whose sound can be read again, and their embeddings `[clip, dim]`."""
    there = []

    def sounds() -> Iterator[tuple[str, DecodedAudio]]:
        for row in rows:
            try:
                decoded = reload_audio(Storage(config.storage), row)
            except (InputError, AudioError):
                continue
            there.append(row)
            yield row["clip_id"], decoded

    embeddings = calibration_embeddings.embed_sounds(scorer, sounds())
    _require_two(config, len(there), "with captions whose sound is still where it was")
    return there, embeddings
