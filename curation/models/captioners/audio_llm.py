"""The adapter of audio-language models, which receive a prompt with the clip's tags."""

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
    """Implements `Captioner` with a transformers model that answers chats about audio with text.

    All candidates of a clip are sampled from one encoding of the clip.
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

        Texts that are not captions (see `cleaning`) are discarded. A clip without any caption is a
        failure, as are empty clips and samples that are not finite. The model's processor decides
        which part of a long clip is used. Models with Whisper's encoder mostly use the first 30 s.
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
