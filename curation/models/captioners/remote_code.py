"""The adapter of captioners that bring their own code and return word ids, such as effb2-trm."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from curation.config.models import RemoteCodeConfig
from curation.errors import InputError
from curation.models import files
from curation.models.captioners.untagged import UntaggedCaptioner

if TYPE_CHECKING:
    from curation.models.captioners.remote_code_generator import RemoteCodeGenerator


@dataclass(frozen=True, kw_only=True)
class RemoteCodeCaptioner(UntaggedCaptioner):
    """Implements `Captioner` with a hub model that has the interface of AudioCaption's models.

    The model's `config.json` has a `sample_rate`. Its code registers a class for `AutoModel`. The
    `forward` of this class takes audio, audio_length, sample_method, beam_size, max_length and
    temp, and returns word ids: see `hf_wrapper.py` of https://github.com/wsntxxn/AudioCaption. The
    model returns no log-probability. A clip for which its code raises an error is a failure.
    """

    expected = "a captioner with code of its own"

    config: RemoteCodeConfig

    @cached_property
    def sample_rate_hz(self) -> int:
        rate_hz = files.read_model_config(self._folder).get("sample_rate")
        if not rate_hz:
            raise InputError(
                f"{self._folder / 'config.json'}: no sample_rate; expected that of {self.expected}"
            )
        return int(rate_hz)

    @cached_property
    def identity(self) -> dict[str, str]:
        return {
            **super().identity,
            "tokenizer": self.config.tokenizer or self.model,
            "tokenizer_revision": self.config.tokenizer_revision or "",
        }

    @cached_property
    def _tokenizer_folder(self) -> Path:
        """The tokenizer's directory."""
        if self.config.tokenizer is None:
            return self._folder
        revision = self.config.tokenizer_revision
        return files.resolve_model_folder(
            self.config.tokenizer, revision, "a directory with tokenizer.json"
        )

    @cached_property
    def _loaded(self) -> RemoteCodeGenerator:
        from curation.models.captioners.remote_code_generator import RemoteCodeGenerator

        return RemoteCodeGenerator(
            self._folder,
            self._tokenizer_folder,
            self.config,
            self.expected,
            self.device,
            self.sample_rate_hz,
        )
