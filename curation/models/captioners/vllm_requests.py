"""Types of a request to vLLM for one candidate, and of its response."""

from typing import Any, NamedTuple

import numpy as np


class VllmRequest(NamedTuple):
    """The request for one candidate of one clip.

    `sound` is float32 `[sample]` at the model's rate; `sampling` holds vLLM's SamplingParams.
    """

    prompt: str
    sound: np.ndarray
    sampling: dict[str, Any]


class VllmResponse(NamedTuple):
    """The text that vLLM wrote, and the log-probability of each token, including the end token.

    The log-probabilities are vLLM's raw ones, at temperature 1.
    """

    text: str
    log_probs: list[float]
