"""What a run's scorers give to captions of other clips; or why that cannot be told here.

The pairs are those of `tagscribe models calibrate`; they take the scorer itself.
"""

from dataclasses import dataclass

from curation.calibration import run_pairs
from curation.calibration.run_pairs import ScorerRole
from curation.calibration.thresholds import ScoredPairs
from curation.config.run import RunConfig
from curation.errors import InputError
from curation.models.scorers.build import build_scorer

_CLIPS = 500
# The second scorer has to hear its clips anew.
_CLIPS_HEARD = 60


@dataclass(frozen=True)
class ShuffledPairs:
    """The best captions of a sample of clips with their own clip and with others.

    In `missing` why there are none.
    """

    pairs: ScoredPairs | None
    missing: str = ""


def score_shuffled_pairs(config: RunConfig) -> dict[ScorerRole, ShuffledPairs]:
    """The pairs of each scorer of a run; a scorer that is not there any more leaves none."""
    told: dict[ScorerRole, ShuffledPairs] = {"scorer": _of(config, "scorer", _CLIPS)}
    if config.second_scorer:
        told["second_scorer"] = _of(config, "second_scorer", _CLIPS_HEARD)
    return told


def _of(config: RunConfig, part: ScorerRole, clips: int) -> ShuffledPairs:
    try:
        pairs = run_pairs.score_run_pairs(config, build_scorer(getattr(config, part)), clips, part)
    except (InputError, OSError, ImportError) as error:
        return ShuffledPairs(None, str(error))
    if not pairs.others.any():
        return ShuffledPairs(None, "no two of the clips with captions have no tag in common")
    return ShuffledPairs(pairs)
