"""The dual encoder (CLAP): an audio tower, a text tower, one linear layer each, one scale."""

import math
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.configuration_utils import PreTrainedConfig

from curation.models.networks.cnn14 import Cnn14, Cnn14Config, pool_max_plus_mean, valid_frame_mask
from curation.models.networks.log_mel import LogMel
from curation.models.networks.log_mel_config import LogMelConfig
from curation.models.networks.towers import TrainableTowers, set_layer_checkpointing
from curation.models.networks.transformer import EncoderLayer, sinusoidal_positions

TextPooling = Literal["first", "mean"]

_BERT_MEDIUM = {
    "model_type": "bert",
    "hidden_size": 512,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "intermediate_size": 2048,
}

_WITH_POOLER = {"bert", "camembert", "mpnet", "roberta", "xlm-roberta"}


class DualEncoderConfig(PreTrainedConfig):
    """Sizes of a `DualEncoder`; the defaults are BLAT's pair (CNN14 and BERT-medium at 32 kHz).

    `audio_layers` above 0 puts that many encoder layers of width `audio_dim` over the frames of
    CNN14 before they are pooled, by max, mean and attention; BLAT has none and pools in CNN14.
    `text` is the configuration of any transformers encoder, with its `model_type`; `text_pooling`
    is how its last hidden states become one: "first" takes the first token's ([CLS], BLAT's way),
    "mean" the mean over the tokens, as most sentence encoders do.
    """

    model_type = "tagscribe-dual-encoder"

    frontend: dict[str, Any] | None = None
    cnn: dict[str, Any] | None = None
    audio_layers: int = 0
    audio_dim: int = 256
    audio_heads: int = 4
    audio_dropout: float = 0.1
    text: dict[str, Any] | None = None
    text_pooling: TextPooling = "first"
    max_text_tokens: int = 30
    embed_dim: int = 1024
    logit_scale_init: float = math.log(1 / 0.07)

    def log_mel(self) -> LogMelConfig:
        return LogMelConfig(**(self.frontend or {}))

    def cnn14(self) -> Cnn14Config:
        return Cnn14Config.from_dict(self.cnn or {})

    def text_config(self) -> PreTrainedConfig:
        return AutoConfig.for_model(**(self.text or _BERT_MEDIUM))


