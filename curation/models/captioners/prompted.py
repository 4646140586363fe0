"""Base class of the adapters of audio-language models; builds the prompt for a clip's tags."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from curation.config.models import PromptedConfig
from curation.models.captioners.pretrained import PretrainedCaptioner
from curation.schema import Tag
from curation.tags.guidance import class_phrase

_log = logging.getLogger("tagscribe.captioner")


@dataclass(frozen=True, kw_only=True)
class PromptedCaptioner(PretrainedCaptioner):
    """An adapter of a model that answers a prompt about a clip."""

    expected = "an audio-language model"

    config: PromptedConfig

    def setup(self) -> None:
        super().setup()
        if not self.config.untagged_prompt:
            _log.warning("%s takes no prompt: it captions untagged", self.model)

    def prompt(self, tags: Sequence[Tag]) -> str:
        """Build the prompt for a clip with these tags."""
        guiding = self._guiding_tags(tags)
        names = ", ".join(class_phrase(tag.mid) for tag in guiding)
        return (
            self.config.prompt.replace("{tags}", names) if guiding else self.config.untagged_prompt
        )

    def labels(self, tags: Sequence[Tag]) -> list[str]:
        """Return the names of tags in the prompt; a text that only lists them is not a caption."""
        return [
            name for tag in self._guiding_tags(tags) for name in (class_phrase(tag.mid), tag.name)
        ]

    def _guiding_tags(self, tags: Sequence[Tag]) -> Sequence[Tag]:
        return tags if self.config.guidance == "tags" else ()
