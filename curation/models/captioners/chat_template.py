"""How an audio-language model is asked about a sound: the conversation that its template writes."""

from pathlib import Path
from typing import Any

import numpy as np

from curation.errors import InputError
from curation.models.waveform_checks import pad_to_min_length

# Models make one token of 40 ms and none of less; a shorter clip is padded with silence.
_SHORTEST_S = 0.2


def require_chat_template(folder: Path, processor: Any) -> None:
    """Raises InputError if a model's processor does not know how it is asked."""
    if processor.chat_template is None:
        raise InputError(
            f"{folder}: no chat template; expected chat_template.jinja, which says how the "
            "model is asked: take the instruction-tuned model, or add its template"
        )


def build_conversation(prompt: str, **sound: Any) -> list[dict[str, Any]]:
    """A conversation that ends in a question about one sound; `sound` is what there is of it."""
    text = [{"type": "text", "text": prompt}] if prompt else []
    return [{"role": "user", "content": [{"type": "audio", **sound}, *text]}]


def pad_to_one_token(waveform: np.ndarray, rate_hz: int) -> np.ndarray:
    """A waveform with silence behind it, where it is shorter than any token of sound."""
    return pad_to_min_length(waveform, round(rate_hz * _SHORTEST_S))
