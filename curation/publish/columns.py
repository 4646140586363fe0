"""Defines the columns of a published dataset: their meaning, and their types for `datasets`."""

import json
from typing import Any

import pyarrow as pa

from curation.schema import AUDIO_TYPE

_MODEL = "Model and revision, or the start of its weights' SHA-256."

# In this order, where the source has them.
COLUMN_DESCRIPTIONS = {
    "clip_id": "The clip's name; <YouTube id>_<start in ms> for clips of AudioSet.",
    "caption": "What the captioner wrote.",
    "clap_score": "Cosine similarity of audio and caption by the scorer; comparable within one "
    "scorer alone.",
    "second_score": "The same by the second scorer, on a scale of its own.",
    "log_prob": "The captioner's own log-probability, mean a token.",
    "rank": "1 for the clip's best caption, 2 for the next.",
    "tags": "AudioSet classes of the clip: mid (AudioSet's id), name, confidence, and origin: "
    "human as listed with the clip, predicted by the tagger.",
    "tag_scores": "Cosine similarity of audio and name by the scorer, for each of the tags.",
    "guidance": "The tags as given to the captioner, in prose.",
    "captioner": _MODEL,
    "scorer": _MODEL,
    "second_scorer": _MODEL,
    "file": "The audio's path in the folder that it was read from; of audio packed in tars or "
    "Parquet, the clip's name.",
    "start_s": "Start of the annotated segment, in s; for AudioSet, within the listed one.",
    "end_s": "Where it ends, in s.",
    "audio_sha256": "SHA-256 of the bytes of the audio file that was annotated.",
    "licence": "Licence of the clip's audio.",
    "audio": "The annotated segment, mono 16-bit FLAC.",
}
# What not every run has; a dataset in which all of one is null is without that column.
OPTIONAL_COLUMNS = ("second_score", "log_prob", "tag_scores", "second_scorer")
# What belongs to a caption; all else is its clip's.
CAPTION_COLUMNS = ("caption", "clap_score", "second_score", "log_prob", "rank")

AUDIO_FIELD = pa.field("audio", AUDIO_TYPE)
_DTYPES = {"string": "string", "float": "float32", "double": "float64", "int32": "int32"}


def select_public_columns(rows: pa.Table) -> pa.Table:
    """Select the published columns, in order.

    The location of a clip's file is not published.
    """
    return rows.select([name for name in COLUMN_DESCRIPTIONS if name in rows.column_names])


def add_features_metadata(rows: pa.Table, sample_rate_hz: int) -> pa.Table:
    """Add schema metadata to the rows, from which `datasets` reads the types of the columns."""
    features = {
        field.name: {"sampling_rate": sample_rate_hz, "_type": "Audio"}
        if field.name == "audio"
        else _feature(field.type)
        for field in rows.schema
    }
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return rows.replace_schema_metadata(metadata)


def _feature(kind: pa.DataType) -> Any:
    if pa.types.is_list(kind):
        return [_feature(kind.value_type)]
    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind}
    return {"dtype": _DTYPES[str(kind)], "_type": "Value"}
