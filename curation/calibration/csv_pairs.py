"""The pairs of a CSV: recordings and the user's own captions, which people may have judged."""

import io
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.audio.decode import DecodedAudio, check_audible, decode_audio
from curation.audio.errors import AudioError
from curation.audio.waveform import measure_levels
from curation.calibration import embeddings
from curation.calibration.thresholds import ScoredPairs
from curation.catalog.csv_file import read_csv
from curation.catalog.reload import reload_audio
from curation.config.run import RunConfig
from curation.errors import InputError
from curation.models.scorers.base import Scorer
from curation.run import evidence as run_evidence
from curation.run.layout import RunFolder
from curation.schema import OK
from curation.storage.files import Storage

_JUDGED = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@dataclass(frozen=True)
class LabeledCaption:
    """A row of the CSV. `right` is None if nobody judged the caption.

    `sound` is a file. In an export of `tagscribe review` it is the id of a clip of the run.
    """

    sound: str
    text: str
    right: bool | None


def score_csv_pairs(config: RunConfig, scorer: Scorer, csv_uri: str, clips: int) -> ScoredPairs:
    """Score captions of a CSV against all files of a random sample of the CSV's files.

    The captions are those of the sampled files. The pair of a caption and a file counts as shuffled
    if the CSV does not list it. Raises InputError if the CSV or a file cannot be read, or if the
    CSV lists fewer than two files.
    """
    storage = Storage(config.storage)
    rows, of_clips = read_captions_csv(storage, csv_uri)
    names = _sample_sounds(csv_uri, rows, clips, config.seed)
    rows = [row for row in rows if row.sound in names]
    listed = {(row.sound, row.text) for row in rows}
    own = np.array([names.index(row.sound) for row in rows])
    decoded = (
        _decode_clips(config, csv_uri, names) if of_clips else _decode_files(config, csv_uri, names)
    )
    scorer.setup()
    sounds = embeddings.embed_sounds(scorer, decoded)
    scores = scorer.embed_text([row.text for row in rows]) @ sounds.T
    judged = any(row.right is not None for row in rows)
    return ScoredPairs(
        source="judged" if judged else "true",
        matched=scores[np.arange(len(rows)), own],
        shuffled=scores,
        unrelated=np.array([[(name, row.text) not in listed for name in names] for row in rows]),
        words=np.array([len(row.text.split()) for row in rows]),
        right=np.array([bool(row.right) for row in rows]) if judged else None,
    )


def read_captions_csv(storage: Storage, csv_uri: str) -> tuple[list[LabeledCaption], bool]:
    """Read the rows of a CSV: a sound, its caption, and optionally whether the caption is right.

    The sound is the column `file`, a path that is absolute or relative to the CSV. A CSV without
    this column has the column `clip_id`, as `tagscribe review --export` writes it. The optional
    column `right` is 1 or 0.

    Returns the rows, and whether they name clips of the run. Raises InputError with the line and
    what was expected.
    """
    try:
        data = storage.read_bytes(csv_uri)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(f"{csv_uri}: no CSV here: {error}") from error
    rows: list[LabeledCaption] = []
    of_clips = False
    for place, row in read_csv(csv_uri, io.BytesIO(data), "file, caption", _check_columns):
        of_clips = "file" not in row
        sound = "clip_id" if of_clips else "file"
        if not (row[sound] and row["caption"]):
            raise InputError(f"{place}: no {sound} or no caption")
        right = _parse_right(place, row["right"]) if "right" in row else None
        rows.append(LabeledCaption(row[sound], row["caption"], right))
    return rows, of_clips


def _check_columns(place: str, columns: list[str]) -> None:
    if not {"file", "clip_id"} & set(columns) or "caption" not in columns:
        raise InputError(
            f"{place}: columns {', '.join(columns)}; expected file (or clip_id) and caption, and "
            "right where captions are judged"
        )


def _parse_right(place: str, value: str) -> bool:
    found = _JUDGED.get(value.strip().lower())
    if found is None:
        raise InputError(f"{place}: right is {value!r}, expected 1 or 0")
    return found


def _sample_sounds(
    csv_uri: str, rows: Sequence[LabeledCaption], clips: int, seed: int
) -> list[str]:
    names = sorted({row.sound for row in rows})
    if len(names) < 2:
        found = "one sound" if names else "no sound"
        raise InputError(f"{csv_uri}: {found} listed, expected two or more")
    return [names[place] for place in np.random.default_rng(seed).permutation(len(names))[:clips]]


def _decode_files(
    config: RunConfig, csv_uri: str, names: list[str]
) -> Iterator[tuple[str, DecodedAudio]]:
    """The files decoded as a run decodes them."""
    storage, folder = Storage(config.storage), posixpath.dirname(csv_uri)
    for uri in (posixpath.join(folder, name) for name in names):
        try:
            data = storage.read_bytes(uri)
            decoded = decode_audio(data, uri, None, None, config.audio.max_duration_s)
            levels = measure_levels(decoded.waveform)
            check_audible(decoded, levels, uri, config.audio.silence_dbfs)
        except (OSError, AudioError) as error:
            raise InputError(f"{uri}: {error}") from error
        yield uri, decoded


def _decode_clips(
    config: RunConfig, csv_uri: str, clip_ids: list[str]
) -> Iterator[tuple[str, DecodedAudio]]:
    """The segments of the run's clips that were annotated, decoded again."""
    run = RunFolder.from_config(config)
    columns = ["clip_id", "uri", "start_s", "end_s", "audio_sha256", "outcome"]
    wanted = pa.array(clip_ids, pa.string())
    rows = {
        row["clip_id"]: row
        for shard in run_evidence.list_done_shards(run)
        for part in run_evidence.read_evidence_shards(run, [shard], columns)
        for row in part.filter(pc.is_in(part["clip_id"], wanted)).to_pylist()
        if row["outcome"] == OK
    }
    for clip_id in clip_ids:
        if clip_id not in rows:
            raise InputError(
                f"{csv_uri}: clip {clip_id!r} has no captions in {config.run}; give the YAML of "
                "the run whose captions were marked"
            )
        try:
            yield clip_id, reload_audio(run.storage, rows[clip_id])
        except AudioError as error:
            raise InputError(f"clip {clip_id}: {error}") from error
