"""Reads the audio of an annotated clip again, and checks that the file has not changed."""

from collections.abc import Mapping
from typing import Any

from curation.audio.decode import DecodedAudio, decode_audio, sha256_hex
from curation.catalog.clip_bytes import read_clip_bytes
from curation.errors import InputError
from curation.storage.files import Storage


def reload_audio(storage: Storage, row: Mapping[str, Any]) -> DecodedAudio:
    """Read and decode the segment of a clip again.

    Args:
        storage: reads the file.
        row: a row of evidence or of pairs, with clip_id, uri, start_s, end_s and audio_sha256.

    Raises InputError if the file is missing or has changed since the clip was annotated.
    """
    try:
        data, name, same = reload_bytes(storage, row)
    except (OSError, ValueError) as error:
        raise InputError(
            f"clip {row['clip_id']}: {row['uri']} cannot be read any more ({error})"
        ) from error
    if not same:
        raise InputError(f"clip {row['clip_id']}: {row['uri']} has changed since it was annotated")
    return decode_segment(data, name, row)


def reload_bytes(storage: Storage, row: Mapping[str, Any]) -> tuple[bytes, str, bool]:
    """Read the file of a clip again.

    Returns the bytes, the name of the file in messages, and whether the bytes are those that were
    annotated. Raises OSError if the file cannot be read, and ValueError for a name that storage
    does not allow.
    """
    data, name = read_clip_bytes(storage, row["uri"])
    return data, name, sha256_hex(data) == row["audio_sha256"]


def decode_segment(data: bytes, name: str, row: Mapping[str, Any]) -> DecodedAudio:
    """Decode the segment of a row, from `start_s` to `end_s` of the file. Raises AudioError."""
    return decode_audio(data, name, row["start_s"], row["end_s"], row["end_s"] - row["start_s"])
