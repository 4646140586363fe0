"""Defines the objective of a pre-training: two towers and one loss.

If a tower is frozen, its embeddings of the captions are cached.
"""

import torch
from torch import Tensor, nn

from curation.models.caption_tokenizer import CaptionTokenizer
from curation.models.networks.dual_encoder import DualEncoder
from curation.models.networks.towers import TrainableTowers
from training import losses, pretrain_model
from training.config.pretrain import PretrainConfig
from training.data.features import BatchFeatures

# Where SigLIP starts it: nearly all pairs of a batch are wrong.
_SIGMOID_BIAS = -10.0


class ContrastiveObjective(nn.Module):
    """The two towers, the bias of the sigmoid loss, and cached embeddings of captions."""

    def __init__(
        self,
        pair: TrainableTowers,
        tokenizer: CaptionTokenizer,
        config: PretrainConfig,
        device: torch.device,
    ) -> None:
        super().__init__()
        self.pair = pair
        self.bias = nn.Parameter(torch.tensor(_SIGMOID_BIAS))
        self.bias.requires_grad_(config.loss == "sigmoid")
        self.loss = config.loss
        self._tokenizer = tokenizer
        self._frozen_text = pretrain_model.has_frozen_text(config)
        self._pooled: dict[str, Tensor] = {}
        bf16 = config.runtime.precision == "bf16" or (
            config.runtime.precision == "auto" and device.type == "cuda"
        )
        self._autocast = torch.autocast(device.type, torch.bfloat16, enabled=bf16)
        if self._frozen_text:
            _text_tower(pair).requires_grad_(False)
        pair.gradient_checkpointing(config.runtime.gradient_checkpointing)
        compiled = torch.compile if config.runtime.compile else lambda function: function
        self._encode_features = compiled(pair.encode_features)
        self._encode_text = compiled(pair.encode_text)
        self.to(device)

    def embed(self, batch: BatchFeatures) -> tuple[Tensor, Tensor]:
        """Unit vectors `[row, dim]` of the audio and of the captions."""
        with self._autocast:
            audio = self._encode_features(batch.features, batch.frames)
            text = self._text(batch.captions)
        return audio.float(), text.float()

    def compute_loss(self, audio: Tensor, text: Tensor, false_negatives: Tensor) -> Tensor:
        """Compute this process's share of the loss; `info_nce` describes `false_negatives`."""
        scale = self.pair.logit_scale.exp()
        if self.loss == "sigmoid":
            return losses.sigmoid_loss(audio, text, scale, self.bias, false_negatives)
        return losses.info_nce(audio, text, scale, false_negatives=false_negatives)

    def _text(self, captions: list[str]) -> Tensor:
        if not self._frozen_text:
            return self._encode_text(*self._tokens(captions))
        new = sorted({caption for caption in captions if caption not in self._pooled})
        if new:
            # Embedded once and for all, so without dropout.
            _text_tower(self.pair).eval()
            with torch.no_grad():
                pooled = self.pair.pool_text(*self._tokens(new)).float()
            self._pooled |= dict(zip(new, pooled, strict=True))
        stacked = torch.stack([self._pooled[caption] for caption in captions])
        return self.pair.project_text(stacked)

    def _tokens(self, captions: list[str]) -> tuple[Tensor, Tensor]:
        tokens = self._tokenizer.encode(captions, self.pair.max_text_tokens)
        return tokens.to(self.bias.device)


def _text_tower(pair: TrainableTowers) -> nn.Module:
    assert isinstance(pair, DualEncoder)
    tower: nn.Module = pair.text
    return tower
