"""The sound of a clip once more, as it was heard when it was annotated; or why it cannot be had."""

from collections.abc import Mapping
from typing import Any

from curation import audio
from curation.catalog.fetch import read_clip_bytes
from curation.errors import InputError


def rehear(row: Mapping[str, Any]) -> audio.Decoded:
    """Read and decode the stretch that a row of evidence or of pairs speaks of.

    Args:
        row: clip_id, uri, start_s, end_s and audio_sha256 of a clip that was heard.

    Raises InputError where the file is gone or has changed since.
    """
    try:
        data, name = read_clip_bytes(row["uri"])
    except (OSError, ValueError) as error:  # ValueError: a name that no storage takes
        raise InputError(
            f"clip {row['clip_id']}: {row['uri']} cannot be read any more ({error})"
        ) from error
    if audio.sha256(data) != row["audio_sha256"]:
        raise InputError(f"clip {row['clip_id']}: {row['uri']} has changed since it was annotated")
    return audio.decode(data, name, row["start_s"], row["end_s"], row["end_s"] - row["start_s"])
