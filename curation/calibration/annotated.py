"""The pairs of an annotated run: its clips' best captions, and the sounds as its scorer heard them.

Both are in the evidence, so that only captions are embedded and no audio is read.
"""

from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import run, sink
from curation.calibration.arithmetic import Scored
from curation.config import RunConfig
from curation.errors import InputError
from curation.schema import OK
from curation.scorers.base import Scorer
from curation.tags import ontology

# Shards that a sample comes from: enough that no folder and no day of recording fills it.
_MOST_SHARDS = 32
_COLUMNS = ["tags", "candidates", "audio_embedding", "outcome"]


def scored(config: RunConfig, scorer: Scorer, clips: int) -> Scored:
    """The best captions of a random sample of a run's clips, scored with all clips of the sample.

    A caption does not belong to the clips that have no tag in common with its own, nor one that
    implies such a tag. Raises InputError where there is no evidence, or that of another scorer.
    """
    _check_scorer(config, scorer)
    rows = _drawn(config, clips)
    best = [max(row["candidates"], key=lambda each: each["clap_score"]) for row in rows]
    sounds = np.array([row["audio_embedding"] for row in rows], np.float32)
    captions = [each["caption"] for each in best]
    scorer.setup()
    return Scored(
        source="written",
        matched=np.array([each["clap_score"] for each in best]),
        shuffled=scorer.embed_text(captions) @ sounds.T,
        others=unrelated([{tag["mid"] for tag in row["tags"]} for row in rows]),
        words=np.array([len(caption.split()) for caption in captions]),
    )


def unrelated(tags: list[set[str]]) -> np.ndarray:
    """Which clips have nothing in common, bool `[clip, clip]`, by the classes that each carries.

    Two clips are related where one has a class that the other has too, or that a class of the
    other implies: a bark is a dog's. A clip is related to itself, whatever it carries.
    """
    implied = [mids.union(*(ontology.ancestors(mid) for mid in mids)) for mids in tags]
    apart = ~np.eye(len(tags), dtype=bool)
    for one, other in combinations(range(len(tags)), 2):
        related = tags[one] & implied[other] or implied[one] & tags[other]
        apart[one, other] = apart[other, one] = not related
    return apart


def _check_scorer(config: RunConfig, scorer: Scorer) -> None:
    there = run.need_record(config.run).models["scorer"]
    here = dict(scorer.identity)
    if there != here:
        raise InputError(
            f"{config.run}: its evidence is scored by {there}, the configuration names {here}; "
            "name the scorer of the run, or calibrate another one with --captions"
        )


def _drawn(config: RunConfig, clips: int) -> list[dict[str, Any]]:
    shards = sink.done_shards(config.run)
    if not shards:
        raise InputError(
            f"{config.run}: no evidence yet; run tagscribe annotate first, or give captions of "
            "your own with --captions"
        )
    rng = np.random.default_rng(config.seed)
    few = sorted(rng.permutation(shards)[:_MOST_SHARDS].tolist())
    evidence = pa.concat_tables(sink.read_shards(config.run, few, _COLUMNS))
    served = evidence.filter(pc.equal(evidence["outcome"], OK))
    if served.num_rows < 2:
        raise InputError(
            f"{config.run}: {served.num_rows} clips with captions; expected two or more"
        )
    return served.take(np.sort(rng.permutation(served.num_rows)[:clips])).to_pylist()
