"""The `catalog:` section of a run's YAML: the source of the clips."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from curation.section import DataPath, Section

# AudioSet classes, ids or names, by label: one, several, or none; or the URI of a CSV of them.
TagMap = dict[str, str | list[str] | None] | DataPath


class CatalogSection(Section):
    """The base class of catalog sections. A value of another type than its key's is an error."""

    model_config = ConfigDict(strict=True)

    tag_map: TagMap | None = Field(
        None,
        description="AudioSet classes of labels of your own, as {label: class, id, list of them or "
        "null}, or as a .csv or .jsonl with the columns label and tag; null: none.",
    )
    unknown_tags: Literal["error", "drop"] = Field(
        "error", description="Labels that are no AudioSet class: an error, or left out."
    )


class AudiosetConfig(CatalogSection):
    """A segment list in AudioSet's format, and a folder of audio named by YouTube id."""

    kind: Literal["audioset"] = "audioset"
    segments: DataPath = Field(
        description="The CSV: YouTube id, start and end in seconds, class ids."
    )
    audio: DataPath = Field(
        description="Folder of audio, nested or not: <id>.wav, Y<id>.wav, <id>_<start>.flac, "
        "<id>_<start>_<end>.wav; start and end in seconds or milliseconds."
    )
    files: Literal["cut", "whole"] = Field(
        "cut",
        description="Content of a file named by its id alone: a clip already cut, or the whole "
        "recording, from which the listed segment is taken. A name with a start is a "
        "cut clip.",
    )


class FolderConfig(CatalogSection):
    """A folder of audio files, with or without a CSV or JSONL of metadata."""

    kind: Literal["folder"] = "folder"
    audio: DataPath = Field(description="Folder of audio, nested or not.")
    metadata: DataPath | None = Field(
        None,
        description="A .csv with a header, or a .jsonl; one row per clip. Without it every audio "
        "file of the folder is an untagged clip.",
    )
    file: str = Field("file", description="Column of the file's path within the folder.")
    id: str | None = Field(
        None,
        description="Column of the clip's id; null: the file's path without its extension, with "
        "_<start in ms> if there is a start.",
    )
    tags: str | None = Field(
        "tags", description="Column of the AudioSet classes, ids or names; null: untagged."
    )
    tag_separator: str = Field(
        ";", min_length=1, description="Separator of classes in a text column."
    )
    start_s: str | None = Field(
        None, description="Column of the start in the file, in seconds; null: its beginning."
    )
    end_s: str | None = Field(
        None, description="Column of the end in the file, in seconds; null: its end."
    )


class ParquetConfig(CatalogSection):
    """Parquet files that contain the audio, in the layout of AudioSet on Hugging Face."""

    kind: Literal["parquet"] = "parquet"
    data: DataPath = Field(description="A Parquet file, or a folder of them.")
    id: str = Field("video_id", description="Column of the clip's id.")
    audio: str = Field(
        "audio",
        description="Column of the audio: struct of bytes and path. Without bytes, the path "
        "names a file below the folder of the Parquet file.",
    )
    tags: str | None = Field(
        "labels", description="Column of lists of AudioSet classes, ids or names; null: untagged."
    )


class WebDatasetConfig(CatalogSection):
    """WebDataset tars, in which each clip is `<key>.<audio extension>` and `<key>.json`."""

    kind: Literal["webdataset"] = "webdataset"
    data: DataPath = Field(description="An uncompressed tar file, or a folder of them.")
    id: str | None = Field(
        None, description="Key of the clip's id in the JSON; null: the name within the tar."
    )
    tags: str | None = Field(
        "tags",
        description="Key in the JSON of the list of AudioSet classes, ids or names; a clip "
        "without it is untagged. null: all are untagged.",
    )


CatalogConfig = Annotated[
    AudiosetConfig | FolderConfig | ParquetConfig | WebDatasetConfig, Field(discriminator="kind")
]
