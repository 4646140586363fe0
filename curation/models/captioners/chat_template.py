"""The conversation with an audio-language model about a clip, rendered by its chat template."""

from pathlib import Path
from typing import Any

import numpy as np

from curation.errors import InputError
from curation.models.waveform_checks import pad_to_min_length

# Models make one token of 40 ms and none of less; a shorter clip is padded with silence.
_SHORTEST_S = 0.2


def require_chat_template(folder: Path, processor: Any) -> None:
    """Raises InputError if a model's processor has no chat template."""
    if processor.chat_template is None:
        raise InputError(
            f"{folder}: no chat template; expected chat_template.jinja, the format of the "
            "prompt: take the instruction-tuned model, or add its template"
        )


def build_conversation(prompt: str, **sound: Any) -> list[dict[str, Any]]:
    """A conversation with one user turn about one clip; `sound` is its content entry."""
    text = [{"type": "text", "text": prompt}] if prompt else []
    return [{"role": "user", "content": [{"type": "audio", **sound}, *text]}]


def pad_to_one_token(waveform: np.ndarray, rate_hz: int) -> np.ndarray:
    """A waveform padded with silence to the length of one audio token, if it is shorter."""
    return pad_to_min_length(waveform, round(rate_hz * _SHORTEST_S))
