"""What tests of captioners share: the content of a result, and checks of the contract."""

from collections.abc import Sequence

import numpy as np

from curation.models.captioners.base import Candidate, Captioner
from curation.schema import Failure

SEEDS = [11, 12, 13]

Result = list[Candidate] | Failure


def reported(result: Result) -> list[tuple[str, str]]:
    """Method and caption of each candidate, or type and message of the failure."""
    if isinstance(result, Failure):
        return [(result.kind, result.message)]
    return [(one.method, one.caption) for one in result]


def captions_of(result: Result) -> list[str]:
    """The captions, or the kind of the failure."""
    return [result.kind] if isinstance(result, Failure) else [one.caption for one in result]


def log_probs(result: Result) -> list[float | None]:
    """The log-probability of each candidate; none of a failure."""
    return [] if isinstance(result, Failure) else [one.log_prob for one in result]


def need_same_one_by_one(adapter: Captioner, sounds: Sequence[np.ndarray]) -> None:
    """Four candidates of three sounds are the same asked for together and each by itself."""
    together = adapter.caption(sounds, [[]] * 3, SEEDS)
    apart = [adapter.caption(sounds, [[]] * 3, SEEDS, at, at + 1) for at in range(4)]
    each = [
        [one for result in alone if isinstance(result, list) for one in reported(result)]
        for alone in zip(*apart, strict=True)
    ]
    assert [reported(result) for result in together] == each
    assert sum(map(len, each)) > 3


def beside_bad_clips(adapter: Captioner, sound: np.ndarray) -> Result:
    """The captions of a sound in a batch of invalid clips, which fail in their place."""
    clips = [np.zeros(0, "f4"), sound, np.full(9000, np.nan, "f4"), np.zeros((2, 9000), "f4")]
    results = adapter.caption(clips, [[]] * 4, [7, SEEDS[0], 7, 7])
    assert [reported(results[row])[0][0] for row in (0, 2, 3)] == [
        "empty",
        "not_finite",
        "not_mono",
    ]
    return results[1]
