"""The options of a publication. They and the source of the rows determine every byte."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from curation.errors import InputError

# As the hub writes it.
UNKNOWN_LICENCE = "unknown"


# They describe the dataset, and are in its card and metadata alone, not in its data.
DESCRIPTIVE_OPTIONS = frozenset({"name", "licence", "about", "creator", "url"})


class DatasetFormat(StrEnum):
    """The file formats of a dataset."""

    PARQUET = "parquet"
    WEBDATASET = "webdataset"
    JSONL = "jsonl"


@dataclass(frozen=True)
class PublishOptions:
    """The options of a publication.

    `validation` and `test` are shares of the clips; the remaining clips are in the train split.
    `licence` is the licence of captions and scores. `about` describes the recordings.
    """

    name: str
    formats: tuple[DatasetFormat, ...] = (DatasetFormat.PARQUET,)
    audio: bool = False
    sample_rate_hz: int = 32000
    validation: float = 0.05
    test: float = 0.05
    licence: str = UNKNOWN_LICENCE
    language: str = "en"
    about: str | None = None
    creator: str | None = None
    url: str | None = None

    def __post_init__(self) -> None:
        if self.validation < 0 or self.test < 0 or self.validation + self.test >= 1:
            raise InputError(
                f"validation {self.validation} and test {self.test}: expected shares of the clips "
                "that leave some for train"
            )
        if DatasetFormat.WEBDATASET in self.formats and not self.audio:
            raise InputError(
                "format webdataset: its tars contain audio; publish with --audio if licences "
                "allow it, or publish captions as parquet, from which others can rebuild the tars "
                "with tagscribe rebuild"
            )

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "formats": [str(each) for each in self.formats]}
