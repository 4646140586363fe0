"""Base class of the adapters of pretrained captioners."""

from dataclasses import dataclass
from functools import cached_property

from curation.config.models import PromptedConfig, UntaggedConfig
from curation.models.pretrained_adapter import PretrainedAdapter


@dataclass(frozen=True, kw_only=True)
class PretrainedCaptioner(PretrainedAdapter):
    """An adapter of a pretrained captioner; `identity` also states whether it gets the tags."""

    config: PromptedConfig | UntaggedConfig

    @cached_property
    def identity(self) -> dict[str, str]:
        return {**super().identity, "guidance": self.config.guidance}

    @property
    def max_tokens_per_clip(self) -> int:
        return self.config.candidates * self.config.max_tokens
