"""Lists the known models by part and kind, with licence, size and notes."""

import json
import math
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

from safetensors import safe_open

from curation.models.files import NETWORK_WEIGHTS
from curation.models.reference import reference_model_dir

# The others are held in bfloat16 where nothing else is said.
_FLOAT32_KINDS = ("tag_guided", "remote_code", "clap")
_BUILT_IN_NOTE = "built in; trained on procedural sounds alone, of 44 classes"


@dataclass(frozen=True)
class CatalogueEntry:
    """A model that a section of run.yaml can name; `catalogue.json` lists the published models.

    Attributes:
        kind: the section's `kind`; "classifier" for taggers, whose section has no `kind`.
        licence: as on the model's card; "unverified" if the card was not read.
        parameters: number of parameters as published, rounded, the upper end of a range; or counted
            from transformers' class if that has the sizes.
        sample_rate_hz: sampling rate of the audio that the model takes; None if its own code
            decides.
        tags: whether the captioner takes a clip's tags; None for other parts.
        note: requirements and traps of the model.
    """

    part: Literal["captioner", "scorer", "tagger"]
    kind: str
    model: str
    licence: str
    parameters: int
    sample_rate_hz: int | None
    tags: bool | None
    note: str

    @property
    def weight_bytes(self) -> int:
        """Memory of the weights at their precision; activations need more memory."""
        return self.parameters * (4 if self.kind in _FLOAT32_KINDS else 2)


def list_catalogue() -> list[CatalogueEntry]:
    """List all known models by part; the values of built-in models come from the shipped files."""
    text = resources.files(__package__).joinpath("catalogue.json").read_text(encoding="utf-8")
    entries = [*_built_in(), *(CatalogueEntry(**row) for row in json.loads(text))]
    return sorted(entries, key=lambda entry: entry.part)


def _built_in() -> list[CatalogueEntry]:
    licence, rate_hz = "this package's", 16_000
    captioner, clap = (
        _parameters(Path(reference_model_dir(kind))) for kind in ("captioner", "clap")
    )
    return [
        CatalogueEntry(
            "captioner",
            "tag_guided",
            "reference",
            licence,
            captioner,
            rate_hz,
            True,
            _BUILT_IN_NOTE,
        ),
        CatalogueEntry("scorer", "clap", "reference", licence, clap, rate_hz, None, _BUILT_IN_NOTE),
    ]


def _parameters(folder: Path) -> int:
    with safe_open(folder / NETWORK_WEIGHTS, framework="np") as weights:
        return sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())
