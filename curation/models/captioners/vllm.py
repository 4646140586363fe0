"""The adapter of audio-language models that vLLM runs.

The adapter turns clips into requests, and responses into candidates. In a run, `ray.data.llm` sends
the requests (see `vllm_stage`). If vLLM is installed beside this package, for example to check a
model, the adapter can also run an engine in its own process.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from curation.config.models import REVISIONS, VllmConfig
from curation.models.captioners.base import Candidate, candidate_seed
from curation.models.captioners.chat_template import (
    build_conversation,
    pad_to_one_token,
    require_chat_template,
)
from curation.models.captioners.generated_text import GeneratedText, build_candidates
from curation.models.captioners.prompted import PromptedCaptioner
from curation.models.captioners.vllm_requests import VllmRequest, VllmResponse
from curation.models.waveform_checks import apply_to_valid_clips
from curation.schema import Failure, Tag

if TYPE_CHECKING:
    from curation.models.captioners.vllm_engine import VllmEngine


@dataclass(frozen=True, kw_only=True)
class VllmCaptioner(PromptedCaptioner):
    """Implements `Captioner` with an audio-language model in vLLM; the model needs a chat template.

    Each candidate is one request with its own seed.
    """

    config: VllmConfig

    @cached_property
    def identity(self) -> dict[str, str]:
        return {**super().identity, "engine": f"vllm {self.config.version}"}

    @property
    def model_source(self) -> str:
        """The directory or hub id by which vLLM finds the model on every machine."""
        folder = Path(self.model)
        return str(folder.absolute()) if folder.is_dir() else self.model

    @property
    def engine_arguments(self) -> dict[str, Any]:
        """The arguments of vLLM's engine, from the run's YAML."""
        revision = None if Path(self.model).is_dir() else self.revision
        return {
            "limit_mm_per_prompt": {"audio": 1},
            **self.config.engine,
            **(dict.fromkeys(REVISIONS, revision) if revision else {}),
            "dtype": self.config.dtype,
            "trust_remote_code": self.config.trust_remote_code,
        }

    def load_processor(self) -> None:
        """Load the processor that builds requests. Raises InputError if there is none."""
        _ = self._processor

    def build_requests(
        self, waveform: np.ndarray, tags: Sequence[Tag], seed: int, wanted: range
    ) -> list[VllmRequest]:
        """Build the requests for the candidates `wanted` of a valid clip."""
        prompt = self._render_prompt(self.prompt(tags))
        sound = pad_to_one_token(waveform, self.sample_rate_hz)
        return [VllmRequest(prompt, sound, self._sampling(seed, number)) for number in wanted]

    def parse_responses(
        self, responses: Sequence[VllmResponse | Failure], tags: Sequence[Tag]
    ) -> list[Candidate] | Failure:
        """Build a clip's candidates from its responses; if any request failed, the clip fails."""
        answers: list[GeneratedText | None] = []
        for response in responses:
            if isinstance(response, Failure):
                return response
            answers.append(self._parse_response(response))
        return build_candidates(answers, self.labels(tags))

    def caption(
        self,
        waveforms: Sequence[np.ndarray],
        guidance: Sequence[Sequence[Tag]],
        seeds: Sequence[int],
        first: int = 0,
        last: int | None = None,
    ) -> list[list[Candidate] | Failure]:
        """Write the candidates of a batch of clips with an engine in this process; see `Captioner`.

        Texts that are not captions (see `cleaning`) are discarded. A clip without any caption is a
        failure, as are empty clips, samples that are not finite, and requests that vLLM refuses.
        """
        wanted = range(self.config.candidates)[first:last]

        def caption_valid(valid: list[int]) -> list[list[Candidate] | Failure]:
            requests_by_clip = [
                self.build_requests(waveforms[clip], guidance[clip], seeds[clip], wanted)
                for clip in valid
            ]
            responses = iter(
                self._loaded.generate_responses([one for clip in requests_by_clip for one in clip])
            )
            return [
                self.parse_responses([next(responses) for _ in requests], guidance[clip])
                for clip, requests in zip(valid, requests_by_clip, strict=True)
            ]

        return apply_to_valid_clips(waveforms, "caption", caption_valid)

    def _sampling(self, seed: int, number: int) -> dict[str, Any]:
        return {
            "seed": candidate_seed(seed, number) >> 1,
            "temperature": self.config.temperature,
            "top_p": self.config.top_p,
            "max_tokens": self.config.max_tokens,
            "logprobs": 0,  # of the tokens that were drawn, and no others
        }

    def _parse_response(self, response: VllmResponse) -> GeneratedText | None:
        if not all(map(math.isfinite, response.log_probs)):
            return None
        log_prob = fmean(response.log_probs) if response.log_probs else None
        return GeneratedText(
            response.text, "sample", log_prob, len(response.log_probs) < self.config.max_tokens
        )

    def _render_prompt(self, prompt: str) -> str:
        """A prompt as the model's chat template writes it, with the place of the sound."""
        text = self._processor.apply_chat_template(
            build_conversation(prompt), tokenize=False, add_generation_prompt=True
        )
        return str(text)

    @cached_property
    def _processor(self) -> Any:
        from curation.models import pretrained

        processor = pretrained.load_processor(self._folder, self.config)
        require_chat_template(self._folder, processor)
        return processor

    @cached_property
    def _loaded(self) -> VllmEngine:
        from curation.models.captioners.vllm_engine import VllmEngine

        return VllmEngine(
            self.model_source, self.engine_arguments, self.config.version, self.sample_rate_hz
        )
