"""This package's networks as transformers classes, with `from_pretrained`, `generate` and so on.

No other module here imports this module. Importing it registers the classes with transformers' Auto
classes: `AutoModel` then opens the directory of a dual encoder, and `AutoModelForSpeechSeq2Seq`
that of a captioner.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSpeechSeq2Seq,
    GenerationConfig,
    GenerationMixin,
    PreTrainedModel,
)
from transformers.configuration_utils import PreTrainedConfig
from transformers.modeling_outputs import Seq2SeqLMOutput
from transformers.utils import ModelOutput

from curation.models.files import NETWORK_WEIGHTS
from curation.models.networks.dual_encoder import DualEncoder, DualEncoderConfig
from curation.models.networks.initialisation import initialise_module
from curation.models.networks.saved_network import NetworkConfig, SavedNetwork
from curation.models.networks.tag_guided_captioner import (
    EncoderOutput,
    GuidedEncoder,
    TagGuidedCaptioner,
    TagGuidedCaptionerConfig,
)
from curation.models.weights import save_network


class _TransformersNetworkConfig(PreTrainedConfig):
    """The values of one of our configurations, with the defaults that config.json leaves out."""

    network_config_class: ClassVar[type[NetworkConfig]] = NetworkConfig
    # transformers reads the name of the file here.
    transformers_weights: ClassVar[str] = NETWORK_WEIGHTS

    def __post_init__(self, **values: Any) -> None:
        sizes = self.network_config_class.from_dict(values).to_dict()
        super().__post_init__(**values | {k: v for k, v in sizes.items() if k != "model_type"})


class TransformersDualEncoderConfig(_TransformersNetworkConfig):
    """`DualEncoderConfig` as a configuration class of transformers."""

    model_type = DualEncoderConfig.model_type
    network_config_class = DualEncoderConfig


class TransformersCaptionerConfig(_TransformersNetworkConfig):
    """`TagGuidedCaptionerConfig` as a configuration class of transformers."""

    model_type = TagGuidedCaptionerConfig.model_type
    network_config_class = TagGuidedCaptionerConfig

    is_encoder_decoder: bool = True
    tie_word_embeddings: bool = True


class _TransformersNetwork(PreTrainedModel):
    """A network under the names that its weights have in files.

    Attributes:
        network: the network itself.
    """

    network_class: ClassVar[type[SavedNetwork]]

    def __init__(self, config: _TransformersNetworkConfig) -> None:
        super().__init__(config)
        sizes = config.network_config_class.from_dict(config.to_dict())
        network = self.network_class(sizes)
        # Both have one table of parts: what is replaced in either, as weights are in loading, is so
        # in both, and no name gets a prefix.
        self._modules, self._parameters = network._modules, network._parameters
        self.__dict__["network"] = network
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        initialise_module(module)

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Write the network's directory, which `curation.models.weights` can open too."""
        save_network(self.network, Path(save_directory))


class TransformersDualEncoder(_TransformersNetwork):
    """Wraps `DualEncoder` as a `PreTrainedModel` of the transformers library.

    It has only `forward`. Call the other methods on its attribute `network`.
    """

    config_class = TransformersDualEncoderConfig
    network_class = DualEncoder
    main_input_name = "waveforms"

    def forward(
        self, waveforms: Tensor, lengths: Tensor, input_ids: Tensor, mask: Tensor
    ) -> Tensor:
        """Compute the result of `DualEncoder.forward`."""
        return self.network(waveforms, lengths, input_ids, mask)


class TransformersCaptioner(_TransformersNetwork, GenerationMixin):
    """`TagGuidedCaptioner` as a class of transformers.

    `generate(input_features=..., feature_lengths=..., tags=...)` supports every decoding method of
    transformers. It recomputes the whole caption at each step.
    """

    config_class = TransformersCaptionerConfig
    network_class = TagGuidedCaptioner
    main_input_name = "input_features"
    _tied_weights_keys = {"decoder.head.weight": "decoder.words.weight"}

    def __init__(self, config: TransformersCaptionerConfig) -> None:
        super().__init__(config)
        # `generate` asks for it.
        self.encoder.main_input_name = self.main_input_name
        self.generation_config = GenerationConfig(
            pad_token_id=config.pad_token_id,
            bos_token_id=config.bos_token_id,
            eos_token_id=config.eos_token_id,
            decoder_start_token_id=config.bos_token_id,
            use_cache=False,
        )

    def get_encoder(self, *_: Any, **__: Any) -> "GenerationEncoder":
        return GenerationEncoder(self.encoder)

    def get_input_embeddings(self) -> nn.Module:
        return self.decoder.words

    def get_output_embeddings(self) -> nn.Module:
        return self.decoder.head

    def prepare_inputs_for_generation(
        self, input_ids: Tensor, encoder_outputs: "GenerationEncoderOutput", **_: Any
    ) -> dict[str, Any]:
        return {"decoder_input_ids": input_ids, "encoder_outputs": encoder_outputs}

    def forward(
        self,
        input_features: Tensor | None = None,
        feature_lengths: Tensor | None = None,
        tags: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        encoder_outputs: "GenerationEncoderOutput | None" = None,
        labels: Tensor | None = None,
        tag_targets: Tensor | None = None,
        **_: Any,
    ) -> Seq2SeqLMOutput:
        """Compute the result of `TagGuidedCaptioner.forward`."""
        encoded = None if encoder_outputs is None else EncoderOutput(**encoder_outputs)
        output = self.network(
            input_features, feature_lengths, tags, decoder_input_ids, encoded, labels, tag_targets
        )
        return Seq2SeqLMOutput(loss=output.loss, logits=output.logits)


@dataclass
class GenerationEncoderOutput(ModelOutput):
    """An `EncoderOutput` that `generate` can repeat for several captions per clip."""

    # `ModelOutput` wants defaults; these two are always given.
    last_hidden_state: Tensor = cast(Tensor, None)
    memory_mask: Tensor = cast(Tensor, None)
    word_bias: Tensor | None = None
    tag_logits: Tensor | None = None


class GenerationEncoder:
    """The captioner's encoder in the form in which `generate` calls it."""

    def __init__(self, encoder: GuidedEncoder) -> None:
        self.encoder = encoder

    def forward(
        self,
        input_features: Tensor,
        feature_lengths: Tensor | None = None,
        tags: Tensor | None = None,
    ) -> GenerationEncoderOutput:
        """Compute the result of `GuidedEncoder.forward`."""
        return GenerationEncoderOutput(**vars(self.encoder(input_features, feature_lengths, tags)))

    def __call__(
        self,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        return_dict: bool = True,
        **inputs: Any,
    ) -> GenerationEncoderOutput:
        """Encode; attentions and hidden states are not returned."""
        return self.forward(**inputs)


for _config, _auto, _model in (
    (TransformersDualEncoderConfig, AutoModel, TransformersDualEncoder),
    (TransformersCaptionerConfig, AutoModelForSpeechSeq2Seq, TransformersCaptioner),
):
    AutoConfig.register(_config.model_type, _config)
    _auto.register(_config, _model)
