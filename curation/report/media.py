"""Encodes a clip's sound and mel spectrogram as data URIs, so that the page needs no other file."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import av
import matplotlib
import numpy as np
import torch
from markupsafe import Markup
from PIL import Image
from torch.nn.functional import adaptive_avg_pool1d

from curation.audio.decode import AudioError, DecodedAudio
from curation.audio.waveform import resample
from curation.catalog.reload import reload_audio
from curation.errors import InputError
from curation.models.networks.log_mel import LogMel
from curation.models.networks.log_mel_config import LogMelConfig
from curation.storage.files import Storage

_OPUS_RATE_HZ = 48_000
_OPUS_BITS_A_SECOND = 45_000
# Effort from 0 to 10: half of it takes half the time.
_OPUS_EFFORT = 5
_WIDEST_FRAMES = 480
_RANGE_DB = 80.0
_WEBP_QUALITY = 60


@dataclass(frozen=True)
class ClipMedia:
    """Sound and spectrogram as data URIs; if there are none, `missing` states the reason."""

    sound: Markup = Markup("")
    spectrogram: Markup = Markup("")
    missing_reason: str = ""


def load_clip_media(storage: Storage, row: Mapping[str, Any]) -> ClipMedia:
    """Load the sound of a row of evidence, and draw its spectrogram."""
    if row["audio_sha256"] is None or row["end_s"] is None:
        return ClipMedia(missing_reason="it was never decoded, see the error")
    try:
        decoded = reload_audio(storage, row)
    except (InputError, AudioError) as error:
        return ClipMedia(missing_reason=str(error))
    return ClipMedia(
        _data_uri("audio/ogg", encode_opus(decoded)),
        _data_uri("image/webp", render_spectrogram(decoded)),
    )


def encode_opus(decoded: DecodedAudio) -> bytes:
    """Encode a sound as Ogg/Opus. Browsers play it, and it takes an eighth of the bytes of FLAC."""
    waveform = resample(decoded.waveform, decoded.sample_rate_hz, _OPUS_RATE_HZ)
    frame = av.AudioFrame.from_ndarray(np.clip(waveform, -1.0, 1.0)[None], "flt", "mono")
    frame.sample_rate = _OPUS_RATE_HZ
    file = io.BytesIO()
    # Bit-exact: no random number in the stream, so that the same sound gives the same bytes.
    with av.open(file, "w", format="ogg", options={"fflags": "bitexact"}) as container:
        stream = container.add_stream(
            "libopus", _OPUS_RATE_HZ, {"compression_level": str(_OPUS_EFFORT)}
        )
        stream.layout, stream.bit_rate = "mono", _OPUS_BITS_A_SECOND
        for each in (frame, None):
            container.mux(stream.encode(each))
    return file.getvalue()


@torch.inference_mode()
def render_spectrogram(decoded: DecodedAudio) -> bytes:
    """Draw 64 mel bands from 50 Hz to 14 kHz as WebP, with one pixel per band.

    Only the loudest 80 dB are shown.
    """
    front_end = _front_end()
    waveform = resample(decoded.waveform, decoded.sample_rate_hz, front_end.config.sample_rate_hz)
    samples = torch.from_numpy(np.ascontiguousarray(waveform))[None]
    [mel] = front_end(samples, torch.tensor([samples.shape[1]])).transpose(1, 2)
    bands = adaptive_avg_pool1d(mel, min(mel.shape[1], _WIDEST_FRAMES)).numpy()
    shades = np.clip((bands - bands.max()) / _RANGE_DB + 1, 0, 1)[::-1]
    pixels = matplotlib.colormaps["magma"](shades, bytes=True)[..., :3]
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "WEBP", quality=_WEBP_QUALITY)
    return file.getvalue()


@cache
def _front_end() -> LogMel:
    return LogMel(LogMelConfig())


def _data_uri(kind: str, data: bytes) -> Markup:
    return Markup(f"data:{kind};base64,{base64.b64encode(data).decode()}")
