"""The contracts of models that embed audio and captions into one space."""

from abc import abstractmethod
from pathlib import Path

import torch
from torch import Tensor, nn


class Towers(nn.Module):
    """An audio tower and a text tower whose unit vectors are compared by their cosine.

    A scorer needs only this contract. Audio is embedded in two steps, first each clip's features
    and then the tower, so that a batch contains features instead of waveforms.
    """

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    @abstractmethod
    def sample_rate_hz(self) -> int:
        """The sampling rate of the waveforms."""

    @property
    @abstractmethod
    def shortest_clip(self) -> int:
        """The fewest samples that a clip may have. The caller pads a shorter clip with silence."""

    @property
    def window_samples(self) -> int | None:
        """Maximum number of samples that are embedded at once; None if there is no maximum."""
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
        """Number of token ids that the text tower knows."""

    @abstractmethod
    def features(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the front end's output `[batch, frame, ...]`, and the frame count of each clip.

        The output is log-mel features in dB, `[batch, frame, mel]`, unless a class states
        otherwise. It has no gradient.

        Args:
            waveforms: `[batch, sample]` with any padding, on the device of `lengths`.
            lengths: number of valid samples of each clip `[batch]`.
        """

    @abstractmethod
    def encode_features(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Encode the output of `features` as unit vectors `[batch, embed_dim]`."""

    @abstractmethod
    def encode_text(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """Encode token ids `[batch, token]` as unit vectors `[batch, embed_dim]`."""

    def encode_audio(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        """Encode waveforms as unit vectors `[batch, embed_dim]`.

        `waveforms` is `[batch, sample]`, of which `lengths [batch]` samples are valid.
        """
        return self.encode_features(*self.features(waveforms, lengths))


class TrainableTowers(Towers):
    """Towers that can be trained.

    Like audio, captions are embedded in two steps, so that the pooled output of a frozen text tower
    can be cached.

    Attributes:
        logit_scale: the log of the inverse temperature, a trained scalar.
    """

    logit_scale: nn.Parameter

    @abstractmethod
    def pool_text(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """Compute the text tower's pooled output `[batch, hidden]` for ids `[batch, token]`."""

    @abstractmethod
    def project_text(self, pooled: Tensor) -> Tensor:
        """Project the output of `pool_text` to unit vectors `[batch, embed_dim]`."""

    def encode_text(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """Encode token ids `[batch, token]` as unit vectors `[batch, embed_dim]`."""
        return self.project_text(self.pool_text(input_ids, mask))

    @abstractmethod
    def gradient_checkpointing(self, enabled: bool) -> None:
        """In training, recompute activations in the backward pass instead of storing them."""

    @abstractmethod
    def save_pretrained(self, folder: str | Path) -> None:
        """Write the configuration, weights (safetensors) and front end, without the tokenizer."""
