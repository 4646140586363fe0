"""CLAP as transformers has it (HTSAT and RoBERTa), with a batched front end of ours."""

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import ClapConfig, ClapFeatureExtractor, ClapModel, PreTrainedTokenizerBase

from curation.errors import InputError
from curation.models import weights
from curation.models.base import Pair, checkpoint_layers
from curation.models.frontend import LogMel
from curation.models.frontend_config import LogMelConfig

Padding = Literal["repeatpad", "repeat", "pad"]

# What LAION trained with: RoBERTa would read 512.
_TEXT_TOKENS = 77

_LAION_FRONT_END = {
    "sampling_rate": 48_000,
    "fft_window_size": 1024,
    "hop_length": 480,
    "feature_size": 64,
    "frequency_min": 50,
    "frequency_max": 14_000,
    "max_length_s": 10,
    "padding": "repeatpad",
    "truncation": "rand_trunc",
}


class ClapPair(Pair):
    """A `ClapModel` without fusion; hears every clip at one length, 10 s as LAION trained it.

    A shorter clip is repeated and padded as the extractor says; of a longer one the central window
    is heard, where transformers' `ClapFeatureExtractor` draws one at random. The bands are the
    extractor's for `truncation="rand_trunc"`: slaney, in dB.

    The one `logit_scale` is the checkpoint's of sounds; that of captions becomes the same.

    Attributes:
        clap: the model of transformers.
        extractor: holds the front end's numbers, and writes them beside the weights.
    """

    def __init__(self, clap: ClapModel, extractor: ClapFeatureExtractor) -> None:
        """Raises InputError for a model with fusion, or bands that its tower cannot take."""
        super().__init__()
        _refuse_unheard(clap.config, extractor)
        self.clap = clap
        self.extractor = extractor
        self.frontend = LogMel(
            LogMelConfig(
                sample_rate_hz=extractor.sampling_rate,
                n_fft=extractor.fft_window_size,
                window=extractor.fft_window_size,
                hop=extractor.hop_length,
                mels=extractor.feature_size,
                low_hz=extractor.frequency_min,
                high_hz=extractor.frequency_max,
            )
        )
        # Follows the other scale when saved.
        clap.logit_scale_t.requires_grad_(False)

    @property
    def logit_scale(self) -> nn.Parameter:  # type: ignore[override]
        return self.clap.logit_scale_a

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

    def features(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Log-mel features `[batch, frame, mel]` of the one length; see `Pair`."""
        samples = self.extractor.nb_max_samples
        with torch.no_grad():
            clips = torch.stack(
                [
                    fitted(clip[:length], samples, self.extractor.padding)
                    for clip, length in zip(waveforms, lengths.tolist(), strict=True)
                ]
            )
            heard = torch.full_like(lengths, samples)
            return self.frontend(clips, heard), self.frontend.frames(heard)

    def encode_features(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Unit vectors `[batch, embed_dim]` of features, every frame of which is heard."""
        heard = self.clap.audio_model(input_features=features[:, None])
        return F.normalize(self.clap.audio_projection(heard.pooler_output), dim=-1)

    def pool_text(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """The output of RoBERTa's pooler `[batch, hidden]`."""
        return self.clap.text_model(input_ids=input_ids, attention_mask=mask).pooler_output

    def project_text(self, pooled: Tensor) -> Tensor:
        """Unit vectors `[batch, embed_dim]` of the pooler's output."""
        return F.normalize(self.clap.text_projection(pooled), dim=-1)

    def gradient_checkpointing(self, enabled: bool) -> None:
        """Keep no activations inside HTSAT's stages and RoBERTa's layers."""
        checkpoint_layers(self.clap, enabled)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write what `ClapModel`, and with a tokenizer beside it `ClapProcessor`, open."""
        with torch.no_grad():
            self.clap.logit_scale_t.copy_(self.clap.logit_scale_a)
        self.clap.save_pretrained(folder)
        self.extractor.save_pretrained(folder)


def load_clap(folder: Path, device: str) -> tuple[ClapPair, PreTrainedTokenizerBase]:
    """A model, in float32 and evaluation mode, and its tokenizer.

    Raises InputError where the directory holds no CLAP that can be served.
    """
    extractor = read_extractor(folder)
    _refuse_unheard(weights.load_config(folder, ClapConfig), extractor)
    clap, tokenizer = weights.load(folder, ClapModel, device)
    return ClapPair(clap, extractor).eval(), tokenizer


def clap_from_config(
    audio: dict[str, Any],
    text: dict[str, Any],
    tokenizer: PreTrainedTokenizerBase,
    frontend: dict[str, Any] | None = None,
    embed_dim: int = 512,
) -> ClapPair:
    """A CLAP with random weights, to be trained.

    Args:
        audio: what differs from `ClapAudioConfig`'s defaults (HTSAT-tiny).
        text: what differs from `ClapTextConfig`'s defaults (RoBERTa-base); the vocabulary and the
            special tokens are the tokenizer's.
        frontend: what differs from LAION's front end, by the names of `ClapFeatureExtractor`.

    Raises InputError where the front end does not fit the audio tower.
    """
    config = ClapConfig(
        audio_config=audio,
        text_config={
            **text,
            "vocab_size": len(tokenizer),
            "pad_token_id": tokenizer.pad_token_id,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        },
        projection_dim=embed_dim,
    )
    return ClapPair(ClapModel(config), laion_front_end(frontend or {}))


def laion_front_end(changes: dict[str, Any]) -> ClapFeatureExtractor:
    """The front end that LAION trained unfused models with, but for `changes`."""
    return ClapFeatureExtractor(**_LAION_FRONT_END | changes)


def read_extractor(folder: Path) -> ClapFeatureExtractor:
    """The front end of a CLAP's directory. Raises InputError where there is none."""
    try:
        return ClapFeatureExtractor.from_pretrained(folder)
    except (OSError, TypeError, ValueError) as error:
        raise InputError(
            f"{folder}: no front end of a CLAP; expected preprocessor_config.json as "
            f"ClapFeatureExtractor writes it: {error}"
        ) from error


def fitted(clip: Tensor, samples: int, padding: Padding) -> Tensor:
    """A clip `[sample]` made `samples` long.

    A longer clip gives its central window. A shorter one is, by `padding`, repeated as often as it
    fits and then padded with zeros ("repeatpad"), repeated and cut ("repeat"), or padded ("pad").
    """
    if len(clip) >= samples:
        start = (len(clip) - samples) // 2
        return clip[start : start + samples]
    fits = samples // len(clip)
    repeats = {"repeatpad": fits, "repeat": fits + 1, "pad": 1}[padding]
    repeated = clip.repeat(repeats)[:samples]
    return F.pad(repeated, (0, samples - len(repeated)))


def _refuse_unheard(config: ClapConfig, extractor: ClapFeatureExtractor) -> None:
    audio = config.audio_config
    if audio.enable_fusion or extractor.truncation != "rand_trunc":
        raise InputError(
            f"a CLAP with fusion (enable_fusion: {audio.enable_fusion}, truncation: "
            f"{extractor.truncation}) is not supported; expected an unfused one, such as "
            "laion/clap-htsat-unfused, with truncation: rand_trunc in its preprocessor_config.json"
        )
    if extractor.feature_size != audio.num_mel_bins:
        raise InputError(
            f"the front end makes {extractor.feature_size} mel bands (feature_size), the audio "
            f"tower takes {audio.num_mel_bins} (num_mel_bins); give both the same number"
        )
    frames = extractor.nb_max_samples // extractor.hop_length + 1
    most = audio.spec_size * (audio.spec_size // audio.num_mel_bins)
    if frames > most:
        raise InputError(
            f"the front end makes {frames} frames (max_length_s: {extractor.max_length_s}, "
            f"hop_length: {extractor.hop_length}), the audio tower takes {most} (spec_size: "
            f"{audio.spec_size}, num_mel_bins: {audio.num_mel_bins}); shorten one or enlarge "
            "the other"
        )
