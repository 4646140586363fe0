"""The adapter of the dual encoder: CLAP embeddings of sounds and of captions."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from curation.models import inputs, weights
from curation.models.dual_encoder import DualEncoder, DualEncoderConfig
from curation.schema import Failure

_TEXT_BATCH = 128


@dataclass(frozen=True)
class DualEncoderScorer:
    """Fulfils `Scorer` with a `DualEncoder`.

    Attributes:
        model: "reference", a directory, or a hub id with a pinned `revision`.
        device: "auto" (a GPU where there is one), "cpu", "cuda:1", ...
    """

    model: str = "reference"
    revision: str | None = None
    device: str = "auto"

    @property
    def sample_rate_hz(self) -> int:
        return self._config.log_mel().sample_rate_hz

    @cached_property
    def identity(self) -> dict[str, str]:
        """Model name, revision and SHA-256 of the weights. Raises InputError, as `setup` does."""
        return {
            "model": self.model,
            "revision": self.revision or "",
            "weights_sha256": weights.weights_sha256(self._folder),
        }

    def setup(self) -> None:
        """Load the weights. Raises InputError where the directory holds no dual encoder."""
        _ = self._loaded

    @torch.inference_mode()
    def embed_audio(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray | Failure]:
        """Embed clips; see `Scorer`.

        Clips shorter than one frame of the encoder are padded with silence; empty clips and
        samples that are not finite are failures.
        """
        model, _ = self._loaded
        results: list[np.ndarray | Failure | None] = [
            inputs.failure(waveform, "score") for waveform in waveforms
        ]
        heard = [index for index, result in enumerate(results) if result is None]
        embedded = inputs.in_chunks(
            [waveforms[index] for index in heard],
            model,
            lambda features, lengths, _rows: model.encode_features(features, lengths),
        )
        for rows, embeddings in embedded:
            for row, embedding in zip(rows, embeddings.float().cpu().numpy(), strict=True):
                results[heard[row]] = embedding
        return [result for result in results if result is not None]

    @torch.inference_mode()
    def embed_text(self, captions: Sequence[str]) -> np.ndarray:
        """Embed captions; see `Scorer`.

        The tower reads the first `max_text_tokens` tokens of the model's configuration (the
        reference: 32 words); what a longer caption says after them does not count.
        """
        model, tokenizer = self._loaded
        embeddings = np.empty((len(captions), model.config.embed_dim), dtype=np.float32)
        # Captions of like length go together, so that little is padding.
        order = sorted(range(len(captions)), key=lambda index: len(captions[index]))
        for start in range(0, len(order), _TEXT_BATCH):
            rows = order[start : start + _TEXT_BATCH]
            tokens = tokenizer(
                [captions[row] for row in rows],
                padding=True,
                truncation=True,
                max_length=model.config.max_text_tokens,
                return_tensors="pt",
            ).to(model.device)
            embedded = model.encode_text(tokens["input_ids"], tokens["attention_mask"])
            embeddings[rows] = embedded.float().cpu().numpy()
        return embeddings

    @cached_property
    def _folder(self) -> Path:
        return weights.locate(self.model, self.revision, "clap")

    @cached_property
    def _config(self) -> DualEncoderConfig:
        return weights.load_config(self._folder, DualEncoderConfig)

    @cached_property
    def _loaded(self) -> tuple[DualEncoder, PreTrainedTokenizerBase]:
        return weights.load(self._folder, DualEncoder, self.device)

    def __getstate__(self) -> dict[str, Any]:
        # What was loaded stays behind: the worker loads its own.
        return {field.name: getattr(self, field.name) for field in fields(self)}
