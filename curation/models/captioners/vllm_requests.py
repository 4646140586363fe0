"""What vLLM is given for one candidate, and what it returns."""

from typing import Any, NamedTuple

import numpy as np


class VllmRequest(NamedTuple):
    """One candidate of one clip, as vLLM is asked for it.

    `sound` is float32, `[sample]` at the model's rate; `sampling` are vLLM's SamplingParams.
    """

    prompt: str
    sound: np.ndarray
    sampling: dict[str, Any]


class VllmResponse(NamedTuple):
    """What vLLM wrote, and the log-probability of each token of it, the end token included.

    They are those of the untempered model, vLLM's raw ones.
    """

    text: str
    log_probs: list[float]
