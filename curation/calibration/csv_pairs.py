"""The pairs of a CSV: recordings with captions of the user's own, judged right or wrong or not."""

import csv
import io
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curation.audio.decode import DecodedAudio, check_audible, decode_audio
from curation.audio.errors import AudioError
from curation.calibration import embeddings
from curation.calibration.thresholds import ScoredPairs
from curation.config.run import RunConfig
from curation.errors import InputError
from curation.models.scorers.base import Scorer
from curation.storage.files import Storage

_JUDGED = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@dataclass(frozen=True)
class LabeledCaption:
    """A row of the CSV; `right` is None where nobody judged."""

    file: str
    text: str
    right: bool | None


def score_csv_pairs(config: RunConfig, scorer: Scorer, csv_uri: str, clips: int) -> ScoredPairs:
    """The captions of a random sample of a CSV's files, scored with all files of the sample.

    A caption does not belong to a file for which it is not listed. Raises InputError where the
    CSV or a file cannot be read, or fewer than two files are listed.
    """
    storage = Storage(config.storage)
    rows = read_captions_csv(storage, csv_uri)
    files = _sample_files(csv_uri, rows, clips, config.seed)
    rows = [row for row in rows if row.file in files]
    listed = {(row.file, row.text) for row in rows}
    own = np.array([files.index(row.file) for row in rows])
    scorer.setup()
    folder = posixpath.dirname(csv_uri)
    uris = [posixpath.join(folder, file) for file in files]
    sounds = embeddings.embed_sounds(
        scorer, ((uri, _decode_file(storage, config, uri)) for uri in uris)
    )
    scores = scorer.embed_text([row.text for row in rows]) @ sounds.T
    judged = any(row.right is not None for row in rows)
    return ScoredPairs(
        source="judged" if judged else "true",
        matched=scores[np.arange(len(rows)), own],
        shuffled=scores,
        unrelated=np.array([[(file, row.text) not in listed for file in files] for row in rows]),
        words=np.array([len(row.text.split()) for row in rows]),
        right=np.array([bool(row.right) for row in rows]) if judged else None,
    )


def read_captions_csv(storage: Storage, csv_uri: str) -> list[LabeledCaption]:
    """The rows of a CSV: file (absolute, or beside the CSV), caption, and right (1 or 0) if judged.

    Raises InputError naming the line and what was expected.
    """
    try:
        text = storage.read_bytes(csv_uri).decode("utf-8-sig")
    except (FileNotFoundError, IsADirectoryError, UnicodeDecodeError) as error:
        raise InputError(f"{csv_uri}: no CSV in UTF-8 here: {error}") from error
    reader = csv.DictReader(io.StringIO(text))
    columns = reader.fieldnames or []
    if not {"file", "caption"} <= set(columns):
        raise InputError(
            f"{csv_uri}: columns {', '.join(columns)}; expected file and caption, and right where "
            "captions are judged"
        )
    judged = "right" in columns
    return [
        LabeledCaption(
            row["file"],
            row["caption"],
            _parse_right(csv_uri, line, row["right"]) if judged else None,
        )
        for line, row in enumerate(reader, 2)
    ]


def _parse_right(csv_uri: str, line: int, value: str | None) -> bool:
    found = _JUDGED.get((value or "").strip().lower())
    if found is None:
        raise InputError(f"{csv_uri}, line {line}: right is {value!r}, expected 1 or 0")
    return found


def _sample_files(csv_uri: str, rows: Sequence[LabeledCaption], clips: int, seed: int) -> list[str]:
    files = sorted({row.file for row in rows})
    if len(files) < 2:
        found = "one file" if files else "no file"
        raise InputError(f"{csv_uri}: {found} listed, expected two or more")
    return [files[place] for place in np.random.default_rng(seed).permutation(len(files))[:clips]]


def _decode_file(storage: Storage, config: RunConfig, uri: str) -> DecodedAudio:
    """The file decoded as a run decodes it."""
    try:
        data = storage.read_bytes(uri)
        decoded = decode_audio(data, uri, None, None, config.audio.max_duration_s)
        check_audible(decoded, uri, config.audio.silence_dbfs)
    except (OSError, AudioError) as error:
        raise InputError(f"{uri}: {error}") from error
    return decoded
