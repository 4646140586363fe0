"""Yields endless batches of audio and captions from a curated table, resumable at any batch.

Other processes decode the clips. The seed determines the next clips, captions and crops. The number
of decoding processes or ranks has no influence.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from curation.audio.errors import AudioError
from curation.errors import InputError, RunError
from training.config.data import LoaderConfig
from training.data import decoder_signals
from training.data.batch import AudioTextBatch
from training.data.clip_decode import (
    BatchDecoder,
    DecodedBatch,
    Samples,
    decode_training_clip,
    pad_waveforms,
)
from training.data.epoch_order import epoch_order
from training.data.loader_state import LoaderState
from training.data.sampling import TrainingExample, caption_probabilities, crop_location
from training.data.table_index import Ints, TableIndex


def check_batch_size(pairs: TableIndex, batch: int, world: int) -> None:
    """Check the batch size.

    Raises InputError if a batch is larger than the tables, or smaller than the number of ranks.
    """
    if batch > len(pairs):
        raise InputError(
            f"a batch of {batch} clips, and only {len(pairs)} clips in "
            f"{_names(pairs)}: lower the batch, or curate more clips"
        )
    if world > batch:
        raise InputError(
            f"{world} processes share a batch of {batch} clips, expected a clip for each at "
            "least: raise the batch, or train with fewer processes"
        )


class TableLoader:
    """Yields batches without end; its state can be saved and loaded at any time.

    Each rank has a loader, which decodes only the rank's rows: consecutive rows of the global
    batch. The global batch is the same at every world size. Waveforms are padded to the longest
    waveform among the rank's rows.

    A clip is unreadable if its file cannot be read or decoded. An unreadable clip is replaced by
    the clip in the same row of a later batch, the first such clip that is readable. No clip is thus
    twice in a batch. If the unreadable clips among a rank's rows exceed `max_unreadable_fraction`
    of all clips, the loader raises an error.

    Args:
        batch: number of rows of the global batch.
        seed: determines order, captions and crops.
        sample_rate_hz: sampling rate of the decoded clips.
        rank: index of this process among `world` processes.

    Raises:
        InputError: the batch is larger than the table, or smaller than the world.
    """

    def __init__(
        self,
        pairs: TableIndex,
        config: LoaderConfig,
        batch_size: int,
        seed: int,
        sample_rate_hz: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        check_batch_size(pairs, batch_size, world)
        self.pairs, self.config, self.batch_size, self.seed = pairs, config, batch_size, seed
        self.sample_rate_hz = sample_rate_hz
        self.batches_per_epoch = len(pairs) // batch_size
        self._rows = slice(rank * batch_size // world, (rank + 1) * batch_size // world)
        self._epoch, self._next = 0, 0
        self._missing: set[int] = set()
        # The order of the current epoch, and of the one decoded ahead.
        self._order = lru_cache(maxsize=2)(self._order_of)
        self._running: list[Iterator[DecodedBatch]] = []

    def __iter__(self) -> Iterator[AudioTextBatch]:
        """Batches from the current state on, across epochs, until the loader is closed.

        A second iterator, or `load_state_dict`, ends the previous one.

        Raises:
            InputError: more clips than `max_unreadable_fraction` allows cannot be read.
            RunError: a decoding process died. torch may notice it first, at any point of the main
                thread, and raise a plain RuntimeError with the same message.
        """
        self.close()
        planned: deque[_PlannedBatch] = deque()
        running = self._running = [self._start(planned)]
        while running:
            decoded = _next_decoded(running[0])
            batch = self._assemble(planned.popleft(), decoded)
            self._advance()
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Return the state after the last batch yielded. Batches decoded ahead do not count."""
        return LoaderState(
            epoch=self._epoch,
            samples_seen=self._next * self.batch_size,
            seed=self.seed,
            table=self._tables(),
            batch=self.batch_size,
        ).to_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from the state of another loader, at any world size.

        Raises InputError naming what does not fit: format, table, version, seed or batch.
        """
        found = LoaderState.from_dict(state)
        for name, there, here in (
            ("table and version", [list(each) for each in found.table], self._tables()),
            ("seed", found.seed, self.seed),
            ("batch", found.batch, self.batch_size),
        ):
            if there != here:
                raise InputError(
                    f"the loader's state was saved with {name} {there}, and this training has "
                    f"{here}: resume with the same {name}, or start again"
                )
        self.close()
        self._epoch, self._next = found.epoch, found.samples_seen // self.batch_size

    def close(self) -> None:
        """End the iterator and its decoding processes. The state can still be saved."""
        self._running.clear()

    def _start(self, planned: "deque[_PlannedBatch]") -> Iterator[DecodedBatch]:
        workers = self.config.workers
        batches = DataLoader(
            BatchDecoder(self.pairs.storage, self.sample_rate_hz, self.config.cache_mb * 2**20),
            batch_size=None,
            sampler=self._plan(planned),
            num_workers=workers,
            prefetch_factor=self.config.prefetch_batches if workers else None,
            multiprocessing_context="spawn" if workers else None,
            worker_init_fn=decoder_signals.defer_stop_signals,
            collate_fn=_identity,
            # Its own, else starting to iterate would move torch's global random numbers.
            generator=torch.Generator(),
        )
        if not workers:
            return iter(batches)
        with decoder_signals.block_stop_signals():
            return iter(batches)

    def _plan(self, planned: "deque[_PlannedBatch]") -> Iterator[list[TrainingExample]]:
        """What each coming batch holds; remembered in `planned` until it is decoded."""
        epoch, index = self._epoch, self._next
        while True:
            start = index * self.batch_size
            clips = self._order(epoch)[start : start + self.batch_size][self._rows]
            samples = [self._draw(epoch, int(clip)) for clip in clips]
            planned.append(_PlannedBatch(epoch, index, samples))
            yield samples
            epoch, index = _next_position(epoch, index, self.batches_per_epoch)

    def _order_of(self, epoch: int) -> Ints:
        cropped_s = np.minimum(self.pairs.duration_s, self.config.crop_s)
        return epoch_order(
            cropped_s,
            self.pairs.row_groups,
            self.batch_size,
            self.seed,
            epoch,
            self.config.bucket_by_duration,
        )

    def _draw(self, epoch: int, clip: int) -> TrainingExample:
        """A clip's caption and crop in an epoch; they depend on nothing but these and the seed."""
        # One call for both: of all that is done for a clip in this process, it takes the longest.
        caption_draw, crop_draw = np.random.default_rng((self.seed, epoch, clip)).random(2)
        weights = caption_probabilities(
            self.config.caption_sampling, self.pairs.ranks_of(clip), self.pairs.clap_scores_of(clip)
        )
        # Rounding may leave the sum a little below the draw: the last one is then meant.
        drawn = int(np.searchsorted(np.cumsum(weights)[:-1], caption_draw, side="right"))
        surplus_s = float(self.pairs.duration_s[clip]) - self.config.crop_s
        place = crop_location(
            self.pairs.audio_location(clip), self.config.crop_s, surplus_s, float(crop_draw)
        )
        return TrainingExample(
            clip, place, self.pairs.captions_of(clip)[drawn], whole=surplus_s <= 0
        )

    def _assemble(self, planned: "_PlannedBatch", decoded: DecodedBatch) -> AudioTextBatch:
        waveforms, lengths = decoded.waveforms, decoded.lengths
        samples, replaced = planned.samples, []
        if decoded.failures:
            samples = list(samples)
            waveform_rows = [
                row[:length].numpy() for row, length in zip(waveforms, lengths, strict=True)
            ]
            for row, reason in decoded.failures.items():
                failed = samples[row]
                samples[row], waveform_rows[row] = self._replace(planned, row, reason)
                replaced.append(
                    f"clip {self.pairs.clip_id(failed.clip)} cannot be read ({reason}); clip "
                    f"{self.pairs.clip_id(samples[row].clip)} takes its place"
                )
            waveforms, lengths = pad_waveforms(waveform_rows)
        return AudioTextBatch(
            waveforms=waveforms,
            lengths=torch.tensor(lengths),
            captions=[sample.caption for sample in samples],
            clips=torch.tensor([sample.clip for sample in samples]),
            epoch=planned.epoch,
            index=planned.index,
            start=self._rows.start,
            global_rows=self.batch_size,
            replaced=replaced,
        )

    def _replace(
        self, planned: "_PlannedBatch", row: int, reason: str
    ) -> tuple[TrainingExample, Samples]:
        """The clip that takes an unreadable one's row, and its sound."""
        self._count_missing(planned.samples[row], reason)
        order = self._order(planned.epoch)
        # The same row of every batch, the clips that fill none as if they were one batch more.
        column = order[self._rows.start + row :: self.batch_size]
        for clip in np.roll(column, -planned.index)[1:]:
            sample = self._draw(planned.epoch, int(clip))
            try:
                return sample, decode_training_clip(
                    self.pairs.storage, sample.location, self.sample_rate_hz
                )
            except (AudioError, OSError) as error:
                self._count_missing(sample, str(error))
        raise InputError(
            f"clip {self.pairs.clip_id(planned.samples[row].clip)} cannot be read ({reason}), and "
            f"no other batch of the epoch has a clip for its place: put the files back, or lower "
            f"the batch of {self.batch_size}"
        )

    def _count_missing(self, sample: TrainingExample, reason: str) -> None:
        """Raises InputError if more are missing than may be."""
        self._missing.add(sample.clip)
        if len(self._missing) > self.config.max_unreadable_fraction * len(self.pairs):
            raise InputError(
                f"clip {self.pairs.clip_id(sample.clip)}: {sample.location.uri} cannot be read "
                f"({reason}); {len(self._missing)} of {len(self.pairs)} clips could not be read so "
                f"far, and max_unreadable_fraction is {self.config.max_unreadable_fraction}: put "
                "the files back, or curate with `table: {audio: embed}`, or raise "
                "max_unreadable_fraction"
            )

    def _advance(self) -> None:
        self._epoch, self._next = _next_position(self._epoch, self._next, self.batches_per_epoch)

    def _tables(self) -> list[list[Any]]:
        return [[source.uri, source.version] for source in self.pairs.sources]


@dataclass(frozen=True)
class _PlannedBatch:
    """A batch to come: this rank's rows of it."""

    epoch: int
    index: int
    samples: list[TrainingExample]


def _next_decoded(decoded: Iterator[DecodedBatch]) -> DecodedBatch:
    try:
        return next(decoded)
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise RunError(
            f"a process that decodes clips has died ({error}); where memory ran out, lower the "
            "loader's workers, its prefetch or the batch, then resume"
        ) from error


def _next_position(epoch: int, index: int, batches_per_epoch: int) -> tuple[int, int]:
    """The epoch and the place in it of the next batch."""
    return (epoch, index + 1) if index + 1 < batches_per_epoch else (epoch + 1, 0)


def _identity(decoded: Any) -> Any:
    return decoded


def _names(pairs: TableIndex) -> str:
    return ", ".join(f"{each.uri} version {each.version}" for each in pairs.sources)
