"""The adapter of dual encoders and CLAP: embeddings of sounds and of captions."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from curation.models import inputs, pair
from curation.models.adapter import Adapter
from curation.models.base import Pair
from curation.schema import Failure

_TEXT_BATCH = 128


@dataclass(frozen=True)
class DualEncoderScorer(Adapter):
    """Fulfils `Scorer` with any `Pair`: a `DualEncoder`, or a CLAP as transformers writes it."""

    kind = "clap"

    @cached_property
    def sample_rate_hz(self) -> int:
        return pair.sample_rate_hz(self._folder)

    @torch.inference_mode()
    def embed_audio(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray | Failure]:
        """Embed clips; see `Scorer`.

        Clips shorter than one frame of the encoder are padded with silence; empty clips and
        samples that are not finite are failures. A CLAP hears the central 10 s of a longer clip.
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

        The tower reads the first `max_text_tokens` tokens (the reference: 32 words); what a longer
        caption says after them does not count.
        """
        model, tokenizer = self._loaded
        embeddings = np.empty((len(captions), model.embed_dim), dtype=np.float32)
        # Captions of like length go together, so that little is padding.
        order = sorted(range(len(captions)), key=lambda index: len(captions[index]))
        for start in range(0, len(order), _TEXT_BATCH):
            rows = order[start : start + _TEXT_BATCH]
            tokens = tokenizer(
                [captions[row] for row in rows],
                padding=True,
                truncation=True,
                max_length=model.max_text_tokens,
                return_tensors="pt",
            ).to(model.device)
            embedded = model.encode_text(tokens["input_ids"], tokens["attention_mask"])
            embeddings[rows] = embedded.float().cpu().numpy()
        return embeddings

    @cached_property
    def _loaded(self) -> tuple[Pair, PreTrainedTokenizerBase]:
        return pair.load_pair(self._folder, self.device)
