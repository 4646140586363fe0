"""What the catalogs' tests share: small sounds, and an S3 of their own on this machine."""

import io
import uuid
from collections.abc import Iterator

import numpy as np
import pytest
import s3fs
import soundfile
from moto.server import ThreadedMotoServer


@pytest.fixture(scope="session")
def sound() -> bytes:
    """A tenth of a second of FLAC."""
    file = io.BytesIO()
    tone = np.sin(np.arange(800) / 5).astype(np.float32) / 2
    soundfile.write(file, tone, 8000, format="FLAC")
    return file.getvalue()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_folder(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket."""
    for name, value in {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    # s3fs keeps its connections for the endpoint that it saw first.
    s3fs.S3FileSystem.clear_instance_cache()
    bucket = uuid.uuid4().hex
    s3fs.S3FileSystem().mkdir(bucket)
    yield f"s3://{bucket}"
    s3fs.S3FileSystem.clear_instance_cache()
