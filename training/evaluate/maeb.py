"""Lets mteb (2.8 or newer, installed separately) rank a model on MAEB, its benchmark of audio.

mteb.evaluate(MaebEncoder(scorer), mteb.get_tasks(["ESC50_Zeroshot"]))
"""

import importlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from curation.audio.waveform import Waveform, resample
from curation.errors import InputError
from curation.models.scorers.base import Scorer
from curation.schema import Failure
from training.evaluate.prompts import normalise_rows

Batch = Mapping[str, Any]


class MaebEncoder:
    """Makes a scorer an encoder of mteb (`mteb.models.EncoderProtocol`).

    Args:
        scorer: the model. The constructor sets it up.
        max_duration_s: of a longer clip, the central part of this duration is used, as in
            `evaluation`.

    Raises InputError if mteb is not installed, or the model cannot be opened.
    """

    def __init__(self, scorer: Scorer, max_duration_s: float = 10.0) -> None:
        self.mteb_model_meta = _model_meta(scorer)
        self._scorer = scorer
        self._max_samples = round(max_duration_s * scorer.sample_rate_hz)
        scorer.setup()

    def encode(
        self,
        inputs: Iterable[Batch],
        *,
        task_metadata: Any,
        hf_split: str,
        hf_subset: str,
        prompt_type: Any = None,
        show_progress_bar: bool = True,
        **_: Any,
    ) -> np.ndarray:
        """Embed inputs as unit vectors `[input, dim]`.

        If an input has audio and text, the mean of its two embeddings is normalised.

        Args:
            inputs: batches with `audio` (each an array and its sampling rate), `text`, or both.
            task_metadata: names the task in messages.

        Raises InputError if the model cannot embed a clip, because mteb has no result for a
        failure.
        """
        vectors = []
        for batch in tqdm(inputs, unit="batch", disable=None if show_progress_bar else True):
            towers = []
            if "audio" in batch:
                towers.append(self._audio(batch["audio"], task_metadata.name))
            if "text" in batch:
                towers.append(self._scorer.embed_text(list(batch["text"])))
            vectors.append(
                normalise_rows(np.sum([normalise_rows(tower) for tower in towers], axis=0))
            )
        return np.concatenate(vectors)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Tensor:
        """Cosines `[first, second]` of arrays or tensors `[row, dim]` or `[dim]`."""
        return _unit(embeddings1) @ _unit(embeddings2).T

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Tensor:
        """Cosines `[row]` of corresponding rows."""
        return (_unit(embeddings1) * _unit(embeddings2)).sum(dim=-1)

    def _audio(self, clips: Iterable[Any], task: str) -> np.ndarray:
        embedded = self._scorer.embed_audio([self._waveform(clip) for clip in clips])
        vectors = []
        for result in embedded:
            if isinstance(result, Failure):
                raise InputError(f"{task}: a clip cannot be embedded: {result.message}")
            vectors.append(result)
        return np.stack(vectors)

    def _waveform(self, clip: Any) -> Waveform:
        # A decoded dict, or the lazy decoder of `datasets`, which is no Mapping.
        samples = np.asarray(clip["array"], dtype=np.float32)
        mono = samples.mean(axis=0) if samples.ndim > 1 else samples
        waveform = resample(mono, int(clip["sampling_rate"]), self._scorer.sample_rate_hz)
        first = max(0, len(waveform) - self._max_samples) // 2
        return waveform[first : first + self._max_samples]


def _unit(embeddings: Any) -> Tensor:
    return F.normalize(torch.atleast_2d(torch.as_tensor(embeddings).float()), dim=-1)


def _model_meta(scorer: Scorer) -> Any:
    try:
        models = importlib.import_module("mteb.models")
    except ModuleNotFoundError as error:
        raise InputError(
            f"MAEB needs mteb, and {error.name} is not installed: pip install 'mteb>=2.8'"
        ) from error
    identity = scorer.identity
    return models.ModelMeta(
        loader=None,
        name=f"tagscribe/{identity['model'].rstrip('/').rpartition('/')[2]}",
        # mteb keeps results by revision: other weights must not find those of these.
        revision=identity["weights_sha256"],
        release_date=None,
        languages=["eng-Latn"],
        n_parameters=None,
        memory_usage_mb=None,
        max_tokens=None,
        embed_dim=None,
        license=None,
        open_weights=None,
        public_training_code=None,
        public_training_data=None,
        framework=["PyTorch"],
        similarity_fn_name="cosine",
        use_instructions=False,
        training_datasets=None,
        modalities=["audio", "text"],
    )
