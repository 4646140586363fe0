"""Adds audio to rows: reads, checks and cuts each clip to its segment, and encodes it as FLAC."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curation.audio.errors import AudioError
from curation.audio.waveform import resample_to_flac
from curation.catalog.reload import decode_segment, reload_bytes
from curation.publish.columns import AUDIO_FIELD
from curation.publish.splits import is_first_of_clip
from curation.publish.text import to_file_key
from curation.schema import AUDIO_TYPE
from curation.storage.files import Storage

THREADS = 4


@dataclass
class AudioOutcome:
    """Number of clips with the annotated bytes (`same`) and with other files (`other`).

    `excluded` maps the id of each clip without usable audio to the reason.
    """

    same: int = 0
    other: int = 0
    excluded: dict[str, str] = field(default_factory=dict)


def add_audio_column(
    storage: Storage, rows: pa.Table, sample_rate_hz: int, exact: bool
) -> tuple[pa.Table, AudioOutcome]:
    """Read the audio of the rows' clips into a column `audio`.

    Returns the rows whose audio could be read, and the outcome for all clips.
    """
    firsts = pa.array(is_first_of_clip(rows["clip_id"]))
    clips = rows.filter(firsts).select(["clip_id", "uri", "from_s", "to_s", "audio_sha256"])
    clips = clips.rename_columns({"from_s": "start_s", "to_s": "end_s"})
    outcome = AudioOutcome()
    sounds: list[dict[str, Any] | None] = []
    for clip_id, same, flac in _read(storage, clips.to_pylist(), sample_rate_hz, exact):
        if isinstance(flac, str):
            outcome.excluded[clip_id] = flac
            sounds.append(None)
            continue
        outcome.same += same
        outcome.other += not same
        sounds.append({"bytes": flac, "path": f"{to_file_key(clip_id)}.flac"})
    column = pa.array(sounds, AUDIO_TYPE).take(pc.index_in(rows["clip_id"], clips["clip_id"]))
    with_audio = rows.append_column(AUDIO_FIELD, column)
    return with_audio.filter(with_audio["audio"].is_valid()), outcome


def _read(
    storage: Storage, clips: list[dict[str, Any]], sample_rate_hz: int, exact: bool
) -> Iterator[tuple[str, bool, bytes | str]]:
    """Each clip's id, whether its bytes are those annotated, and its FLAC or a reason."""

    def one(clip: dict[str, Any]) -> tuple[str, bool, bytes | str]:
        clip_id = clip["clip_id"]
        try:
            data, name, same = reload_bytes(storage, clip)
            if exact and not same:
                return clip_id, same, "its audio file has changed since it was annotated"
            sound = decode_segment(data, name, clip)
            flac = resample_to_flac(sound.waveform, sound.sample_rate_hz, sample_rate_hz)
            return clip_id, same, flac
        except FileNotFoundError:
            return clip_id, False, "its audio file is no longer there"
        except AudioError as error:
            return clip_id, False, f"its audio cannot be decoded: {error.kind}"
        except (OSError, ValueError) as error:
            return clip_id, False, f"its audio cannot be read: {type(error).__name__}"

    with ThreadPoolExecutor(THREADS) as threads:
        yield from threads.map(one, clips)
