"""Embeds sounds with a scorer in the same way as a run does."""

from collections.abc import Iterable
from itertools import islice

import numpy as np

from curation.audio.decode import DecodedAudio
from curation.audio.waveform import from_int16, resample, to_int16
from curation.errors import InputError
from curation.models.scorers.base import Scorer
from curation.schema import Failure

# Sounds decoded and embedded together: few, as they may be as long as the run allows.
_BATCH = 8


def embed_sounds(scorer: Scorer, sounds: Iterable[tuple[str, DecodedAudio]]) -> np.ndarray:
    """Embed named sounds in order: `[sound, dim]`.

    Raises InputError with the name of a sound that the scorer cannot embed.
    """
    found: list[np.ndarray] = []
    waiting = iter(sounds)
    while batch := list(islice(waiting, _BATCH)):
        embeddings = scorer.embed_audio([_waveform(scorer, decoded) for _, decoded in batch])
        for (name, _), embedding in zip(batch, embeddings, strict=True):
            if isinstance(embedding, Failure):
                raise InputError(f"{name}: the scorer cannot embed it: {embedding.message}")
            found.append(embedding)
    return np.array(found)


def _waveform(scorer: Scorer, decoded: DecodedAudio) -> np.ndarray:
    """At the scorer's rate, and rounded to 16 bits as in a run."""
    resampled = resample(decoded.waveform, decoded.sample_rate_hz, scorer.sample_rate_hz)
    return from_int16(to_int16(resampled))
