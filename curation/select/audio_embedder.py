"""Reads the audio of accepted pairs again, checks it, and adds it to tables as FLAC."""

import posixpath
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from curation.audio.waveform import resample_to_flac
from curation.catalog.reload import reload_audio
from curation.config.run import TableConfig
from curation.errors import InputError
from curation.schema import AUDIO_TYPE
from curation.storage.files import Storage

AUDIO_THREADS = 4


class AudioEmbedder:
    """Reads the clips of accepted pairs again, and adds their audio as 16-bit FLAC."""

    def __init__(self, storage: Storage, config: TableConfig) -> None:
        self._storage = storage
        self._rate_hz = config.sample_rate_hz
        self._threads = ThreadPoolExecutor(AUDIO_THREADS)

    def embed(self, pairs: pa.Table) -> pa.Table:
        """Return pairs with a column `audio` (AUDIO_TYPE).

        Raises InputError if audio is missing or has changed since it was annotated.
        """
        columns = ("clip_id", "uri", "start_s", "end_s", "audio_sha256")
        rows = pairs.select(columns).to_pylist()
        audio_column = pa.array(self._threads.map(self._flac, rows), AUDIO_TYPE)
        return pairs.append_column("audio", audio_column)

    def _flac(self, row: dict[str, Any]) -> dict[str, Any]:
        try:
            decoded = reload_audio(self._storage, row)
        except InputError as error:
            raise InputError(
                f"{error}; put the file back, annotate in another run folder, or set "
                "table.audio: reference"
            ) from error
        flac = resample_to_flac(decoded.waveform, decoded.sample_rate_hz, self._rate_hz)
        return {"bytes": flac, "path": _audio_path(row["clip_id"])}


def _audio_path(clip_id: str) -> str:
    """A clip's file name in the table, without a path out of the folder, whatever its id is."""
    return posixpath.normpath(f"/{clip_id}.flac").lstrip("/")
