"""Runs to review, with sounds and untrusted texts, and their servers on loopback."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from curation.audio.decode import sha256_hex
from curation.audio.waveform import encode_flac
from curation.config.run import RunConfig
from curation.review import index_builder, server
from curation.review.labels import Labels
from curation.review.service import ReviewService
from curation.run import evidence, layout
from curation.run.layout import RunFolder
from curation.schema import EVIDENCE_SCHEMA
from curation.storage.files import Storage
from tests.support.runs import planned_run

TOKEN = "the-token-of-tests"
HOSTILE = '<img src=x onerror=alert(1)> "\u202equoted\u202c" & <script>alert(2)</script>\x07'
TEXTS = ("a dog barks", "rain falls", "Dogs bark", "an engine")
CLIPS = 40
SHARD_CLIPS = 10
RATE_HZ = 16_000
STRETCH_S = 1.5


@dataclass(frozen=True)
class Reviewed:
    """A server of a run, and what it serves."""

    url: str
    config: RunConfig
    answers: ReviewService

    @property
    def address(self) -> str:
        return f"{self.url}/#{TOKEN}"


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Indexes of tests lie in no user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reviewed]:
    """A server that is asked by many tests, of which none leaves a mark."""
    with serving(listened_run(tmp_path_factory.mktemp("read"))) as started:
        yield started


@pytest.fixture(scope="module")
def scored_twice(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """A run with a second scorer, whose captioner tells no log-probability."""
    return listened_run(tmp_path_factory.mktemp("twice"), second=True)


@pytest.fixture(scope="module")
def second_scorer(scored_twice: RunConfig) -> Iterator[Reviewed]:
    """A server of that run, of whose tests none leaves a mark."""
    with serving(scored_twice) as started:
        yield started


@pytest.fixture
def config(scored_twice: RunConfig) -> Iterator[RunConfig]:
    """A run to mark; its marks are gone when the test ends."""
    yield scored_twice
    Storage().delete_tree(layout.marks_uri(scored_twice.run))


@pytest.fixture
def marking(config: RunConfig) -> Iterator[Reviewed]:
    """A server that takes marks."""
    with serving(config) as started:
        yield started


def listened_run(folder: Path, second: bool = False) -> RunConfig:
    """A run of short sounds: four captions a clip, the first clip's hostile, one error.

    Its captioner tells its log-probabilities or, where there is a second scorer, does not.
    """
    config = planned_run(folder, CLIPS, SHARD_CLIPS, select={"min_score": 0.3})
    noise = np.random.default_rng(1).integers(-2000, 2000, int(STRETCH_S * RATE_HZ), np.int16)
    sound = encode_flac(noise, RATE_HZ)
    rows = [
        evidence_row(number, folder / f"{number}.flac", sound, second) for number in range(CLIPS)
    ]
    for shard in range(CLIPS // SHARD_CLIPS):
        part = rows[shard * SHARD_CLIPS : (shard + 1) * SHARD_CLIPS]
        evidence.write_evidence_shard(
            RunFolder.from_config(config), shard, pa.Table.from_pylist(part, EVIDENCE_SCHEMA)
        )
    return config


def evidence_row(number: int, file: Path, sound: bytes, second: bool) -> dict[str, object]:
    file.write_bytes(sound)
    name = HOSTILE if number == 0 else f"Tag {number % 7}"
    row: dict[str, object] = {
        "clip_id": f"clip{number:05d}",
        "uri": str(file),
        "start_s": 0.0,
        "end_s": STRETCH_S,
        "duration_s": STRETCH_S,
        "audio_sha256": sha256_hex(sound),
        "tags": [{"mid": f"/m/{number % 7}", "name": name, "confidence": 1.0, "origin": "human"}],
        "guidance": [name],
        "candidates": [],
        "outcome": "ok",
    }
    if number == 1:
        error = {"stage": "decode", "type": "truncated", "message": HOSTILE}
        return {**row, "duration_s": None, "outcome": "error", "error": error}
    row["candidates"] = [
        {
            "caption": f"{text} {number}",
            "method": "beam",
            "log_prob": None if second else -0.1 * place - number / 100,
            "clap_score": 0.1 + number / 80 - place / 50,
            "second_score": (number * 7 + place * 11) % 40 / 40 if second else None,
        }
        for place, text in enumerate([HOSTILE] if number == 0 else TEXTS)
    ]
    return row


@contextmanager
def serving(config: RunConfig, marker: str = "Ann") -> Iterator[Reviewed]:
    """The review server of a run, on a free port, in a thread of its own."""
    index = index_builder.open_index(RunFolder.from_config(config), lambda done, total: None)
    run = RunFolder.from_config(config)
    answers = ReviewService(run, index, Labels(run, index, marker))
    about = {"policy": config.select.model_dump(mode="json"), "marker": marker}
    ports: list[int] = []
    ready, loop = threading.Event(), asyncio.new_event_loop()

    def on_ready(port: int) -> None:
        ports.append(port)
        ready.set()

    task = loop.create_task(
        server.serve_application(server.create_application(answers, about, TOKEN), 0, on_ready)
    )

    def work() -> None:
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(task)

    thread = threading.Thread(target=work)
    thread.start()
    assert ready.wait(120), "the server did not start"
    try:
        yield Reviewed(f"http://127.0.0.1:{ports[0]}", config, answers)
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        loop.close()
