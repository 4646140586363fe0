"""Embeds audio and text with a loaded model's two towers; scorer adapters use it after `setup`."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from curation.errors import InputError
from curation.models import weights
from curation.models.caption_tokenizer import CaptionTokenizer
from curation.models.log_mel_input import FrontEnd
from curation.models.networks import feature_batches
from curation.models.networks.towers import Towers
from curation.models.waveform_checks import apply_to_valid_clips
from curation.schema import Failure

_TEXT_BATCH = 128

_NOT_FINITE = Failure("score", "not_finite", "the model's embedding of this clip is not finite")

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


class Embedder:
    """A loaded model with an audio tower and a text tower, on its device."""

    def __init__(self, folder: Path, towers: Towers, tokenizer: CaptionTokenizer) -> None:
        """Raises InputError for a tokenizer or weights that cannot embed captions."""
        _refuse_unknown_ids(folder, towers, tokenizer)
        self._towers, self._tokenizer = towers, tokenizer
        if not np.isfinite(self.embed_text(["a dog barks"])).all():
            raise InputError(
                f"{folder}: a caption's embedding is not finite; expected weights without NaN, "
                "and a dtype in which they do not overflow"
            )

    def move(self, device: str) -> None:
        """Move the weights to another device; "auto" is the GPU if there is one."""
        self._towers.to(weights.resolve_device(device))

    def embed_audio(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray | Failure]:
        """Embed clips as `Scorer.embed_audio` does.

        A clip longer than the model's window is split by `split_into_windows`.
        """
        return apply_to_valid_clips(
            waveforms, "score", lambda valid: self._embed_valid([waveforms[row] for row in valid])
        )

    @property
    def front_end(self) -> FrontEnd | None:
        return feature_batches.find_shared_front_end(self._towers)

    def compute_features(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray | Failure]:
        """Compute features as `LogMelInput.compute_features` does."""
        return apply_to_valid_clips(
            waveforms,
            "score",
            lambda valid: feature_batches.compute_features(
                [waveforms[row] for row in valid], self._towers
            ),
        )

    @torch.inference_mode()
    def embed_features(self, features: Sequence[np.ndarray]) -> list[np.ndarray | Failure]:
        """As `embed_audio`, but starts from the results of `compute_features`."""
        encoded = feature_batches.encode_features_in_chunks(features, self._encode_chunk)
        return _check_finite(self._place_rows(encoded, len(features)))

    def embed_text(self, captions: Sequence[str]) -> np.ndarray:
        """Embed captions as `Scorer.embed_text` does.

        A caption of more than `max_text_tokens` tokens is split into sentences.
        """
        if not captions:
            return np.empty((0, self._towers.embed_dim), dtype=np.float32)
        tokens = self._tokenizer.count_tokens(captions)
        most = self._towers.max_text_tokens
        parts = [
            (row, part)
            for row, caption in enumerate(captions)
            for part in ([caption] if tokens[row] <= most else split_sentences(caption))
        ]
        embeddings = self._embed_captions([part for _, part in parts])
        return average_unit_vectors(embeddings, [row for row, _ in parts], len(captions))

    def _embed_valid(self, clips: list[np.ndarray]) -> list[np.ndarray | Failure]:
        """One embedding a clip, or why it has none."""
        window = self._towers.window_samples
        cuts = [
            (row, cut)
            for row, clip in enumerate(clips)
            for cut in split_into_windows(len(clip), window)
        ]
        parts = self._embed_clips([clips[row][cut] for row, cut in cuts])
        return _check_finite(average_unit_vectors(parts, [row for row, _ in cuts], len(clips)))

    @torch.inference_mode()
    def _embed_clips(self, clips: list[np.ndarray]) -> np.ndarray:
        """Unit vectors `[clips, dim]`, not finite where the model's are not."""
        encoded = feature_batches.encode_in_chunks(clips, self._towers, self._encode_chunk)
        return self._place_rows(encoded, len(clips))

    def _encode_chunk(self, features: Tensor, lengths: Tensor, _rows: list[int]) -> Tensor:
        return self._towers.encode_features(features, lengths)

    def _place_rows(self, encoded: Iterable[tuple[list[int], Tensor]], count: int) -> np.ndarray:
        """Embeddings `[count, dim]`, from those of chunks with the rows that each belongs to."""
        embeddings = np.empty((count, self._towers.embed_dim), dtype=np.float32)
        for rows, part in encoded:
            embeddings[rows] = part.float().cpu().numpy()
        return embeddings

    @torch.inference_mode()
    def _embed_captions(self, captions: list[str]) -> np.ndarray:
        """Unit vectors `[captions, dim]` of captions, cut where they are too long."""
        embeddings = np.empty((len(captions), self._towers.embed_dim), dtype=np.float32)
        # Captions of similar length are batched, so that there is little padding.
        order = sorted(range(len(captions)), key=lambda index: len(captions[index]))
        for start in range(0, len(order), _TEXT_BATCH):
            rows = order[start : start + _TEXT_BATCH]
            tokens = self._tokenizer.encode(
                [captions[row] for row in rows], self._towers.max_text_tokens
            )
            embedded = self._towers.encode_text(*tokens.to(self._towers.device))
            embeddings[rows] = embedded.float().cpu().numpy()
        return embeddings


def _check_finite(embeddings: np.ndarray) -> list[np.ndarray | Failure]:
    """Each of `[clips, dim]`, or why it cannot be used."""
    return [each if np.isfinite(each).all() else _NOT_FINITE for each in embeddings]


def split_into_windows(samples: int, window: int | None) -> Iterator[slice]:
    """Split a clip of `samples` samples into windows of `window` samples.

    The windows depend only on the clip's length. They follow each other from the start; the last
    window is moved forward so that it ends with the clip. A clip that fits into one window is one
    window.
    """
    if window is None or samples <= window:
        yield slice(0, samples)
        return
    for start in range(0, samples - window, window):
        yield slice(start, start + window)
    yield slice(samples - window, samples)


def split_sentences(caption: str) -> list[str]:
    """Split a caption after each '.', '!' or '?' that is followed by white space."""
    return _SENTENCE_END.split(caption.strip())


def average_unit_vectors(parts: np.ndarray, owners: Sequence[int], count: int) -> np.ndarray:
    """Compute the normalised mean of each owner's unit vectors, `[count, dim]`.

    An owner with a single vector gets this vector unchanged; an owner without vectors gets zeros.

    Args:
        parts: unit vectors `[part, dim]`.
        owners: the owner of each part, an index below `count`.
    """
    means = np.zeros((count, parts.shape[1]), dtype=np.float32)
    np.add.at(means, np.asarray(owners, dtype=int), parts)
    several = np.bincount(np.asarray(owners, dtype=int), minlength=count) > 1
    means[several] /= np.linalg.norm(means[several], axis=1, keepdims=True)
    return means


def _refuse_unknown_ids(folder: Path, towers: Towers, tokenizer: CaptionTokenizer) -> None:
    highest = tokenizer.highest_id
    if highest >= towers.text_vocab_size:
        raise InputError(
            f"{folder}: the tokenizer has ids up to {highest}, the text tower knows "
            f"{towers.text_vocab_size} (vocab_size); expected the tokenizer that it was trained "
            "with"
        )
