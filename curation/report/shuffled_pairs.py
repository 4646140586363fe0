"""Scores captions of a sample of clips with other clips, for comparison with matched scores.

The pairs are those of `tagscribe models calibrate`. Computing them needs the scorer itself.
"""

from dataclasses import dataclass

from curation.calibration import run_pairs
from curation.calibration.run_pairs import ScorerRole
from curation.calibration.thresholds import ScoredPairs
from curation.config.run import RunConfig
from curation.errors import InputError
from curation.models.scorers.build import build_scorer

_CLIPS = 500
# The second scorer has to embed its clips again.
_SECOND_SCORER_CLIPS = 60


@dataclass(frozen=True)
class ShuffledPairs:
    """The best captions of a sample of clips, each scored with its own clip and with other clips.

    If there are no scores, `missing` states the reason.
    """

    pairs: ScoredPairs | None
    missing_reason: str = ""


def score_shuffled_pairs(config: RunConfig) -> dict[ScorerRole, ShuffledPairs]:
    """Score the pairs of each scorer of a run; a scorer that is unavailable has no scores."""
    pairs: dict[ScorerRole, ShuffledPairs] = {"scorer": _score_role(config, "scorer", _CLIPS)}
    if config.second_scorer:
        pairs["second_scorer"] = _score_role(config, "second_scorer", _SECOND_SCORER_CLIPS)
    return pairs


def _score_role(config: RunConfig, part: ScorerRole, clips: int) -> ShuffledPairs:
    try:
        pairs = run_pairs.score_run_pairs(config, build_scorer(getattr(config, part)), clips, part)
    except (InputError, OSError, ImportError) as error:
        return ShuffledPairs(None, str(error))
    if not pairs.unrelated.any():
        return ShuffledPairs(None, "no two of the clips with captions have no tag in common")
    return ShuffledPairs(pairs)
