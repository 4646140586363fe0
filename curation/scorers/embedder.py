"""Embeddings by a pair's weights: what the adapter of dual encoders and CLAP is when set up."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from curation.models import inputs, pair, weights
from curation.schema import Failure

_TEXT_BATCH = 128


class Embedder:
    """A loaded pair of towers on its device."""

    def __init__(self, folder: Path, device: str) -> None:
        self._model, self._tokenizer = pair.load_pair(folder, device)

    def move(self, device: str) -> None:
        """Take the weights to another device, "auto" the GPU where there is one."""
        self._model.to(weights.pick_device(device))

    @torch.inference_mode()
    def embed_audio(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray | Failure]:
        """As `Scorer.embed_audio`."""
        model = self._model
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
        """As `Scorer.embed_text`."""
        model = self._model
        embeddings = np.empty((len(captions), model.embed_dim), dtype=np.float32)
        # Captions of like length go together, so that little is padding.
        order = sorted(range(len(captions)), key=lambda index: len(captions[index]))
        for start in range(0, len(order), _TEXT_BATCH):
            rows = order[start : start + _TEXT_BATCH]
            tokens = self._tokenizer(
                [captions[row] for row in rows],
                padding=True,
                truncation=True,
                max_length=model.max_text_tokens,
                return_tensors="pt",
            ).to(model.device)
            embedded = model.encode_text(tokens["input_ids"], tokens["attention_mask"])
            embeddings[rows] = embedded.float().cpu().numpy()
        return embeddings
