"""The CLAP of transformers (HTSAT and RoBERTa), with the batched front ends of this package."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

from curation.errors import InputError
from curation.models import pretrained_weights
from curation.models.caption_tokenizer import CaptionTokenizer
from curation.models.networks.clap_frontend import (
    build_laion_extractor,
    check_front_end,
    crop_or_pad,
    extractor_log_mel_config,
    frames_per_view,
    fused_views,
    quantize_to_int16,
    read_clap_extractor,
)
from curation.models.networks.feature_batches import stack_padded
from curation.models.networks.log_mel import LogMel
from curation.models.networks.pretrained_text import set_layer_checkpointing
from curation.models.networks.towers import Towers, TrainableTowers

# What LAION trained with: RoBERTa would read 512.
_TEXT_TOKENS = 77


class ClapTowers(Towers):
    """A `ClapModel` and its front end: what models with and without fusion have in common.

    Attributes:
        clap: the model of transformers.
        extractor: the front end's settings, written beside the weights.
    """

    def __init__(self, clap: ClapModel, extractor: ClapFeatureExtractor) -> None:
        """Raises InputError for a front end that does not fit the audio tower."""
        super().__init__()
        check_front_end(clap.config, extractor)
        self.clap = clap
        self.extractor = extractor
        self.frontend = LogMel(extractor_log_mel_config(extractor))

    @property
    def sample_rate_hz(self) -> int:
        return self.extractor.sampling_rate

    @property
    def shortest_clip(self) -> int:
        return 1

    @property
    def embed_dim(self) -> int:
        return self.clap.config.projection_dim

    @property
    def max_text_tokens(self) -> int:
        text = self.clap.config.text_config
        # RoBERTa counts positions from the one after its padding token's id.
        return min(_TEXT_TOKENS, text.max_position_embeddings - text.pad_token_id - 1)

    @property
    def text_vocab_size(self) -> int:
        return self.clap.config.text_config.vocab_size

    def project_audio(self, pooled: Tensor) -> Tensor:
        """Project the audio tower's pooled output to unit vectors `[batch, embed_dim]`."""
        return F.normalize(self.clap.audio_projection(pooled), dim=-1)

    def pool_text(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """Return the output of RoBERTa's pooler, `[batch, hidden]`."""
        return self.clap.text_model(input_ids=input_ids, attention_mask=mask).pooler_output

    def project_text(self, pooled: Tensor) -> Tensor:
        """Project the output of RoBERTa's pooler to unit vectors `[batch, embed_dim]`."""
        return F.normalize(self.clap.text_projection(pooled), dim=-1)

    def encode_text(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """Encode token ids `[batch, token]` as unit vectors `[batch, embed_dim]`."""
        return self.project_text(self.pool_text(input_ids, mask))


class TrainableClap(ClapTowers, TrainableTowers):
    """A CLAP without fusion. It takes clips of one length, 10 s in LAION's training.

    A shorter clip is repeated and padded as the extractor's settings say. From a longer clip the
    central window is taken, while transformers' `ClapFeatureExtractor` takes a random one. (A
    scorer differs: it embeds all windows of a longer clip.) The mel filters are those of the
    extractor for `truncation="rand_trunc"`, on the Slaney scale. The features are in dB.

    `logit_scale` is the checkpoint's scale for audio. The scale for text is set to the same value.
    """

    def __init__(self, clap: ClapModel, extractor: ClapFeatureExtractor) -> None:
        """Raises InputError for a model with fusion, or bands that do not fit its tower."""
        super().__init__(clap, extractor)
        if clap.config.audio_config.enable_fusion:
            raise InputError(
                "a CLAP with fusion (enable_fusion: True) can score, but not be trained here; "
                "expected an unfused one, such as laion/clap-htsat-unfused"
            )
        # Follows the other scale when saved.
        clap.logit_scale_t.requires_grad_(False)

    @property
    def logit_scale(self) -> nn.Parameter:  # type: ignore[override]
        return self.clap.logit_scale_a

    @property
    def window_samples(self) -> int:
        return self.extractor.nb_max_samples

    def features(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute log-mel features `[batch, frame, mel]`, all of one length; see `Towers`."""
        samples = self.extractor.nb_max_samples
        with torch.no_grad():
            clips = torch.stack(
                [
                    crop_or_pad(clip[:length], samples, self.extractor.padding)
                    for clip, length in zip(waveforms, lengths.tolist(), strict=True)
                ]
            )
            full_lengths = torch.full_like(lengths, samples)
            return self.frontend(quantize_to_int16(clips), full_lengths), self.frontend.frames(
                full_lengths
            )

    def encode_features(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Encode features as unit vectors `[batch, embed_dim]`; all of their frames are used."""
        return self.project_audio(
            self.clap.audio_model(input_features=features[:, None]).pooler_output
        )

    def gradient_checkpointing(self, enabled: bool) -> None:
        """Recompute activations of HTSAT's stages and RoBERTa's layers instead of storing them."""
        set_layer_checkpointing(self.clap, enabled)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write files that `ClapModel` opens, and `ClapProcessor` if there is a tokenizer."""
        with torch.no_grad():
            self.clap.logit_scale_t.copy_(self.clap.logit_scale_a)
        with pretrained_weights.hide_progress_bars():
            self.clap.save_pretrained(folder)
        self.extractor.save_pretrained(folder)


class FusedClap(ClapTowers):
    """A CLAP with fusion. It takes a clip of any length as four views of 10 s, see `fused_views`.

    Views other than the first are used only if the clip is longer than one view. transformers'
    extractor marks a random clip of a batch as longer if none is. This class never does.
    """

    def features(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute log-mel views, `[batch, 4, frame, mel]`, and the frame count of each clip."""
        samples, padding = self.extractor.nb_max_samples, self.extractor.padding
        with torch.no_grad():
            clips = [
                clip[:length] if length > samples else crop_or_pad(clip[:length], samples, padding)
                for clip, length in zip(waveforms, lengths.tolist(), strict=True)
            ]
            mels = self.frontend(quantize_to_int16(stack_padded(clips)), lengths.clamp(min=samples))
            frames = self.frontend.frames(lengths.clamp(min=samples))
            views = [
                fused_views(mel[:length], frames_per_view(self.extractor))
                for mel, length in zip(mels, frames.tolist(), strict=True)
            ]
            return torch.stack(views), frames

    def encode_features(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Encode the views of clips with `lengths` frames as unit vectors `[batch, embed_dim]`."""
        is_longer = lengths[:, None] > frames_per_view(self.extractor)
        encoded = self.clap.audio_model(input_features=features, is_longer=is_longer)
        return self.project_audio(encoded.pooler_output)


def load_clap(folder: Path, device: str) -> tuple[ClapTowers, CaptionTokenizer]:
    """Load a CLAP, with or without fusion, in float32 and evaluation mode, and its tokenizer.

    Raises InputError if the directory has no usable CLAP.
    """
    extractor = read_clap_extractor(folder)
    config = pretrained_weights.load_model_config(folder, ClapConfig)
    try:
        check_front_end(config, extractor)
    except InputError as error:
        raise InputError(f"{folder}: {error}") from error
    clap, tokenizer = pretrained_weights.load_model_and_tokenizer(folder, ClapModel, device)
    kind = FusedClap if config.audio_config.enable_fusion else TrainableClap
    return kind(clap, extractor).eval(), tokenizer


def build_clap(
    audio: dict[str, Any],
    text: dict[str, Any],
    tokenizer: CaptionTokenizer,
    frontend: dict[str, Any] | None = None,
    embed_dim: int = 512,
) -> TrainableClap:
    """Build a CLAP with random weights, for training.

    Args:
        audio: overrides of `ClapAudioConfig`'s defaults (HTSAT-tiny).
        text: overrides of `ClapTextConfig`'s defaults (RoBERTa-base); vocabulary and special tokens
            come from the tokenizer.
        frontend: overrides of LAION's front end, by the names in `ClapFeatureExtractor`.

    Raises InputError if the front end does not fit the audio tower.
    """
    config = ClapConfig(
        audio_config=audio,
        text_config={
            **text,
            "vocab_size": len(tokenizer),
            "pad_token_id": tokenizer.special_id("pad_token"),
            "bos_token_id": tokenizer.special_id("bos_token"),
            "eos_token_id": tokenizer.special_id("eos_token"),
        },
        projection_dim=embed_dim,
    )
    return TrainableClap(ClapModel(config), build_laion_extractor(frontend or {}))
