"""Sounds embedded by a scorer as a run embeds them."""

from collections.abc import Iterable
from itertools import islice

import numpy as np

from curation.audio import decode
from curation.errors import InputError
from curation.models.scorers.base import Scorer
from curation.schema import Failure

# Sounds decoded and embedded together: few, as they may be as long as the run allows.
_BATCH = 8


def embedded(scorer: Scorer, sounds: Iterable[tuple[str, decode.Decoded]]) -> np.ndarray:
    """Embeddings `[sound, dim]` of named sounds, in order.

    Raises InputError naming the sound that the scorer cannot hear.
    """
    found: list[np.ndarray] = []
    waiting = iter(sounds)
    while batch := list(islice(waiting, _BATCH)):
        heard = scorer.embed_audio([_waveform(scorer, decoded) for _, decoded in batch])
        for (name, _), embedding in zip(batch, heard, strict=True):
            if isinstance(embedding, Failure):
                raise InputError(f"{name}: the scorer cannot hear it: {embedding.message}")
            found.append(embedding)
    return np.array(found)


def _waveform(scorer: Scorer, decoded: decode.Decoded) -> np.ndarray:
    """At the scorer's rate, and rounded to 16 bits as in a run."""
    resampled = decode.resample(decoded.waveform, decoded.sample_rate_hz, scorer.sample_rate_hz)
    return decode.from_int16(decode.to_int16(resampled))
