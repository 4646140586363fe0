"""Decodes, crops and embeds the clips of a data set, in batches shared among the ranks."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch.distributed as dist
from tqdm import tqdm

from curation.audio.decode import decode_audio
from curation.audio.errors import AudioError
from curation.audio.waveform import Waveform, resample
from curation.catalog.clip_bytes import read_clip_bytes
from curation.models.scorers.base import Scorer
from curation.schema import Failure
from curation.storage.files import Storage
from training import distributed
from training.evaluate.evalset import EvalClip

Embedding = np.ndarray | Failure


@dataclass(frozen=True, eq=False)
class EmbeddedClips:
    """The embeddings `[clip, dim]` of the readable clips, in order.

    `rows` are the indices of the readable clips. `failures` has the reason for each of the other
    clips.
    """

    embeddings: np.ndarray
    rows: list[int]
    failures: dict[int, Failure]


def describe_crop(max_duration_s: float) -> str:
    """The cropping rule for long clips, in words."""
    return f"the centre {max_duration_s:g} s of longer clips; shorter ones whole"


def embed_clips(
    storage: Storage,
    scorer: Scorer,
    clips: Sequence[EvalClip],
    batch: int = 8,
    max_duration_s: float = 10.0,
    quiet: bool = False,
) -> EmbeddedClips:
    """Embed clips. Of a long clip the centre is embedded.

    Under torch.distributed every rank calls this function with the same clips, and embeds a share
    of the batches. Every rank gets the whole result. Batches and embeddings are the same at any
    number of ranks.

    Args:
        scorer: the model, already set up.
        batch: clips embedded at once.
        quiet: hide the progress bar, which is otherwise on stderr if that is a terminal.
    """
    starts = range(0, len(clips), batch)[distributed.get_rank() :: distributed.get_world_size()]
    batches = [range(start, min(start + batch, len(clips))) for start in starts]
    mine: dict[int, Embedding] = {}
    hidden = True if quiet or distributed.get_rank() else None
    with tqdm(desc="embedding", total=len(clips), unit="clip", disable=hidden) as bar:
        for rows, sounds in _load_batches(
            storage, clips, batches, scorer.sample_rate_hz, max_duration_s
        ):
            mine |= _embed_batch(scorer, rows, sounds)
            bar.update(len(rows) * distributed.get_world_size())
    vectors: dict[int, np.ndarray] = {}
    failures: dict[int, Failure] = {}
    for row, embedding in sorted(_all_gather(mine).items()):
        if isinstance(embedding, Failure):
            failures[row] = embedding
        else:
            vectors[row] = embedding
    embeddings = np.stack(list(vectors.values())) if vectors else np.empty((0, 0))
    return EmbeddedClips(embeddings, list(vectors), failures)


def load_eval_clip(
    storage: Storage, clip: EvalClip, sample_rate_hz: int, max_duration_s: float
) -> Waveform | Failure:
    """Return a clip's waveform `[samples]` at the given rate, or the reason for a failure."""
    try:
        data, name = read_clip_bytes(storage, clip.uri)
        decoded = decode_audio(data, name, clip.start_s, clip.end_s, max_duration_s)
    except OSError as error:
        return Failure("read", type(error).__name__, str(error))
    except AudioError as error:
        return Failure("decode", error.kind, str(error))
    return resample(decoded.waveform, decoded.sample_rate_hz, sample_rate_hz)


def _load_batches(
    storage: Storage,
    clips: Sequence[EvalClip],
    batches: Sequence[range],
    sample_rate_hz: int,
    max_duration_s: float,
) -> Iterator[tuple[range, list[Waveform | Failure]]]:
    """The sounds of each batch; while one is embedded, threads load the next."""
    with ThreadPoolExecutor(thread_name_prefix="load") as pool:

        def begin(rows: range) -> Iterator[Waveform | Failure]:
            return pool.map(
                lambda row: load_eval_clip(storage, clips[row], sample_rate_hz, max_duration_s),
                rows,
            )

        ahead = begin(batches[0]) if batches else iter(())
        for index, rows in enumerate(batches):
            sounds = list(ahead)
            if index + 1 < len(batches):
                ahead = begin(batches[index + 1])
            yield rows, sounds


def _embed_batch(
    scorer: Scorer, rows: range, sounds: Sequence[Waveform | Failure]
) -> dict[int, Embedding]:
    results: dict[int, Embedding] = {
        row: sound for row, sound in zip(rows, sounds, strict=True) if isinstance(sound, Failure)
    }
    waveforms = [sound for sound in sounds if not isinstance(sound, Failure)]
    readable = [row for row in rows if row not in results]
    return results | dict(zip(readable, scorer.embed_audio(waveforms), strict=True))


def _all_gather(mine: dict[int, Embedding]) -> dict[int, Embedding]:
    if distributed.get_world_size() == 1:
        return mine
    parts: list[dict[int, Embedding]] = [{} for _ in range(distributed.get_world_size())]
    dist.all_gather_object(parts, mine)
    return {row: embedding for part in parts for row, embedding in part.items()}
