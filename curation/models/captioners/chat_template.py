"""Conversations with an audio-language model about a clip, rendered by its chat template."""

from pathlib import Path
from typing import Any

import numpy as np

from curation.errors import InputError
from curation.models.waveform_checks import pad_to_min_length

# Models make one token of 40 ms and none of less; a shorter clip is padded with silence.
_SHORTEST_S = 0.2


def require_chat_template(folder: Path, processor: Any) -> None:
    """Raise InputError if the processor of a model has no chat template."""
    if processor.chat_template is None:
        raise InputError(
            f"{folder}: no chat template; expected chat_template.jinja, the format of the "
            "prompt: take the instruction-tuned model, or add its template"
        )


def build_conversation(prompt: str, **sound: Any) -> list[dict[str, Any]]:
    """Build a conversation with one user turn, in which the clip is the content entry `sound`."""
    text = [{"type": "text", "text": prompt}] if prompt else []
    return [{"role": "user", "content": [{"type": "audio", **sound}, *text]}]


def pad_to_one_token(waveform: np.ndarray, rate_hz: int) -> np.ndarray:
    """Pad a waveform with silence to the length of one audio token, if it is shorter."""
    return pad_to_min_length(waveform, round(rate_hz * _SHORTEST_S))
