"""The tag-guided captioner: a CNN14 encoder, a transformer decoder, and tags as guidance."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from curation.models.networks.cnn14 import Cnn14, Cnn14Config, pool_max_plus_mean, valid_frame_mask
from curation.models.networks.initialisation import initialise_weights
from curation.models.networks.log_mel import LogMel
from curation.models.networks.log_mel_config import LogMelConfig
from curation.models.networks.saved_network import NetworkConfig, SavedNetwork
from curation.models.networks.transformer import (
    DecoderLayer,
    EncoderLayer,
    KeyValue,
    sinusoidal_positions,
)

GuidanceMode = Literal["memory", "additive"]

IGNORED_LABEL = -100


@dataclass
class TagGuidedCaptionerConfig(NetworkConfig):
    """Sizes of a `TagGuidedCaptioner`, and its vocabulary of tags (AudioSet ids).

    `guidance_dropout` is the share of clips whose tags are hidden in training, so that the model
    can also caption without tags. `tag_loss_weight` is the weight of the auxiliary loss of
    predicting the tags.
    """

    model_type: ClassVar[str] = "tagscribe-captioner"

    frontend: LogMelConfig = LogMelConfig()
    cnn: Cnn14Config = Cnn14Config(embed_dim=None)
    tags: list[str] = field(default_factory=list)
    guidance_mode: GuidanceMode = "memory"
    guidance_dropout: float = 0.45
    tag_loss_weight: float = 3.0
    label_smoothing: float = 0.0
    dim: int = 256
    heads: int = 4
    feed_forward: int = 1024
    encoder_layers: int = 1
    decoder_layers: int = 2
    dropout: float = 0.2
    vocab_size: int = 5000
    pad_token_id: int = 0
    bos_token_id: int = 1
    eos_token_id: int = 2

    @classmethod
    def _parse(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {
            **values,
            "frontend": LogMelConfig(**values.get("frontend", {})),
            "cnn": Cnn14Config.from_dict({"embed_dim": None, **values.get("cnn", {})}),
        }


@dataclass
class EncoderOutput:
    """The encoder's output for a batch of clips, as the decoder needs it.

    Attributes:
        last_hidden_state: the memory to which the decoder attends, `[batch, position, dim]`:
            frames, followed by tags in mode "memory".
        memory_mask: True for positions that may be attended to, `[batch, position]`.
        word_bias: in mode "additive", the vector that is added to each word embedding, `[batch,
            dim]`.
        tag_logits: logits of the predicted tags, `[batch, tag]`.
    """

    last_hidden_state: Tensor
    memory_mask: Tensor
    word_bias: Tensor | None = None
    tag_logits: Tensor | None = None

    def rows(self) -> list["EncoderOutput"]:
        """Split the batch into one output per clip, with the memory cut to the valid positions."""
        return [
            EncoderOutput(
                last_hidden_state=self.last_hidden_state[row][valid],
                memory_mask=valid[valid],
                word_bias=None if self.word_bias is None else self.word_bias[row],
            )
            for row, valid in enumerate(self.memory_mask)
        ]

    def take(self, rows: Tensor) -> "EncoderOutput":
        """Select the outputs of these rows, with all fields that the decoder needs."""
        return EncoderOutput(
            last_hidden_state=self.last_hidden_state[rows],
            memory_mask=self.memory_mask[rows],
            word_bias=None if self.word_bias is None else self.word_bias[rows],
        )

    @classmethod
    def batch(cls, rows: Sequence["EncoderOutput"]) -> "EncoderOutput":
        """Join outputs of single clips, which may come from different batches, into one batch."""
        memories = [row.last_hidden_state for row in rows]
        lengths = torch.tensor([len(memory) for memory in memories], device=memories[0].device)
        memory = pad_sequence(memories, batch_first=True)
        biases = [row.word_bias for row in rows if row.word_bias is not None]
        return cls(
            last_hidden_state=memory,
            memory_mask=valid_frame_mask(lengths, memory.shape[1]),
            word_bias=torch.stack(biases) if biases else None,
        )


class CaptionerOutput(NamedTuple):
    """The captioner's `logits [batch, position, word]`, and the loss if labels were given."""

    loss: Tensor | None
    logits: Tensor


