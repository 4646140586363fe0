"""The dual encoder (CLAP): an audio and a text tower, a linear layer after each, and a scale."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from curation.models import weights
from curation.models.networks.bert import Bert, BertConfig, is_plain_bert
from curation.models.networks.cnn14 import Cnn14, Cnn14Config, pool_max_plus_mean, valid_frame_mask
from curation.models.networks.initialisation import initialise_weights
from curation.models.networks.log_mel import LogMel
from curation.models.networks.log_mel_config import LogMelConfig
from curation.models.networks.saved_network import NetworkConfig, SavedNetwork
from curation.models.networks.towers import TrainableTowers
from curation.models.networks.transformer import EncoderLayer, sinusoidal_positions

TextPooling = Literal["first", "mean"]

_BERT_MEDIUM = {
    "model_type": "bert",
    "hidden_size": 512,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "intermediate_size": 2048,
}


@dataclass
class DualEncoderConfig(NetworkConfig):
    """Sizes of a `DualEncoder`; the defaults are those of BLAT (CNN14 and BERT-medium at 32 kHz).

    `audio_layers` is the number of encoder layers of width `audio_dim` over the frames of CNN14. If
    it is above 0, the frames are then pooled by max, mean and attention; BLAT has 0 and pools in
    CNN14. `text` is the configuration of any transformers encoder, with its `model_type`.
    `text_pooling` pools the encoder's last hidden states: "first" takes that of the first token
    ([CLS], as in BLAT), and "mean" averages over the tokens, as most sentence encoders do.
    """

    model_type: ClassVar[str] = "tagscribe-dual-encoder"

    frontend: LogMelConfig = LogMelConfig()
    cnn: Cnn14Config = Cnn14Config()
    audio_layers: int = 0
    audio_dim: int = 256
    audio_heads: int = 4
    audio_dropout: float = 0.1
    text: dict[str, Any] | None = None
    text_pooling: TextPooling = "first"
    max_text_tokens: int = 30
    embed_dim: int = 1024
    logit_scale_init: float = math.log(1 / 0.07)

    @classmethod
    def _parse(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {
            **values,
            "frontend": LogMelConfig(**values.get("frontend", {})),
            "cnn": Cnn14Config.from_dict(values.get("cnn", {})),
        }


class DualEncoder(SavedNetwork, TrainableTowers):
    """Embeds audio and captions into one space, as BLAT's audio_text_model.py does.

    `transformers_networks` has a wrapper class for transformers.
    """

    config_class = DualEncoderConfig

    config: DualEncoderConfig

    def __init__(self, config: DualEncoderConfig) -> None:
        super().__init__(config)
        self.frontend = LogMel(config.frontend)
        self.audio = AudioTower(config)
        self.text: Any = _build_text_encoder(config.text or _BERT_MEDIUM)
        self.audio_projection = nn.Linear(self.audio.width, config.embed_dim)
        self.text_projection = nn.Linear(self.text.config.hidden_size, config.embed_dim)
        self.logit_scale = nn.Parameter(torch.tensor(config.logit_scale_init))
        for part in (self.audio, self.audio_projection, self.text_projection):
            initialise_weights(part)

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
        """Minimum number of samples of a clip; they give one frame of the encoder."""
        stride = self.audio.cnn.config.frame_stride
        return max(self.frontend.config.shortest, (stride - 1) * self.frontend.config.hop)

    def features(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute log-mel features and their lengths from `[batch, sample]` with any padding."""
        with torch.no_grad():
            return self.frontend(waveforms, lengths), self.frontend.frames(lengths)

    def encode_features(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Encode log-mel features `[batch, frame, mel]` as unit vectors `[batch, embed_dim]`."""
        return self.project_audio(self.audio(features, lengths))

    def project_audio(self, pooled: Tensor) -> Tensor:
        """Project the audio tower's pooled output to unit vectors `[batch, embed_dim]`."""
        return normalise_like_blat(self.audio_projection(pooled))

    def pool_text(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """Pool the text tower's hidden states as `config.text_pooling` says: `[batch, hidden]`."""
        hidden = self.text(input_ids=input_ids, attention_mask=mask).last_hidden_state
        return (
            hidden[:, 0] if self.config.text_pooling == "first" else pool_masked_mean(hidden, mask)
        )

    def project_text(self, pooled: Tensor) -> Tensor:
        """Project the text tower's pooled output to unit vectors `[batch, embed_dim]`."""
        return normalise_like_blat(self.text_projection(pooled))

    def gradient_checkpointing(self, enabled: bool) -> None:
        """Recompute activations of CNN14, encoder layers and text tower instead of storing them."""
        self.audio.cnn.checkpointing = enabled
        self.audio.checkpointing = enabled
        if isinstance(self.text, Bert):
            self.text.checkpointing = enabled
        else:
            from curation.models.networks.pretrained_text import set_layer_checkpointing

            set_layer_checkpointing(self.text, enabled)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the configuration and the weights; see `TrainableTowers`."""
        weights.save_network(self, Path(folder))

    def forward(
        self, waveforms: Tensor, lengths: Tensor, input_ids: Tensor, mask: Tensor
    ) -> Tensor:
        """Compute logits `[clip, caption]`: the scaled cosines of all clips with all captions."""
        audio, text = self.encode_audio(waveforms, lengths), self.encode_text(input_ids, mask)
        return self.logit_scale.exp() * audio @ text.T


class AudioTower(nn.Module):
    """A CNN14, optionally followed by encoder layers and attention pooling over its frames."""

    def __init__(self, config: DualEncoderConfig) -> None:
        super().__init__()
        cnn = config.cnn
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
        """Pool log-mel features `[batch, frame, mel]` to `[batch, width]`."""
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
    """Compute x / (|x| + 1e-7), as BLAT does."""
    return x / (x.norm(dim=-1, keepdim=True) + 1e-7)


def pool_masked_mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """Average `[batch, token, hidden]` over the tokens whose mask is not zero."""
    weights = mask[:, :, None].to(hidden.dtype)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1e-9)


def _build_text_encoder(values: dict[str, Any]) -> Any:
    """The text tower of a configuration; any but a plain BERT is a class of transformers."""
    if is_plain_bert(values):
        return Bert(BertConfig.from_dict(values))
    from curation.models.networks.pretrained_text import build_pretrained_text

    return build_pretrained_text(values)
