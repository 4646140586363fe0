"""The loader's promise: what comes next follows from the seed alone, and a resume is bit-equal."""

import multiprocessing
import os
import re
import signal
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from curation.audio.decode import decode_audio
from curation.audio.waveform import to_int16
from curation.errors import InputError
from curation.storage.files import Storage
from tests.training.tables import RATE_HZ, commit, pair_rows, write_wavs
from training.config.data import LoaderConfig
from training.data.batch import AudioTextBatch
from training.data.loader import TableLoader
from training.data.loader_benchmark import measure_loader_speed
from training.data.sampling import caption_probabilities
from training.data.table_index import TableIndex

CLIPS, BATCH, SEED = 20, 6, 11
HERE = LoaderConfig(workers=0, crop_s=0.7)

Row = tuple[int, str, bytes]


@pytest.fixture(scope="module")
def uris(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return write_wavs(tmp_path_factory.mktemp("wavs") / "wavs", CLIPS)


@pytest.fixture(scope="module")
def pairs(uris: list[str], tmp_path_factory: pytest.TempPathFactory) -> TableIndex:
    return TableIndex.open(
        Storage(), commit(str(tmp_path_factory.mktemp("table")), pair_rows(uris))
    )


def loader_of(pairs: TableIndex, config: LoaderConfig = HERE, **changes: Any) -> TableLoader:
    given = {"batch_size": BATCH, "seed": SEED, "sample_rate_hz": RATE_HZ, **changes}
    return TableLoader(pairs, config, **given)


def rows_of(batch: AudioTextBatch) -> list[Row]:
    """Clip, caption and samples of each row, without the padding, which must be zero."""
    rows = []
    for row, length in enumerate(batch.lengths.tolist()):
        assert not batch.waveforms[row, length:].any()
        sound = batch.waveforms[row, :length].numpy().tobytes()
        rows.append((int(batch.clips[row]), batch.captions[row], sound))
    return rows


def read_batches(loader: TableLoader, batches: int) -> list[list[Row]]:
    """The next batches; the loader can go on afterwards."""
    found = [rows_of(batch) for batch in islice(loader, batches)]
    loader.close()
    return found


def together(loaders: list[TableLoader], batches: int) -> list[list[Row]]:
    """The ranks' batches, put together."""
    slices = [read_batches(loader, batches) for loader in loaders]
    return [[row for part in parts for row in part] for parts in zip(*slices, strict=True)]


@pytest.fixture
def no_children() -> Iterator[None]:
    yield
    assert not multiprocessing.active_children()


def test_a_batch_shows_its_place_and_pads_to_its_longest(pairs: TableIndex) -> None:
    loader = loader_of(pairs)
    assert loader.batches_per_epoch == 3
    batches = list(islice(loader, 4))
    assert [(batch.epoch, batch.index) for batch in batches] == [(0, 0), (0, 1), (0, 2), (1, 0)]
    for batch in batches:
        assert batch.waveforms.dtype == torch.int16 and batch.lengths.dtype == torch.int64
        assert batch.waveforms.shape == (BATCH, int(batch.lengths.max()))
        assert (batch.start, batch.global_rows, batch.replaced) == (0, BATCH, [])
        for clip, caption in zip(batch.clips.tolist(), batch.captions, strict=True):
            assert caption in pairs.captions_of(clip)


def test_an_epoch_uses_no_clip_twice_and_epochs_differ(pairs: TableIndex) -> None:
    batches = read_batches(loader_of(pairs), 6)
    epochs = [[row[0] for batch in part for row in batch] for part in (batches[:3], batches[3:])]
    for clips in epochs:
        assert len(set(clips)) == len(clips) == 18
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("seen", [1, 3, 4, 8], ids=["mid", "boundary", "later", "later_mid"])
def test_resume_is_bit_equal(pairs: TableIndex, seen: int) -> None:
    whole = read_batches(loader_of(pairs), 10)
    first = loader_of(pairs)
    assert read_batches(first, seen) == whole[:seen]
    resumed = loader_of(pairs)
    resumed.load_state_dict(first.state_dict())
    assert read_batches(resumed, 10 - seen) == whole[seen:]


def test_workers_decode_the_same_and_prefetching_does_not_move_the_state(
    pairs: TableIndex, no_children: None
) -> None:
    config = HERE.model_copy(update={"workers": 2})
    whole = read_batches(loader_of(pairs, sample_rate_hz=11025), 8)
    before = torch.get_rng_state()
    first = loader_of(pairs, config, sample_rate_hz=11025)
    handed_out = iter(first)
    assert [rows_of(next(handed_out)) for _ in range(4)] == whole[:4]
    assert first.state_dict()["epoch"] == 1 and first.state_dict()["samples_seen"] == BATCH
    workers = multiprocessing.active_children()
    assert [rows_of(next(handed_out)) for _ in range(3)] == whole[4:7]
    assert multiprocessing.active_children() == workers and len(workers) == 2
    first.close()
    assert torch.equal(before, torch.get_rng_state())
    resumed = loader_of(pairs, sample_rate_hz=11025)
    resumed.load_state_dict(first.state_dict())
    assert read_batches(resumed, 1) == whole[7:]


def test_ranks_put_together_are_the_same_at_every_world_size(pairs: TableIndex) -> None:
    for batch in (6, 7):
        whole = read_batches(loader_of(pairs, batch_size=batch), 6)
        for world in (2, 3, 5):
            ranks = [loader_of(pairs, batch_size=batch, rank=r, world=world) for r in range(world)]
            assert together(ranks, 6) == whole
            first = [next(iter(rank)) for rank in ranks]
            sizes = [len(each.clips) for each in first]
            assert max(sizes) - min(sizes) <= 1 and sum(sizes) == batch
            assert [each.start for each in first] == np.cumsum([0, *sizes[:-1]]).tolist()


def test_resume_at_another_world_size_is_bit_equal(pairs: TableIndex) -> None:
    whole = read_batches(loader_of(pairs), 7)
    state, start = loader_of(pairs).state_dict(), 0
    for world, end in ((1, 2), (2, 4), (3, 7)):
        ranks = [loader_of(pairs, rank=rank, world=world) for rank in range(world)]
        for rank in ranks:
            rank.load_state_dict(state)
        assert together(ranks, end - start) == whole[start:end]
        states = [rank.state_dict() for rank in ranks]
        assert all(each == states[0] for each in states)
        state, start = states[0], end


def test_a_state_that_does_not_fit_is_refused_by_name(
    pairs: TableIndex, uris: list[str], tmp_path: Path
) -> None:
    state = loader_of(pairs).state_dict()
    with pytest.raises(InputError, match="saved with seed 11, and this training has 12"):
        loader_of(pairs, seed=12).load_state_dict(state)
    with pytest.raises(InputError, match="saved with batch 6, and this training has 5"):
        loader_of(pairs, batch_size=5).load_state_dict(state)
    with pytest.raises(InputError, match="format 0, expected 1"):
        loader_of(pairs).load_state_dict({**state, "format": 0})
    uri = commit(str(tmp_path), pair_rows(uris))
    other = TableIndex.open(Storage(), uri)
    there = re.escape(pairs.tables[0]["uri"])
    with pytest.raises(InputError, match=f"saved with table and version .*{there}', 0.*resume"):
        loader_of(other).load_state_dict(state)
    commit(uri, pair_rows(uris), policy="another")
    with pytest.raises(InputError, match=r"', 0\]\], and this training has .*', 1\]\]"):
        loader_of(TableIndex.open(Storage(), uri)).load_state_dict(loader_of(other).state_dict())


def test_a_moved_or_closed_loader_ends_its_iterator(pairs: TableIndex) -> None:
    loader = loader_of(pairs)
    stale = iter(loader)
    first = rows_of(next(stale))
    loader.load_state_dict(loader_of(pairs).state_dict())
    assert list(stale) == []
    assert read_batches(loader, 1) == [first]


def test_long_clips_are_cropped_at_another_place_each_epoch(
    pairs: TableIndex, uris: list[str]
) -> None:
    found: dict[int, set[int]] = {}
    for batch in read_batches(loader_of(pairs, HERE.model_copy(update={"crop_s": 0.4})), 30):
        for clip, _, sound in batch:
            samples = np.frombuffer(sound, np.int16)
            decoded = decode_audio(Path(uris[clip]).read_bytes(), "", 0.1, None, 99).waveform
            whole = to_int16(decoded)
            assert len(samples) == min(len(whole), int(0.4 * RATE_HZ))
            step = int(0.04 * RATE_HZ)
            places = range(0, len(whole) - len(samples) + 1, step)
            [place] = [p for p in places if np.array_equal(whole[p : p + len(samples)], samples)]
            found.setdefault(clip, set()).add(place)
    longest = int(pairs.duration_s.argmax())
    assert len(found[longest]) > 5
    assert found[int(pairs.duration_s.argmin())] == {0}


def test_embedded_audio_is_decoded_as_the_files_are(
    pairs: TableIndex, uris: list[str], tmp_path: Path
) -> None:
    """Also where clips are cropped: noise at full scale, so any change of scale or place shows."""
    embedded = TableIndex.open(Storage(), commit(str(tmp_path), pair_rows(uris), embed=True))
    by_clip = [
        {(batch.epoch, clip): row for batch in islice(each, 9) for clip, row in _by_clip(batch)}
        for each in (loader_of(pairs), loader_of(embedded))
    ]
    shared = by_clip[0].keys() & by_clip[1].keys()
    assert len(shared) > 40
    assert all(by_clip[0][key] == by_clip[1][key] for key in shared)


def _by_clip(batch: AudioTextBatch) -> list[tuple[int, Row]]:
    return [(row[0], row) for row in rows_of(batch)]


def test_captions_are_drawn_by_rank_and_by_score(pairs: TableIndex) -> None:
    ranks, scores = np.array([1, 2, 3], np.int32), np.array([0.4, 0.45, 0.3], np.float32)
    assert caption_probabilities("uniform", ranks, scores) == pytest.approx([1 / 3] * 3)
    assert caption_probabilities("rank", ranks, scores) == pytest.approx([6 / 11, 3 / 11, 2 / 11])
    softmax = np.exp(scores / 0.05) / np.exp(scores / 0.05).sum()
    assert caption_probabilities("score", ranks, scores) == pytest.approx(softmax, rel=1e-4)


@pytest.mark.parametrize(
    ("captions", "share"),
    [("uniform", 1 / 3), ("rank", 6 / 11), ("score", 1 / (1 + np.exp(-1) + np.exp(-2)))],
)
def test_the_best_caption_is_drawn_as_often_as_its_weight_says(
    uris: list[str], tmp_path: Path, captions: str, share: float
) -> None:
    """900 draws: five standard errors are at most 0.083, and the shares lie further apart."""
    rows = [row for row in pair_rows(uris) if int(row["clip_id"][-3:]) in (2, 5, 8)]
    trio = TableIndex.open(Storage(), commit(str(tmp_path), rows))
    loader = loader_of(
        trio, LoaderConfig(workers=0, caption_sampling=captions, crop_s=0.1), batch_size=3
    )
    drawn = [caption for batch in islice(loader, 300) for caption in batch.captions]
    first = sum(caption.startswith("caption 1") for caption in drawn) / len(drawn)
    assert abs(first - share) < 5 * np.sqrt(share * (1 - share) / len(drawn))


@pytest.fixture
def some_missing(tmp_path: Path) -> tuple[TableIndex, list[int]]:
    """A table of which one file has gone, and one is no sound any more."""
    uris = write_wavs(tmp_path / "wavs", CLIPS)
    pairs = TableIndex.open(Storage(), commit(str(tmp_path / "table"), pair_rows(uris)))
    Path(uris[4]).unlink()
    Path(uris[9]).write_bytes(b"no sound")
    return pairs, [4, 9]


def test_a_missing_clip_stops_training_by_name(some_missing: tuple[TableIndex, list[int]]) -> None:
    pairs, _ = some_missing
    for config in (HERE, HERE.model_copy(update={"max_unreadable_fraction": 0.05})):
        with pytest.raises(InputError, match="clip clip00[49]: .*wav cannot be read") as raised:
            read_batches(loader_of(pairs, config), 6)
        for part in (
            "of 20 clips",
            "put the files back",
            "table: {audio: embed}",
            "max_unreadable_fraction",
        ):
            assert part in str(raised.value)


def test_another_clip_takes_a_missing_one_s_place_at_every_world_size(
    some_missing: tuple[TableIndex, list[int]],
) -> None:
    pairs, missing = some_missing
    config = HERE.model_copy(update={"max_unreadable_fraction": 0.1})
    batches = list(islice(loader_of(pairs, config), 6))
    messages = [message for batch in batches for message in batch.replaced]
    # 36 rows of 40: of two clips in two epochs, most are met.
    assert 1 <= len(messages) <= 4
    for message in messages:
        assert message.startswith(
            ("clip clip004 cannot be read (", "clip clip009 cannot be read (")
        )
        assert message.endswith("takes its place")
    whole = [rows_of(batch) for batch in batches]
    for rows in whole:
        clips = [row[0] for row in rows]
        assert len(set(clips)) == BATCH and not set(clips) & set(missing)
        assert all(len(row[2]) for row in rows)
    ranks = [loader_of(pairs, config, rank=rank, world=3) for rank in range(3)]
    assert together(ranks, 6) == whole


def test_rows_beside_a_missing_clip_are_those_of_the_whole_table(
    pairs: TableIndex, some_missing: tuple[TableIndex, list[int]]
) -> None:
    lacking, missing = some_missing
    config = HERE.model_copy(update={"max_unreadable_fraction": 0.1})
    replaced = 0
    for full, left in zip(
        read_batches(loader_of(pairs), 6), read_batches(loader_of(lacking, config), 6), strict=True
    ):
        for one, other in zip(full, left, strict=True):
            assert (one == other) == (one[0] not in missing)
            replaced += one != other
    assert replaced


def test_the_clip_of_the_same_row_in_the_next_batches_takes_the_place(
    pairs: TableIndex, some_missing: tuple[TableIndex, list[int]]
) -> None:
    """After the last batch come the clips that fill none, where the row has one, then the first."""
    lacking, missing = some_missing
    config = HERE.model_copy(update={"max_unreadable_fraction": 0.1})
    whole = torch.cat([b.clips for b in islice(loader_of(pairs), 12)])
    found = torch.cat([b.clips for b in islice(loader_of(lacking, config), 12)])
    for planned, decoded_in in zip(
        whole.reshape(4, 3, BATCH), found.reshape(4, 3, BATCH), strict=True
    ):
        for index, row in torch.argwhere(planned != decoded_in).tolist():
            after = [int(planned[(index + step) % 3, row]) for step in (1, 2)]
            if index + 1 < 3 and after[0] not in missing:
                assert int(decoded_in[index, row]) == after[0]
            else:
                excluded = set(range(CLIPS)) - set(planned.flatten().tolist())
                assert int(decoded_in[index, row]) in excluded | set(after)


def test_a_clip_that_no_other_can_replace_is_an_error(
    some_missing: tuple[TableIndex, list[int]],
) -> None:
    pairs, _ = some_missing
    config = HERE.model_copy(update={"max_unreadable_fraction": 0.5})
    with pytest.raises(InputError, match="no other batch of the epoch has a clip for its place"):
        read_batches(loader_of(pairs, config, batch_size=CLIPS), 1)


def test_batches_that_cannot_be_are_refused(pairs: TableIndex) -> None:
    with pytest.raises(InputError, match="a batch of 21 clips, and only 20 clips in .* version 0"):
        loader_of(pairs, batch_size=21)
    with pytest.raises(InputError, match="4 processes share a batch of 3 clips"):
        loader_of(pairs, batch_size=3, world=4)


def test_a_worker_that_dies_ends_training_with_its_reason(
    pairs: TableIndex, no_children: None
) -> None:
    loader = loader_of(pairs, HERE.model_copy(update={"workers": 1, "prefetch_batches": 1}))
    handed_out = iter(loader)
    next(handed_out)
    [worker] = multiprocessing.active_children()
    assert worker.pid is not None
    # torch tells of it between any two lines of the main thread, else the loader does: both say so.
    with pytest.raises(RuntimeError, match="DataLoader worker .*(killed|exited)"):
        os.kill(worker.pid, signal.SIGKILL)
        for _ in handed_out:
            pass
    loader.close()


def test_tables_and_clips_in_a_bucket_are_read_as_local_ones(
    pairs: TableIndex, uris: list[str], s3_folder: str, no_children: None
) -> None:
    there = [f"{s3_folder}/wavs/{Path(uri).name}" for uri in uris]
    for uri, copy in zip(uris, there, strict=True):
        Storage().put(copy, Path(uri).read_bytes())
    whole = read_batches(loader_of(pairs), 4)
    referenced = TableIndex.open(Storage(), commit(f"{s3_folder}/table", pair_rows(there)))
    in_worker = HERE.model_copy(update={"workers": 1})
    assert read_batches(loader_of(referenced, in_worker), 4) == whole
    embedded = TableIndex.open(
        Storage(), commit(f"{s3_folder}/embedded", pair_rows(there), embed=True)
    )
    assert embedded.audio_location(0).uri.startswith(f"{s3_folder}/embedded/")
    by_clip = dict(_by_clip(next(iter(loader_of(embedded, batch_size=CLIPS)))))
    by_file = dict(_by_clip(next(iter(loader_of(pairs, batch_size=CLIPS)))))
    assert by_clip == by_file


def test_bench_counts_what_was_handed_out(pairs: TableIndex) -> None:
    [row] = measure_loader_speed(pairs, HERE, BATCH, RATE_HZ, batches=6, worker_counts=[0])
    assert row.workers == 0 and row.first_batch_s > 0
    seconds = 6 * BATCH / row.clips_per_s
    samples = (
        sum(len(r[2]) for batch in read_batches(loader_of(pairs, seed=0), 7)[1:] for r in batch) / 2
    )
    assert row.mb_per_s * seconds == pytest.approx(2 * samples / 1e6)


@pytest.mark.parametrize("workers", [0, 1])
def test_clips_kept_in_memory_are_those_decoded(pairs: TableIndex, workers: int) -> None:
    """Long clips are cropped anew each epoch, whether or not others are kept."""
    kept = LoaderConfig(workers=workers, crop_s=0.7, cache_mb=100)
    assert read_batches(loader_of(pairs, kept), 8) == read_batches(loader_of(pairs), 8)
