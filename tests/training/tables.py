"""Small curated tables over recordings of noise, for the tests of what reads them."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile

from curation import table
from curation.audio.decode import decode_audio
from curation.audio.waveform import encode_flac, to_int16
from curation.catalog.clip_bytes import read_clip_bytes
from curation.schema import PAIR_SCHEMA, PAIR_SCHEMA_WITH_AUDIO
from curation.storage.files import Storage

RATE_HZ = 8000


def write_wavs(folder: Path, clips: int) -> list[str]:
    """Full-scale noise of 0.3 to 1.5 s, in no order of length."""
    folder.mkdir()
    uris = []
    for clip in range(clips):
        rng = np.random.default_rng((5, clip))
        samples = rng.integers(-32768, 32768, int(RATE_HZ * rng.uniform(0.3, 1.5)), dtype=np.int16)
        uris.append(str(folder / f"{clip:03d}.wav"))
        soundfile.write(uris[-1], samples, RATE_HZ, subtype="PCM_16")
    return uris


def pair_rows(uris: list[str]) -> list[dict[str, Any]]:
    """One to three pairs a clip, from 0.1 s on; scores fall with the rank."""
    rows = []
    for clip, uri in enumerate(uris):
        with Storage().open_input(uri) as file:
            info = soundfile.info(file)
        for rank in range(1, 2 + clip % 3):
            rows.append(
                {
                    "clip_id": f"clip{clip:03d}",
                    "caption": f"caption {rank} of clip {clip}",
                    "clap_score": 0.5 - 0.05 * rank,
                    "log_prob": -float(rank),
                    "rank": rank,
                    "tags": [],
                    "guidance": [],
                    "captioner": "c@1",
                    "scorer": "s@1",
                    "uri": uri,
                    "start_s": 0.1,
                    "end_s": info.frames / info.samplerate,
                }
            )
    return rows


def commit(uri: str, rows: list[dict[str, Any]], embed: bool = False, **lineage: Any) -> str:
    """Commit a version; with `embed` each row carries its sound, as select writes it."""
    if embed:
        rows = [{**row, "audio": _embedded(row)} for row in rows]
    schema = PAIR_SCHEMA_WITH_AUDIO if embed else PAIR_SCHEMA
    pairs = pa.Table.from_pylist(rows, schema)
    table.commit_table(
        Storage(),
        uri,
        schema,
        lambda: pairs.to_batches(max_chunksize=64),
        {"made": "here", **lineage},
    )
    return uri


def _embedded(row: dict[str, Any]) -> dict[str, Any]:
    data, name = read_clip_bytes(Storage(), row["uri"])
    decoded = decode_audio(data, name, row["start_s"], row["end_s"], float("inf"))
    flac = encode_flac(to_int16(decoded.waveform), decoded.sample_rate_hz)
    return {"bytes": flac, "path": f"{row['clip_id']}.flac"}