class DualEncoder(PreTrainedModel, TrainableTowers):
    """Embeds sounds and captions into one space; after BLAT's audio_text_model.py."""

    config: DualEncoderConfig
    config_class = DualEncoderConfig
    main_input_name = "waveforms"

    def __init__(self, config: DualEncoderConfig) -> None:
        super().__init__(config)
        self.frontend = LogMel(config.log_mel())
        self.audio = AudioTower(config)
        text = config.text_config()
        self.text: Any = AutoModel.from_config(text, **without_pooler(text))
        self.audio_projection = nn.Linear(self.audio.width, config.embed_dim)
        self.text_projection = nn.Linear(self.text.config.hidden_size, config.embed_dim)
        self.logit_scale = nn.Parameter(torch.tensor(config.logit_scale_init))
        self.post_init()  # type: ignore[operator]

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, DualEncoder):
            nn.init.constant_(module.logit_scale, self.config.logit_scale_init)
        else:
            super()._init_weights(module)

    @property
    def sample_rate_hz(self) -> int:
        return self.frontend.config.sample_rate_hz

    @property
    def embed_dim(self) -> int:
        return self.config.embed_dim

    @property
    def max_text_tokens(self) -> int:
        return self.config.max_text_tokens

    @property
    def text_vocab_size(self) -> int:
        return self.text.config.vocab_size

    @property
    def shortest_clip(self) -> int:
        """The fewest samples of which the encoder makes a frame."""
        stride = self.audio.cnn.config.frame_stride
        return max(self.frontend.config.shortest, (stride - 1) * self.frontend.config.hop)

    def features(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Log-mel features and their lengths of `[batch, sample]`, padded as one likes."""
        with torch.no_grad():
            return self.frontend(waveforms, lengths), self.frontend.frames(lengths)

    def encode_features(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Unit vectors `[batch, embed_dim]` of log-mel features `[batch, frame, mel]`."""
        return self.project_audio(self.audio(features, lengths))

    def project_audio(self, pooled: Tensor) -> Tensor:
        """Unit vectors `[batch, embed_dim]` of what the audio tower pooled."""
        return normalise_like_blat(self.audio_projection(pooled))

    def pool_text(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """The text tower's hidden states `[batch, hidden]`, pooled by `config.text_pooling`."""
        hidden = self.text(input_ids=input_ids, attention_mask=mask).last_hidden_state
        return (
            hidden[:, 0] if self.config.text_pooling == "first" else pool_masked_mean(hidden, mask)
        )

    def project_text(self, pooled: Tensor) -> Tensor:
        """Unit vectors `[batch, embed_dim]` of what the text tower pooled."""
        return normalise_like_blat(self.text_projection(pooled))

    def gradient_checkpointing(self, enabled: bool) -> None:
        """Keep no activations inside CNN14's blocks, its encoder layers and the text tower's."""
        self.audio.cnn.checkpointing = enabled
        self.audio.checkpointing = enabled
        set_layer_checkpointing(self.text, enabled)

    def forward(
        self, waveforms: Tensor, lengths: Tensor, input_ids: Tensor, mask: Tensor
    ) -> Tensor:
        """Logits `[clip, caption]`: the scaled cosines of every sound and every caption."""
        audio, text = self.encode_audio(waveforms, lengths), self.encode_text(input_ids, mask)
        return self.logit_scale.exp() * audio @ text.T


class AudioTower(nn.Module):
    """CNN14, alone or with encoder layers and attention pooling over its frames."""

    def __init__(self, config: DualEncoderConfig) -> None:
        super().__init__()
        cnn = config.cnn14()
        self.checkpointing = False
        self.cnn = Cnn14(cnn)
        self.layers = nn.ModuleList(
            EncoderLayer(
                config.audio_dim, config.audio_heads, 2 * config.audio_dim, config.audio_dropout
            )
            for _ in range(config.audio_layers)
        )
        if config.audio_layers:
            self.input = nn.Linear(cnn.channels[-1], config.audio_dim)
            self.norm = nn.LayerNorm(config.audio_dim)
            self.attention = nn.Linear(config.audio_dim, config.audio_heads)
            self.width = 2 * config.audio_dim
        else:
            self.width = cast(int, cnn.embed_dim)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Pool `[batch, frame, mel]` to `[batch, width]`."""
        encoded = self.cnn(features, lengths)
        if not self.layers:
            return encoded.embedding
        x = self.input(encoded.frames)
        frames = x.shape[1]
        x = x + sinusoidal_positions(torch.arange(frames, device=x.device), x.shape[2])
        valid = valid_frame_mask(encoded.lengths, frames)
        for layer in self.layers:
            if self.checkpointing and self.training:
                x = checkpoint(layer, x, valid, use_reentrant=False)
            else:
                x = layer(x, valid)
        x = self.norm(x)
        return torch.cat([pool_max_plus_mean(x, encoded.lengths), self._attended(x, valid)], dim=1)

    def _attended(self, x: Tensor, valid: Tensor) -> Tensor:
        """Each head's share of the channels, averaged by that head's weights over the frames."""
        logits = self.attention(x).masked_fill(~valid[:, :, None], -torch.inf)
        heads = x.unflatten(2, (logits.shape[2], -1))
        return (heads * logits.softmax(dim=1)[:, :, :, None]).sum(dim=1).flatten(1)


def normalise_like_blat(x: Tensor) -> Tensor:
    """x / (|x| + 1e-7), as BLAT does."""
    return x / (x.norm(dim=-1, keepdim=True) + 1e-7)


def pool_masked_mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """The mean of `[batch, token, hidden]` over the tokens whose mask is not zero."""
    weights = mask[:, :, None].to(hidden.dtype)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1e-9)


def without_pooler(text: PreTrainedConfig) -> dict[str, bool]:
    """The argument that leaves out a text tower's pooler: nothing here asks for its output."""
    return {"add_pooling_layer": False} if text.model_type in _WITH_POOLER else {}
