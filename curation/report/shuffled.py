"""What a scorer gives to captions of other clips: the scores by which true ones are to be judged.

The sounds are in the evidence as the scorer heard them; the captions are embedded anew, which takes
the scorer itself.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import scorers, sink
from curation.config import RunConfig
from curation.errors import InputError
from curation.run import RunRecord
from curation.schema import OK
from curation.tags import ontology

# Shards that a sample comes from: enough that no folder and no day of recording fills it.
_MOST_SHARDS = 32
_COLUMNS = ["tags", "candidates", "audio_embedding", "outcome"]


@dataclass(frozen=True, eq=False)
class Shuffled:
    """Scores `[pair]` of captions with clips they were not written for; or why there are none."""

    scores: np.ndarray
    missing: str = ""


def shuffled(record: RunRecord, config: RunConfig, shards: list[int], clips: int) -> Shuffled:
    """One caption each of a random sample of a run's clips, scored with the sample's other clips.

    Only with those that share no tag with the caption's own, nor one that implies it. The run's
    seed draws. A scorer that is not there any more, or is another by now, leaves it empty.
    """
    try:
        scorer = scorers.build(config.scorer)
        if other := _difference(dict(scorer.identity), record.models["scorer"]):
            return _missing(f"the scorer here is another than the run's: {other}")
        scorer.setup()
    except (InputError, OSError, ImportError) as error:
        return _missing(f"the scorer cannot be loaded here: {error}")
    rng = np.random.default_rng(config.seed)
    rows = _drawn(config.run, rng, shards, clips)
    apart = unrelated([{tag["mid"] for tag in tags} for tags in rows["tags"].to_pylist()])
    if not apart.any():
        return _missing("no two of the clips with captions have no tag in common")
    captions = [rng.choice([each["caption"] for each in c]) for c in rows["candidates"].to_pylist()]
    sounds = np.stack(rows["audio_embedding"].to_numpy()).astype(np.float32)
    return Shuffled((scorer.embed_text(list(map(str, captions))) @ sounds.T)[apart])


def unrelated(tags: list[set[str]]) -> np.ndarray:
    """Which clips have nothing in common, bool `[clip, clip]`, by the classes that each carries.

    Two clips are related where one has a class that the other has too, or that a class of the
    other implies. A clip is related to itself, whatever it carries.
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
        return ontology.ancestors(mid)
    except InputError:  # a class of another vocabulary implies nothing
        return frozenset()


def _drawn(run_uri: str, rng: np.random.Generator, shards: list[int], clips: int) -> pa.Table:
    few = sorted(rng.permutation(shards)[:_MOST_SHARDS].tolist())
    evidence = pa.concat_tables(sink.read_shards(run_uri, few, _COLUMNS))
    served = evidence.filter(pc.equal(evidence["outcome"], OK))
    return served.take(np.sort(rng.permutation(served.num_rows)[:clips]))


def _difference(here: dict[str, str], there: dict[str, str]) -> str:
    return ", ".join(
        f"{name} {here.get(name, '')!r} here, {there.get(name, '')!r} in run.json"
        for name in sorted(here.keys() | there.keys())
        if here.get(name) != there.get(name)
    )


def _missing(why: str) -> Shuffled:
    return Shuffled(np.empty(0, np.float32), why)
