"""The adapter of audio-language models: they are asked for a caption, and told the tags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from curation.config.models import AudioLlmConfig
from curation.models.captioners.base import Candidate
from curation.models.captioners.prompted import PromptedCaptioner
from curation.schema import Failure, Tag

if TYPE_CHECKING:
    from curation.models.captioners.audio_llm_generator import AudioLlmGenerator


@dataclass(frozen=True, kw_only=True)
class AudioLlmCaptioner(PromptedCaptioner):
    """Fulfils `Captioner` with any audio-text-to-text model of transformers with a chat template.

    All candidates are sampled from one hearing of the clip.
    """

    config: AudioLlmConfig

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
        return self._loaded.caption(
            waveforms,
            [self.prompt(tags) for tags in guidance],
            [self.labels(tags) for tags in guidance],
            seeds,
            range(self.config.candidates)[first:last],
        )

    @cached_property
    def _loaded(self) -> AudioLlmGenerator:
        from curation.models.captioners.audio_llm_generator import AudioLlmGenerator

        return AudioLlmGenerator(self._folder, self.config, self.expected, self.device)
