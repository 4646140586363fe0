"""Base class of loaded captioners that consist of a transformers model and its processor."""

from collections.abc import Callable
from pathlib import Path

from transformers.configuration_utils import PreTrainedConfig

from curation.config.models import PretrainedConfig
from curation.models import pretrained, weights
from curation.models.captioners.generated_text import GeneratedText
from curation.models.decoding.transformers_sampling import SampledText


class PretrainedGenerator:
    """A loaded captioner; its arguments are those of `pretrained.load_generative_model`."""

    def __init__(
        self,
        folder: Path,
        config: PretrainedConfig,
        select_class: Callable[[PreTrainedConfig], pretrained.ModelClassChoice | None],
        expected: str,
        device: str,
    ) -> None:
        self._model, self._processor = pretrained.load_generative_model(
            folder, config, select_class, expected, device
        )

    def move(self, device: str) -> None:
        """Move the weights to another device; "auto" is the GPU if there is one."""
        self._model.to(weights.resolve_device(device))

    def _decode_text(self, method: str, written: SampledText | None) -> GeneratedText | None:
        if written is None:
            return None
        text = self._processor.tokenizer.decode(written.ids, skip_special_tokens=True)
        return GeneratedText(text, method, written.log_prob, written.ended)
