"""The dual encoder (CLAP): an audio tower, a text tower, one linear layer each, one scale."""

import math
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.configuration_utils import PreTrainedConfig

from curation.models.cnn14 import Cnn14, Cnn14Config, max_and_mean, valid_frames
from curation.models.frontend import LogMel, LogMelConfig
from curation.models.transformer import EncoderLayer, sinusoids

_BERT_MEDIUM = {
    "model_type": "bert",
    "hidden_size": 512,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "intermediate_size": 2048,
}


class DualEncoderConfig(PreTrainedConfig):
    """Sizes of a `DualEncoder`; the defaults are BLAT's pair (CNN14 and BERT-medium at 32 kHz).

    `audio_layers` above 0 puts that many encoder layers of width `audio_dim` over the frames of
    CNN14 before they are pooled, by max, mean and attention; BLAT has none and pools in CNN14.
    `text` is the configuration of any transformers encoder, with its `model_type`.
    """

    model_type = "tagscribe-dual-encoder"

    frontend: dict[str, Any] | None = None
    cnn: dict[str, Any] | None = None
    audio_layers: int = 0
    audio_dim: int = 256
    audio_heads: int = 4
    audio_dropout: float = 0.1
    text: dict[str, Any] | None = None
    max_text_tokens: int = 30
    embed_dim: int = 1024
    logit_scale_init: float = math.log(1 / 0.07)

    def log_mel(self) -> LogMelConfig:
        return LogMelConfig(**(self.frontend or {}))

    def cnn14(self) -> Cnn14Config:
        return Cnn14Config.from_dict(self.cnn or {})

    def text_config(self) -> PreTrainedConfig:
        return AutoConfig.for_model(**(self.text or _BERT_MEDIUM))


class DualEncoder(PreTrainedModel):
    """Embeds sounds and captions into one space; after BLAT's audio_text_model.py."""

    config_class = DualEncoderConfig
    main_input_name = "waveforms"

    def __init__(self, config: DualEncoderConfig) -> None:
        super().__init__(config)
        self.frontend = LogMel(config.log_mel())
        self.audio = AudioTower(config)
        self.text = AutoModel.from_config(config.text_config(), **_no_pooler(config))
        self.audio_projection = nn.Linear(self.audio.width, config.embed_dim)
        self.text_projection = nn.Linear(self.text.config.hidden_size, config.embed_dim)
        self.logit_scale = nn.Parameter(torch.tensor(config.logit_scale_init))
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, DualEncoder):
            nn.init.constant_(module.logit_scale, self.config.logit_scale_init)
        else:
            super()._init_weights(module)

    @property
    def shortest_clip(self) -> int:
        """The fewest samples of which the encoder makes a frame."""
        stride = self.audio.cnn.config.frame_stride
        return max(self.frontend.config.shortest, (stride - 1) * self.frontend.config.hop)

    def features(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Log-mel features and their lengths of `[batch, sample]`, padded as one likes."""
        with torch.no_grad():
            return self.frontend(waveforms, lengths), self.frontend.frames(lengths)

    def encode_audio(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        """Unit vectors `[batch, embed_dim]` of sounds `[batch, sample]` of so many samples."""
        return self.encode_features(*self.features(waveforms, lengths))

    def encode_features(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Unit vectors `[batch, embed_dim]` of log-mel features `[batch, frame, mel]`."""
        return self.project_audio(self.audio(features, lengths))

    def project_audio(self, pooled: Tensor) -> Tensor:
        """Unit vectors `[batch, embed_dim]` of what the audio tower pooled."""
        return normalised(self.audio_projection(pooled))

    def encode_text(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """Unit vectors `[batch, embed_dim]` of token ids `[batch, token]`, from the first token."""
        hidden = self.text(input_ids=input_ids, attention_mask=mask).last_hidden_state
        return normalised(self.text_projection(hidden[:, 0]))

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
        heard = self.cnn(features, lengths)
        if not self.layers:
            return heard.embedding
        x = self.input(heard.frames)
        frames = x.shape[1]
        x = x + sinusoids(torch.arange(frames, device=x.device), x.shape[2])
        valid = valid_frames(heard.lengths, frames)
        for layer in self.layers:
            x = layer(x, valid)
        x = self.norm(x)
        return torch.cat([max_and_mean(x, heard.lengths), self._attended(x, valid)], dim=1)

    def _attended(self, x: Tensor, valid: Tensor) -> Tensor:
        """Each head's share of the channels, averaged by that head's weights over the frames."""
        logits = self.attention(x).masked_fill(~valid[:, :, None], -torch.inf)
        heads = x.unflatten(2, (logits.shape[2], -1))
        return (heads * logits.softmax(dim=1)[:, :, :, None]).sum(dim=1).flatten(1)


def normalised(x: Tensor) -> Tensor:
    """x / (|x| + 1e-7), as BLAT does."""
    return x / (x.norm(dim=-1, keepdim=True) + 1e-7)


def _no_pooler(config: DualEncoderConfig) -> dict[str, bool]:
    """BERT's pooler is unused here: the text embedding is that of the first token."""
    return {"add_pooling_layer": False} if config.text_config().model_type == "bert" else {}