class TagGuidedCaptioner(SavedNetwork):
    """Writes captions from log-mel features, guided by a tag vector `[batch, tag]` in [0, 1].

    There are two modes of guidance. In mode "memory", every given tag is an additional position to
    which the encoder layers and the decoder attend. In mode "additive", the tag vector passes a
    linear layer and is added to every word embedding, followed by LayerNorm and the position
    encoding (as in BLAT; `KeywordProbTransformerDecoder` of wsntxxn/AudioCaption). A vector of
    zeros means that the clip has no tags.

    `curation.models.decoding.batch_decoding` decodes captions with this network.
    `transformers_networks` has a wrapper class for transformers, with `generate`.
    """

    config_class = TagGuidedCaptionerConfig
    tied_weights = frozenset({"decoder.head.weight"})

    config: TagGuidedCaptionerConfig

    def __init__(self, config: TagGuidedCaptionerConfig) -> None:
        super().__init__(config)
        self.frontend = LogMel(config.frontend)
        self.encoder = GuidedEncoder(config)
        self.decoder = CaptionDecoder(config)
        initialise_weights(self)
        self.tie_weights()

    def tie_weights(self) -> None:
        """Let the output layer share the weights of the word embeddings."""
        self.decoder.head.weight = self.decoder.words.weight

    @property
    def device(self) -> torch.device:
        return self.decoder.words.weight.device

    @property
    def shortest_clip(self) -> int:
        """Minimum number of samples of a clip; they give one frame of the encoder."""
        stride = self.encoder.cnn.config.frame_stride
        return max(self.frontend.config.shortest, (stride - 1) * self.frontend.config.hop)

    def features(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute log-mel features and their lengths from `[batch, sample]` with any padding."""
        with torch.no_grad():
            return self.frontend(waveforms, lengths), self.frontend.frames(lengths)

    def forward(
        self,
        input_features: Tensor | None = None,
        feature_lengths: Tensor | None = None,
        tags: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        encoder_outputs: EncoderOutput | None = None,
        labels: Tensor | None = None,
        tag_targets: Tensor | None = None,
    ) -> CaptionerOutput:
        """Predict the next word of each caption, and compute the loss if `labels` are given.

        Args:
            input_features: log-mel `[batch, frame, mel]`, of which `feature_lengths` frames are
                valid.
            tags: the guidance `[batch, tag]`; None means that there are no tags.
            decoder_input_ids: captions so far `[batch, position]`; None derives them from `labels`.
            labels: captions with end token `[batch, position]`, `IGNORED_LABEL` at padding.
            tag_targets: the true tags of the clip `[batch, tag]`, for the auxiliary loss.
        """
        config = self.config
        if encoder_outputs is None:
            encoder_outputs = self.encoder(input_features, feature_lengths, tags)
        if decoder_input_ids is None and labels is not None:
            decoder_input_ids = shift_labels_right(labels, config.bos_token_id, config.pad_token_id)
        logits = self.decoder(decoder_input_ids, encoder_outputs)
        loss = None
        if labels is not None:
            loss = F.cross_entropy(
                logits.transpose(1, 2),
                labels,
                ignore_index=IGNORED_LABEL,
                label_smoothing=config.label_smoothing,
            )
            if tag_targets is not None and encoder_outputs.tag_logits is not None:
                tag_loss = F.binary_cross_entropy_with_logits(
                    encoder_outputs.tag_logits, tag_targets
                )
                loss = loss + config.tag_loss_weight * tag_loss
        return CaptionerOutput(loss, logits)

    @torch.no_grad()
    def log_prob(self, encoded: EncoderOutput, captions: Tensor) -> Tensor:
        """Compute the mean log-probability per token of captions, `[batch]`.

        Each word is predicted from the true words before it. The end token is included.

        Args:
            encoded: the encoder's output, with one clip per caption.
            captions: word ids with end token `[batch, position]`, `IGNORED_LABEL` at padding.
        """
        inputs = shift_labels_right(captions, self.config.bos_token_id, self.config.pad_token_id)
        logits = self.decoder(inputs, encoded)
        losses = F.cross_entropy(
            logits.transpose(1, 2), captions, ignore_index=IGNORED_LABEL, reduction="none"
        )
        return -losses.sum(dim=1) / (captions != IGNORED_LABEL).sum(dim=1)


class GuidedEncoder(nn.Module):
    """CNN14, a projection, and encoder layers over the frames and, in mode "memory", the tags."""

    def __init__(self, config: TagGuidedCaptionerConfig) -> None:
        super().__init__()
        cnn = config.cnn
        self.dim = config.dim
        self.guidance_mode = config.guidance_mode
        self.guidance_dropout = config.guidance_dropout
        self.cnn = Cnn14(cnn)
        self.input = nn.Linear(cnn.channels[-1], config.dim)
        self.tag_head = nn.Linear(cnn.channels[-1], len(config.tags))
        self.tag_words: nn.Module = (
            nn.Embedding(len(config.tags), config.dim)
            if config.guidance_mode == "memory"
            else nn.Linear(len(config.tags), config.dim)
        )
        self.layers = nn.ModuleList(
            EncoderLayer(config.dim, config.heads, config.feed_forward, config.dropout)
            for _ in range(config.encoder_layers)
        )
        self.norm = nn.LayerNorm(config.dim)

    def forward(
        self,
        input_features: Tensor,
        feature_lengths: Tensor | None = None,
        tags: Tensor | None = None,
    ) -> EncoderOutput:
        """Encode `[batch, frame, mel]`. If `feature_lengths` is None, all frames are valid."""
        batch, frames, _mels = input_features.shape
        if feature_lengths is None:
            feature_lengths = torch.full((batch,), frames, device=input_features.device)
        if tags is None:
            tags = input_features.new_zeros(batch, self.tag_head.out_features)
        if self.training:
            kept = torch.rand(batch, 1, device=tags.device) >= self.guidance_dropout
            tags = tags * kept
        encoded = self.cnn(input_features, feature_lengths)
        x = self.input(encoded.frames)
        x = x + sinusoidal_positions(torch.arange(x.shape[1], device=x.device), self.dim)
        valid = valid_frame_mask(encoded.lengths, x.shape[1])
        bias = None
        if self.guidance_mode == "memory":
            words, given = self._tag_positions(tags)
            x = torch.cat([x, words], dim=1)
            valid = torch.cat([valid, given], dim=1)
        else:
            bias = self.tag_words(tags)
        for layer in self.layers:
            x = layer(x, valid)
        return EncoderOutput(
            last_hidden_state=self.norm(x),
            memory_mask=valid,
            word_bias=bias,
            tag_logits=self.tag_head(pool_max_plus_mean(encoded.frames, encoded.lengths)),
        )

    def _tag_positions(self, tags: Tensor) -> tuple[Tensor, Tensor]:
        """One position a given tag, weighted by its confidence, as many as the fullest clip has."""
        most = int((tags > 0).sum(dim=1).max())
        confidence, tag = tags.topk(most, dim=1)
        return self.tag_words(tag) * confidence[:, :, None], confidence > 0


class CaptionDecoder(nn.Module):
    """Word embeddings (shared with the output layer), position encodings, and decoder layers."""

    def __init__(self, config: TagGuidedCaptionerConfig) -> None:
        super().__init__()
        self.dim = config.dim
        self.words = nn.Embedding(config.vocab_size, config.dim)
        self.guidance_norm = (
            nn.LayerNorm(config.dim) if config.guidance_mode == "additive" else nn.Identity()
        )
        self.layers = nn.ModuleList(
            DecoderLayer(config.dim, config.heads, config.feed_forward, config.dropout)
            for _ in range(config.decoder_layers)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.norm = nn.LayerNorm(config.dim)
        self.head = nn.Linear(config.dim, config.vocab_size, bias=False)

    def forward(self, ids: Tensor, encoded: EncoderOutput) -> Tensor:
        """Compute logits `[caption, position, word]` of whole captions, one clip per caption."""
        positions = torch.arange(ids.shape[1], device=ids.device)
        x = self.dropout(self._embed(ids, positions, encoded.word_bias))
        for layer, memory in zip(self.layers, self.project(encoded), strict=True):
            x = layer(x, memory, encoded.memory_mask[:, None, None, :])
        return self.head(self.norm(x))

    def project(self, encoded: EncoderOutput) -> list[KeyValue]:
        """Compute the keys and values of the memory for each layer."""
        memory = encoded.last_hidden_state
        return [layer.project(memory) for layer in self._layers()]

    def step(
        self,
        ids: Tensor,
        at: Tensor,
        past: list[KeyValue],
        memory: list[KeyValue],
        encoded: EncoderOutput,
    ) -> Tensor:
        """Compute logits `[clip, caption, word]` after the words `ids [clip, caption]`.

        The words are at position `at`, a tensor `[1]`. `past` is as in `DecoderLayer.step`, and
        `memory` is the result of `project`.
        """
        x = self._embed(ids, at, encoded.word_bias)
        mask = encoded.memory_mask[:, None, None, :]
        for index, layer in enumerate(self._layers()):
            x = layer.step(x, past[index], memory[index], mask)
        return self.head(self.norm(x))

    def _layers(self) -> list[DecoderLayer]:
        return cast(list[DecoderLayer], list(self.layers))

    def _embed(self, ids: Tensor, positions: Tensor, bias: Tensor | None) -> Tensor:
        words = self.words(ids) * self.dim**0.5
        if bias is not None:
            words = self.guidance_norm(words + bias[:, None, :])
        return words + sinusoidal_positions(positions, self.dim)


def shift_labels_right(labels: Tensor, bos: int, pad: int) -> Tensor:
    """Make decoder inputs from labels: prepend the start token and drop the last label."""
    inputs = labels.new_full(labels.shape, bos)
    inputs[:, 1:] = labels[:, :-1]
    return inputs.masked_fill(inputs == IGNORED_LABEL, pad)
