"""Base class of the adapters of transformers models: finds their files and sampling rate."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from curation.config.models import PretrainedConfig
from curation.models import files
from curation.models.adapter import Adapter


@dataclass(frozen=True, kw_only=True)
class PretrainedAdapter(Adapter):
    """An adapter of a directory or hub id in the format of transformers.

    Attributes:
        config: the section of the run's YAML that names the model.
    """

    expected: ClassVar[str]

    config: PretrainedConfig

    @cached_property
    def sample_rate_hz(self) -> int:
        return files.read_sample_rate_hz(self._folder)

    @cached_property
    def _folder(self) -> Path:
        code = self.config.trust_remote_code
        return files.locate_pretrained_model(self.model, self.revision, self.expected, code)
