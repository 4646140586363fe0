"""Detects the format of a file from its content, and counts the audio with that format's module.

docs/catalogs.md states which library decodes which format, and why.
"""

import io
from itertools import pairwise

import av
import soundfile

from curation.audio.containers import count_container
from curation.audio.counted import (
    CountedSound,
    SoundPart,
    join_parts,
    patch_sound,
    replace_bytes,
)
from curation.audio.ffmpeg import unreadable_error
from curation.audio.flac import count_flac, is_flac
from curation.audio.mp3 import count_mp3, is_mpeg_audio
from curation.audio.ogg import OGG_MAGIC, count_ogg
from curation.audio.sample_chunks import find_size_patches, split_sample_files
from curation.audio.sndfile import count_by_libsndfile
from curation.audio.wav import count_wav, is_wav

# libsndfile reads these wrongly where the module of the format does not read them.
_BY_FFMPEG = {"FLAC", "MP3", "MPEG", "OGG", "WAV", "WAVEX", "RF64"}


def count_sound(data: bytes, name: str) -> CountedSound:
    """Count the samples of a file of any format that can be decoded.

    Raises AudioError (`unknown_format` or `truncated`).
    """
    if known := _count_known(data, name):
        return known
    bounds = [*split_sample_files(data, name), len(data)]
    parts = [
        SoundPart(begin, end, _count_patched(data[begin:end], name))
        for begin, end in pairwise(bounds)
    ]
    return join_parts(parts, len(data))


def _count_known(data: bytes, name: str) -> CountedSound | None:
    """By the module of the format that the file's beginning shows; None if that has none."""
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


def _count_patched(data: bytes, name: str) -> CountedSound:
    """With true sizes in place of wrong ones, at which libsndfile stops or refuses the file."""
    patches = find_size_patches(data)
    return patch_sound(_count_other(replace_bytes(data, patches), name), patches)


def _count_other(data: bytes, name: str) -> CountedSound:
    """By libsndfile, or by FFmpeg where that does not open the file or reads it wrongly."""
    refusal = ""
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as sound:
            readable = sound.format not in _BY_FFMPEG
        if readable:
            return count_by_libsndfile(data, name)
    except soundfile.LibsndfileError as error:
        refusal = f"libsndfile: {error.error_string} "
    try:
        return count_container(data, name)
    except av.error.FFmpegError as error:
        if not refusal:  # MP3 of free format
            return count_by_libsndfile(data, name)
        raise unreadable_error(data, name, f"{refusal}FFmpeg: {error.strerror}.") from error
