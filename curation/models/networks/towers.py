"""The contracts of models that embed audio and captions into one space."""

from abc import abstractmethod
from pathlib import Path

import torch
from torch import Tensor, nn


class Towers(nn.Module):
    """An audio tower and a text tower whose unit vectors are compared by their cosine.

    This is the part that a scorer needs. Audio is embedded in two steps, so that a batch holds no
    waveforms: first each clip's features, then the tower.
    """

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    @abstractmethod
    def sample_rate_hz(self) -> int:
        """The rate of the waveforms."""

    @property
    @abstractmethod
    def shortest_clip(self) -> int:
        """Minimum number of samples; pad a shorter clip with silence."""

    @property
    def window_samples(self) -> int | None:
        """Maximum number of samples at once; None if clips may have any length."""
        return None

    @property
    @abstractmethod
    def embed_dim(self) -> int:
        """The dimension of the unit vectors."""

    @property
    @abstractmethod
    def max_text_tokens(self) -> int:
        """Maximum number of tokens of a caption, special tokens included."""

    @property
    @abstractmethod
    def text_vocab_size(self) -> int:
        """Number of token ids of the text tower."""

    @abstractmethod
    def features(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The front end's output `[batch, frame, ...]`, and its number of frames for each clip.

        Log-mel features in dB, `[batch, frame, mel]`, unless stated otherwise; without gradient.

        Args:
            waveforms: `[batch, sample]` with any padding, on the device of `lengths`.
            lengths: number of valid samples of each clip `[batch]`.
        """

    @abstractmethod
    def encode_features(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Unit vectors `[batch, embed_dim]` of the output of `features`."""

    @abstractmethod
    def encode_text(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """Unit vectors `[batch, embed_dim]` of token ids `[batch, token]`."""

    def encode_audio(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        """Unit vectors `[batch, embed_dim]` of waveforms `[batch, sample]` of `lengths` samples."""
        return self.encode_features(*self.features(waveforms, lengths))


class TrainableTowers(Towers):
    """Towers that can be trained.

    Captions are embedded in two steps too, so that the pooled output of a frozen text tower can be
    cached.

    Attributes:
        logit_scale: the log of the inverse temperature, a trained scalar.
    """

    logit_scale: nn.Parameter

    @abstractmethod
    def pool_text(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """The text tower's pooled output `[batch, hidden]` for token ids `[batch, token]`."""

    @abstractmethod
    def project_text(self, pooled: Tensor) -> Tensor:
        """Unit vectors `[batch, embed_dim]` of the output of `pool_text`."""

    def encode_text(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """Unit vectors `[batch, embed_dim]` of token ids `[batch, token]`."""
        return self.project_text(self.pool_text(input_ids, mask))

    @abstractmethod
    def gradient_checkpointing(self, enabled: bool) -> None:
        """In training, recompute activations in the backward pass instead of storing them."""

    @abstractmethod
    def save_pretrained(self, folder: str | Path) -> None:
        """Write configuration, weights (safetensors) and front end, without the tokenizer."""
