"""Tells formats apart by a file's content, and counts its sound by the module of its format.

docs/catalogs.md says which library decodes which format, and why.
"""

import av
import soundfile

from curation.audio.containers import count_container
from curation.audio.counted import CountedSound
from curation.audio.ffmpeg import unreadable_error
from curation.audio.flac import count_flac, is_flac
from curation.audio.mp3 import count_mp3, is_mpeg_audio
from curation.audio.ogg import OGG_MAGIC, count_ogg
from curation.audio.sndfile import count_by_reading, count_plain_samples
from curation.audio.wav import count_wav, is_wav


def count_sound(data: bytes, name: str) -> CountedSound:
    """Count the sound of a file, whatever its format.

    Raises AudioError: `unknown_format`, `truncated`.
    """
    return _count_known(data, name) or _count_other(data, name)


def _count_known(data: bytes, name: str) -> CountedSound | None:
    """By the module of the format that the file's beginning shows; None where that has none."""
    try:
        if is_wav(data):
            return count_wav(data, name)
        if is_flac(data):
            return count_flac(data, name)
        if data.startswith(OGG_MAGIC):
            return count_ogg(data, name)
        return count_mp3(data, name) if is_mpeg_audio(data) else None
    except av.error.FFmpegError:
        return None  # what FFmpeg does not open is tried by libsndfile, which has the last word


def _count_other(data: bytes, name: str) -> CountedSound:
    """By libsndfile where it holds plain samples, else by FFmpeg, and last by libsndfile."""
    try:
        plain, refusal = count_plain_samples(data, name), ""
    except soundfile.LibsndfileError as error:
        plain, refusal = None, error.error_string
    if plain:
        return plain
    try:
        return count_container(data, name)
    except av.error.FFmpegError as error:
        if not refusal:
            return count_by_reading(data, name)
        reasons = f"libsndfile: {refusal} FFmpeg: {error.strerror}."
        raise unreadable_error(data, name, reasons) from error
