"""The adapter of audio-language models: they are asked for a caption, and told the tags."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from curation.captioners.base import Candidate
from curation.captioners.pretrained import PretrainedCaptioner
from curation.models.config import AudioLlmConfig
from curation.schema import Failure, Tag
from curation.tags.guidance import phrase

if TYPE_CHECKING:
    from curation.captioners.audio_llm_writer import AudioLlmWriter

_log = logging.getLogger("tagscribe.captioner")


@dataclass(frozen=True, kw_only=True)
class AudioLlm(PretrainedCaptioner):
    """Fulfils `Captioner` with any audio-text-to-text model of transformers with a chat template.

    All candidates are sampled from one hearing of the clip.
    """

    expected = "an audio-language model"

    config: AudioLlmConfig

    def setup(self) -> None:
        super().setup()
        if not self.config.untagged_prompt:
            _log.warning("%s takes no prompt: it captions untagged", self.model)

    def caption(
        self,
        waveforms: Sequence[np.ndarray],
        guidance: Sequence[Sequence[Tag]],
        seeds: Sequence[int],
        first: int = 0,
        last: int | None = None,
    ) -> list[list[Candidate] | Failure]:
        """Write the candidates of a batch of clips; see `Captioner`.

        What is no caption (`cleaning`) is left out; a clip for which nothing else was written is a
        failure, as are empty clips and samples that are not finite. What a model hears of a long
        clip is its processor's affair: of those built on Whisper's encoder mostly the first 30 s.
        """
        handed = [tags if self.config.guidance == "tags" else () for tags in guidance]
        return self._loaded.caption(
            waveforms,
            [self._prompt(tags) for tags in handed],
            [[name for tag in tags for name in (phrase(tag.mid), tag.name)] for tags in handed],
            seeds,
            range(self.config.candidates)[first:last],
        )

    def _prompt(self, tags: Sequence[Tag]) -> str:
        names = ", ".join(phrase(tag.mid) for tag in tags)
        return self.config.prompt.replace("{tags}", names) if tags else self.config.untagged_prompt

    @cached_property
    def _loaded(self) -> AudioLlmWriter:
        from curation.captioners.audio_llm_writer import AudioLlmWriter

        return AudioLlmWriter(self._folder, self.config, self.expected, self.device)
