"""The audio tower and the text tower of PE-AV, from transformers (`PeAudioModel`)."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PeAudioConfig, PeAudioFeatureExtractor, PeAudioModel

from curation.errors import InputError
from curation.models import files, pretrained_weights
from curation.models.caption_tokenizer import CaptionTokenizer
from curation.models.networks.feature_batches import stack_padded
from curation.models.networks.towers import Towers

_WITH_VIDEO = "pe_audio_video"
_FRAME_LEVEL = "PeAudioFrameLevelModel"

# How the names begin of what only the model with video has.
_VIDEO_PREFIXES = ("video_", "audio_video_", "audio_plus_text_", "text_audio_video_")


class PeAudioTowers(Towers):
    """A `PeAudioModel`, whose number of positions limits the length of clips.

    The limit of the released models is 400 s. Audio is prepared as in `PeAudioFeatureExtractor`: it
    is reflected at its end to a whole number of the codec's frames. The model was trained on dot
    products of its heads' outputs. Here the outputs are normalised, as for any scorer, and the
    score is their cosine.
    """

    def __init__(self, model: PeAudioModel, extractor: PeAudioFeatureExtractor) -> None:
        super().__init__()
        self.extractor = extractor
        # It knows no masks, so it runs clip by clip and the encoder finds its work done.
        self.codec = model.audio_encoder.embedder
        model.audio_encoder.embedder = _PassThrough()
        self.model = model

    @property
    def sample_rate_hz(self) -> int:
        return self.extractor.sampling_rate

    @property
    def shortest_clip(self) -> int:
        """Number of samples of one frame; a shorter clip cannot be reflected to a whole frame."""
        return self.extractor.hop_length

    @property
    def window_samples(self) -> int:
        # One position is the class token's.
        return (self.model.config.audio_config.max_position_embeddings - 1) * self.shortest_clip

    @property
    def embed_dim(self) -> int:
        return self.model.config.text_config.hidden_size

    @property
    def max_text_tokens(self) -> int:
        return self.model.config.text_config.max_position_embeddings

    @property
    def text_vocab_size(self) -> int:
        return self.model.config.text_config.vocab_size

    def features(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the codec's output `[batch, frame, hidden]`, clip by clip; see `Towers`."""
        with torch.no_grad():
            clips = [
                self._encode_codec(clip[:length])
                for clip, length in zip(waveforms, lengths.tolist(), strict=True)
            ]
        frames = [len(clip) for clip in clips]
        return stack_padded(clips), torch.tensor(frames, device=lengths.device)

    def encode_features(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Encode clips with `lengths` frames as unit vectors `[batch, embed_dim]`, float32."""
        mask = torch.arange(features.shape[1], device=features.device) < lengths[:, None]
        encoded = self.model.audio_encoder(input_values=features, padding_mask=mask)
        return F.normalize(self.model.audio_head(encoded.pooler_output).float(), dim=-1)

    def encode_text(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """Encode texts as unit vectors `[batch, embed_dim]`, float32.

        The vectors come from the last hidden state of the first token. The model's
        `get_text_audio_embeds` is not used, because it requests hidden states that the text tower
        does not return.
        """
        read = self.model.text_model(input_ids=input_ids, attention_mask=mask)
        pooled = self.model.text_audio_head(read.last_hidden_state[:, 0])
        return F.normalize(pooled.float(), dim=-1)

    def _encode_codec(self, clip: Tensor) -> Tensor:
        """The codec's frames `[frame, hidden]` of a clip `[sample]`."""
        beyond = -len(clip) % self.extractor.hop_length
        whole = F.pad(clip[None, None], (0, beyond), mode="reflect")
        frames, _ = self.codec(whole.to(self.model.dtype))
        return frames[0]


class _PassThrough(nn.Module):
    """Stands in the encoder where its codec was: passes on what that has made."""

    def forward(self, input_values: Tensor, padding_mask: Tensor) -> tuple[Tensor, Tensor]:
        return input_values, padding_mask


def load_pe_audio(
    folder: Path, device: str, dtype: torch.dtype
) -> tuple[PeAudioTowers, CaptionTokenizer]:
    """Load a PE-AV model, in evaluation mode, and its tokenizer; video parts are not loaded.

    Raises InputError if the directory has no usable PE-AV.
    """
    values = files.read_model_config(folder, PeAudioConfig.model_type, _WITH_VIDEO)
    _refuse_frame_level(folder, values)
    extractor, config = _read_extractor(folder), _audio_config(values)
    hop = config.audio_config.dac_config.hop_length
    if extractor.hop_length != hop:
        raise InputError(
            f"{folder}: the front end has frames of {extractor.hop_length} samples (hop_length), "
            f"the codec of {hop} (the product of its downsampling_ratios); expected the same"
        )
    others = _VIDEO_PREFIXES if values["model_type"] == _WITH_VIDEO else ()
    model, tokenizer = pretrained_weights.load_model_and_tokenizer(
        folder, PeAudioModel, device, dtype, config, others
    )
    return PeAudioTowers(model, extractor).eval(), tokenizer


def _refuse_frame_level(folder: Path, values: dict[str, Any]) -> None:
    # Its weights have the same names, but what they make of a whole clip was never trained.
    if _FRAME_LEVEL in (values.get("architectures") or []):
        raise InputError(
            f"{folder}: a {_FRAME_LEVEL}, which embeds every 40 ms by itself; expected a model "
            "that embeds clips, such as facebook/pe-av-small"
        )


def _read_extractor(folder: Path) -> PeAudioFeatureExtractor:
    try:
        return PeAudioFeatureExtractor.from_pretrained(folder)
    except (OSError, TypeError, ValueError) as error:
        raise InputError(
            f"{folder}: no front end of a PE-AV; expected preprocessor_config.json or "
            f"processor_config.json as PeAudioFeatureExtractor writes it: {error}"
        ) from error


def _audio_config(values: dict[str, Any]) -> PeAudioConfig:
    if values["model_type"] != _WITH_VIDEO:
        return PeAudioConfig.from_dict(values)
    audio = values.get("audio_video_config", {}).get("audio_config")
    return PeAudioConfig(text_config=values.get("text_config"), audio_config=audio)
