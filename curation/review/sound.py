"""The sound of a clip as a browser plays it: the stretch that was heard, as 16-bit FLAC."""

from typing import Any

from curation import audio
from curation.catalog.fetch import read_clip_bytes
from curation.errors import InputError

# Of a clip that could not be captioned and whose end is not known, so much is tried.
MAX_HEARD_S = 30.0
# What browsers decode everywhere; rarer rates are resampled to the higher of them.
_RATES_HZ = (8000, 16000, 22050, 32000, 44100, 48000)


def flac(evidence: dict[str, Any]) -> bytes:
    """The sound of a clip's evidence, mono, as a FLAC file.

    Raises:
        OSError: it cannot be read.
        AudioError: it cannot be decoded.
        InputError: it is not what was annotated.
    """
    if evidence["uri"] is None:
        raise InputError("the catalog lists this clip, and no file of it")
    data, name = read_clip_bytes(evidence["uri"])
    if evidence["audio_sha256"] not in (None, audio.sha256(data)):
        raise InputError("its file has changed since it was annotated")
    start_s, end_s = evidence["start_s"], evidence["end_s"]
    length_s = MAX_HEARD_S if end_s is None else end_s - (start_s or 0.0)
    heard = audio.decode(data, name, start_s, end_s, length_s)
    rate_hz = heard.sample_rate_hz if heard.sample_rate_hz in _RATES_HZ else _RATES_HZ[-1]
    waveform = audio.resample(heard.waveform, heard.sample_rate_hz, rate_hz)
    return audio.encode_flac(audio.to_int16(waveform), rate_hz)
