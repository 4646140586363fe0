"""What all tests share: the real recordings beside the repository, and small planned runs."""

import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3fs

from curation.cluster import cluster
from curation.config import RunConfig, parse
from curation.synth import write_corpus

S3_SECRET = "must-not-be-written-anywhere"
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """../shared/data: real recordings and lists; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"real recordings are not there: {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 procedural clips in AudioSet's layout: flac, wav and ogg, true and noisy tags."""
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(str(folder), clips=40, seed=77)
    return folder


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """One Ray for all tests that annotate in this process."""
    with cluster("local", cpus=5):
        yield


def corpus_run(corpus: Path, folder: Path, **sections: object) -> RunConfig:
    """A run over the corpus, in four shards, by the reference models."""
    return parse(
        {
            "run": str(folder),
            "catalog": {
                "kind": "audioset",
                "segments": str(corpus / "segments_noisy.csv"),
                "audio": str(corpus / "audio"),
            },
            "annotate": {"shard_clips": 10, "actors": 2},
            **sections,
        },
        "test",
    )


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """An S3 on loopback in a process of its own; its URL.

    Not a thread: the Delta writer holds the interpreter while it waits for an answer.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while socket.socket().connect_ex(("127.0.0.1", port)):
        assert server.poll() is None and time.monotonic() < deadline, "moto did not start"
        time.sleep(0.1)
    yield f"http://127.0.0.1:{port}"
    server.kill()
    server.wait()


@pytest.fixture
def s3_folder(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket."""
    for name, value in {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": S3_SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    # s3fs keeps its connections for the endpoint that it saw first.
    s3fs.S3FileSystem.clear_instance_cache()
    bucket = uuid.uuid4().hex
    s3fs.S3FileSystem().mkdir(bucket)
    yield f"s3://{bucket}"
    s3fs.S3FileSystem.clear_instance_cache()
