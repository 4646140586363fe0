"""The contracts of a model that embeds sounds and captions into one space."""

from abc import abstractmethod
from pathlib import Path

import torch
from torch import Tensor, nn


class Towers(nn.Module):
    """A sound tower and a text tower whose unit vectors are compared by their cosine.

    What a scorer needs of them. Sounds are embedded in two steps, so that a batch holds no
    waveforms: what the front end makes of each, then the tower.
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
        """The fewest samples that can be heard; pad a shorter clip with silence."""

    @property
    def window_samples(self) -> int | None:
        """The most samples that are heard at once; None if clips of any length are."""
        return None

    @property
    @abstractmethod
    def embed_dim(self) -> int:
        """The dimension of the unit vectors."""

    @property
    @abstractmethod
    def max_text_tokens(self) -> int:
        """The most tokens of a caption that are read, special tokens included."""

    @property
    @abstractmethod
    def text_vocab_size(self) -> int:
        """How many token ids the text tower knows."""

    @abstractmethod
    def features(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """What the front end makes of waveforms, `[batch, frame, ...]`, and how many frames each.

        Log-mel features in dB, `[batch, frame, mel]`, where nothing else is said; no gradient.

        Args:
            waveforms: `[batch, sample]`, padded as one likes, on the device of `lengths`.
            lengths: how many samples of each are valid `[batch]`.
        """

    @abstractmethod
    def encode_features(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Unit vectors `[batch, embed_dim]` of what `features` gave."""

    @abstractmethod
    def encode_text(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """Unit vectors `[batch, embed_dim]` of token ids `[batch, token]`."""

    def encode_audio(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        """Unit vectors `[batch, embed_dim]` of sounds `[batch, sample]` of so many samples."""
        return self.encode_features(*self.features(waveforms, lengths))


class TrainableTowers(Towers):
    """Towers that can be trained.

    What a trainer needs beside: captions in two steps too, so that what a frozen text tower pooled
    can be kept.

    Attributes:
        logit_scale: the log of the inverse temperature, a scalar that is trained with the rest.
    """

    logit_scale: nn.Parameter

    @abstractmethod
    def pool_text(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """What the text tower says of token ids `[batch, token]`: `[batch, hidden]`."""

    @abstractmethod
    def project_text(self, pooled: Tensor) -> Tensor:
        """Unit vectors `[batch, embed_dim]` of what `pool_text` gave."""

    def encode_text(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """Unit vectors `[batch, embed_dim]` of token ids `[batch, token]`."""
        return self.project_text(self.pool_text(input_ids, mask))

    @abstractmethod
    def gradient_checkpointing(self, enabled: bool) -> None:
        """In training, compute activations again on the way back instead of keeping them."""

    @abstractmethod
    def save_pretrained(self, folder: str | Path) -> None:
        """Write configuration, weights (safetensors) and front end; the tokenizer goes beside."""
