"""Encodes the sound of a clip for browsers: the annotated segment, as 16-bit FLAC."""

from typing import Any

from curation.audio.waveform import resample_to_flac
from curation.catalog.reload import reload_audio
from curation.errors import InputError
from curation.storage.files import Storage

# What browsers decode everywhere; rarer rates are resampled to the highest of them.
_BROWSER_RATES_HZ = (8000, 16000, 22050, 32000, 44100, 48000)


def clip_flac(storage: Storage, evidence: dict[str, Any]) -> bytes:
    """Return the sound of an evidence row, mono, as a FLAC file.

    Raises:
        InputError: the clip was never decoded, or its file is missing or has changed.
        AudioError: the file cannot be decoded.
    """
    if evidence["duration_s"] is None:
        raise InputError("this clip was never decoded, see its error")
    sound = reload_audio(storage, evidence)
    rate_hz = (
        sound.sample_rate_hz if sound.sample_rate_hz in _BROWSER_RATES_HZ else _BROWSER_RATES_HZ[-1]
    )
    return resample_to_flac(sound.waveform, sound.sample_rate_hz, rate_hz)
