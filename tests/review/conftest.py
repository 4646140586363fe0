"""A run to review, with sounds to hear and texts of strangers, and its server on loopback."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from curation import audio, plan, planning, sink
from curation.config import RunConfig, parse
from curation.review import build, server
from curation.review.answers import Answers
from curation.review.labels import Labels
from curation.schema import CLIP_SCHEMA, EVIDENCE_SCHEMA
from tests.runs import MODELS

TOKEN = "the-token-of-tests"
HOSTILE = '<img src=x onerror=alert(1)> "\u202equoted\u202c" & <script>alert(2)</script>\x07'
SHARD_CLIPS = 10


@dataclass(frozen=True)
class Reviewed:
    """A server of a run, and what it serves."""

    url: str
    config: RunConfig
    answers: Answers

    @property
    def address(self) -> str:
        return f"{self.url}/#{TOKEN}"


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Indexes of tests lie in no user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def config(corpus: Path, tmp_path: Path) -> RunConfig:
    return heard_run(corpus, tmp_path / "run")


@pytest.fixture
def reviewed(config: RunConfig) -> Iterator[Reviewed]:
    with serving(config) as started:
        yield started


def heard_run(corpus: Path, folder: Path) -> RunConfig:
    """A run over the corpus's sounds: four captions a clip, the first clip's hostile, one error."""
    config = parse(
        {
            "run": str(folder),
            "catalog": {"kind": "folder", "audio": str(corpus / "audio")},
            "annotate": {"shard_clips": SHARD_CLIPS},
            "select": {"min_score": 0.3},
        },
        "test",
    )
    files = sorted((corpus / "audio").iterdir())
    listing = pa.Table.from_pylist(
        [{"clip_id": file.stem, "uri": str(file), "tags": []} for file in files], CLIP_SCHEMA
    )
    planned = plan.make(listing, SHARD_CLIPS)
    planning.run.write_record(config.run, planning.record_of(config, planned, MODELS))
    rows = [evidence_row(number, file) for number, file in enumerate(files)]
    for shard in range(planned.shards):
        part = rows[shard * SHARD_CLIPS : (shard + 1) * SHARD_CLIPS]
        sink.write_shard(config.run, shard, pa.Table.from_pylist(part, EVIDENCE_SCHEMA))
    return config


def evidence_row(number: int, file: Path) -> dict[str, object]:
    name = HOSTILE if number == 0 else f"Tag {number % 7}"
    row: dict[str, object] = {
        "clip_id": file.stem,
        "uri": str(file),
        "audio_sha256": audio.sha256(file.read_bytes()),
        "tags": [{"mid": f"/m/{number % 7}", "name": name, "confidence": 1.0, "origin": "human"}],
        "guidance": [name],
        "candidates": [],
        "outcome": "ok",
    }
    if number == 1:
        error = {"stage": "decode", "type": "truncated", "message": HOSTILE}
        return {**row, "outcome": "error", "error": error}
    texts = [HOSTILE] if number == 0 else ["a dog barks", "rain falls", "Dogs bark", "an engine"]
    row["candidates"] = [
        {
            "caption": f"{text} {number}",
            "method": "beam",
            "log_prob": -0.1 * place - number / 100,
            "clap_score": 0.1 + number / 80 - place / 50,
        }
        for place, text in enumerate(texts)
    ]
    return row


@contextmanager
def serving(config: RunConfig, marker: str = "Ann") -> Iterator[Reviewed]:
    """The review server of a run, on a free port, in a thread of its own."""
    index = build.opened(config.run, lambda done, total: None)
    answers = Answers(index, Labels(config.run, index, marker))
    about = {"policy": config.select.model_dump(mode="json"), "marker": marker}
    ports: list[int] = []
    ready, loop = threading.Event(), asyncio.new_event_loop()

    def on_ready(port: int) -> None:
        ports.append(port)
        ready.set()

    task = loop.create_task(server.serve(server.application(answers, about, TOKEN), 0, on_ready))

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
