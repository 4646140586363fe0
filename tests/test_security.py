"""What must not get out, and what must not get in: credentials, archive members, bombs."""

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from curation import table
from curation.audio import segment
from curation.audio.decode import decode_audio
from curation.audio.errors import AudioError
from curation.catalog.catalog import list_clips
from curation.config.catalog import WebDatasetConfig
from curation.engine import driver
from curation.errors import InputError
from curation.run import catalog_plan, layout
from curation.run.config_file import parse_run_config
from curation.select import apply
from curation.storage.files import Storage
from tests.storage.test_s3 import run_in
from tests.support.moto_server import S3_SECRET
from tests.support.runs import write_yaml

S3_TOKEN = "nor-must-this-token-be-written"
SECRETS = (S3_SECRET.encode(), S3_TOKEN.encode())


# --- credentials


class Processes(threading.Thread):
    """Looks at the command line of every process of the machine, over and over."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: set[bytes] = set()
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(0.05):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.seen.add(path.read_bytes())
                except OSError:  # it has ended
                    continue

    def end(self) -> set[bytes]:
        self._ended.set()
        self.join()
        return self.seen


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder with a short path, as Ray's sockets need."""
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_credentials_stay_in_the_environment(
    corpus: Path, tmp_path: Path, s3_folder: str, short_folder: Path, own_ray: None
) -> None:
    config = run_in(s3_folder, corpus, cluster="ray")
    path = write_yaml(config, tmp_path)
    environment = {
        **os.environ,
        "AWS_SESSION_TOKEN": S3_TOKEN,
        "RAY_TMPDIR": str(short_folder),
        "TMPDIR": str(tmp_path),
    }
    processes = Processes()
    processes.start()
    printed = b""
    for command in ("run", "status", "show", "verify"):
        arguments = [Path(sys.executable).parent / "tagscribe", command, path]
        ended = subprocess.run(arguments, env=environment, capture_output=True, timeout=300)
        assert ended.returncode == 0, ended.stderr.decode()
        printed += ended.stdout + ended.stderr
    seen = processes.end()
    assert any(b"raylet" in line for line in seen), "the processes of the run were looked at"
    for secret in SECRETS:
        assert secret not in printed, "printed"
        assert not any(secret in line for line in seen), "in a process list"
        for file in Storage().list_files(config.run):
            assert secret not in Storage().read_bytes(file.uri), file.uri
        logs = [file for folder in (short_folder, tmp_path) for file in folder.rglob("*")]
        logs = [file for file in logs if file.is_file()]
        assert len(logs) > 5, "Ray's logs are looked at as well"
        for file in logs:
            assert secret not in file.read_bytes(), file


def test_a_refusal_does_not_repeat_the_secret(
    tmp_path: Path, rados_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = "wrong-and-still-nobodys-business"
    path = tmp_path / "run.yaml"
    settings = {"run": f"{rados_folder}/run", "catalog": {"kind": "folder", "audio": rados_folder}}
    path.write_text(yaml.safe_dump(settings))
    ended = subprocess.run(
        [Path(sys.executable).parent / "tagscribe", "status", path],
        env={**os.environ, "AWS_SECRET_ACCESS_KEY": wrong},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ended.returncode == 1 and "access denied" in ended.stderr
    assert wrong not in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr


# --- archive members


def archive(folder: Path, *members: tarfile.TarInfo, content: bytes = b"") -> str:
    path = folder / "data" / "a.tar"
    path.parent.mkdir()
    with tarfile.open(path, "w") as tar:
        for member in members:
            if member.isreg():
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return str(path)


NAMES = ["/etc/evil.wav", "../evil.wav", "a/../../../evil.wav", "tame.wav"]


def test_no_member_leaves_its_archive_and_none_the_table(tmp_path: Path) -> None:
    sound = encoded(np.sin(np.arange(16000) / 9).astype(np.float32), 16000, "WAV", "PCM_16")
    symbolic, hard = tarfile.TarInfo("link.wav"), tarfile.TarInfo("hard.wav")
    symbolic.type, symbolic.linkname = tarfile.SYMTYPE, "/etc/hostname"
    hard.type, hard.linkname = tarfile.LNKTYPE, "../run.yaml"
    archive(tmp_path, symbolic, hard, *map(tarfile.TarInfo, NAMES), content=sound)
    before = {path for path in tmp_path.rglob("*")}
    config = parse_run_config(
        {
            "run": str(tmp_path / "run"),
            "catalog": {"kind": "webdataset", "data": str(tmp_path / "data")},
            "annotate": {"actors": 1},
            "table": {"audio": "embed"},
        },
        "test",
    )
    catalog_plan.create_plan(config)
    driver.annotate_run(config, lambda done, total: None)
    apply.select_pairs(config)
    rows = table.read_pairs(Storage(), layout.table_uri(config.run)).to_pylist()
    assert sorted(row["clip_id"] + ".wav" for row in rows) == sorted(NAMES)
    paths = sorted(row["audio"]["path"] for row in rows)
    assert paths == ["etc/evil.flac", "evil.flac", "evil.flac", "tame.flac"]
    made = {path for path in tmp_path.rglob("*")} - before
    assert all(path.is_relative_to(tmp_path / "run") for path in made)
    assert not any("evil" in path.name for path in made)


def test_json_that_claims_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    member = tarfile.TarInfo("a.json")
    member.size = 2**34
    # A header alone, and a sparse file: gigabytes that lie on no disk.
    with path.open("wb") as file:
        file.write(member.tobuf(tarfile.GNU_FORMAT))
        file.truncate(2**34 + 2**20)
    with pytest.raises(InputError, match="a.json in .*17179869184 bytes of JSON"):
        list_clips(Storage(), WebDatasetConfig(data=str(path)))


# --- bombs


def refused(data: bytes) -> AudioError:
    with pytest.raises(AudioError) as raised:
        decode_audio(data, "bomb", None, None, 10.0)
    return raised.value


def encoded(samples: np.ndarray, rate: int, format: str, subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with soundfile.SoundFile(file, "w", rate, channels, subtype, format=format) as sound:
        # libsndfile's Vorbis takes all of a block on its stack.
        for start in range(0, len(samples), 65536):
            sound.write(samples[start : start + 65536])
    return file.getvalue()


@pytest.mark.parametrize("format", ["FLAC", "OGG"])
def test_hours_of_silence_in_few_bytes_cost_no_more_than_a_clip(format: str) -> None:
    data = encoded(np.zeros(3600 * 8000, np.int16), 8000, format)
    assert len(data) < 2**20
    tracemalloc.start()
    decoded = decode_audio(data, "bomb", None, None, 10.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert decoded.duration_s == pytest.approx(10.0, abs=0.01)
    assert decoded.start_s == pytest.approx(1795.0, abs=0.1)
    assert peak < 5 * 2**20, "an hour would be 115 MB"


def test_a_recording_beyond_a_day_is_refused_before_it_is_decoded() -> None:
    data = encoded(np.zeros(25 * 3600 * 100, np.int16), 100, "FLAC")
    error = refused(data)
    assert error.kind == "too_long"
    assert "lasts 90000 s; at most 86400 s" in str(error)


def test_the_limit_on_samples_counts_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment, "MAX_DECODED_SAMPLES", 8 * 8000 * 9)
    eight = np.zeros((10 * 8000, 8), np.int16)
    error = refused(encoded(eight, 8000, "FLAC"))
    assert error.kind == "too_large" and "640000 samples" in str(error)
    assert decode_audio(encoded(eight[:, :2], 8000, "FLAC"), "a", None, None, 10.0).duration_s == 10


def test_a_segment_of_a_long_film_costs_no_more_than_a_clip(tmp_path: Path) -> None:
    pytest.importorskip("av")
    data = _adts(3600.0)
    tracemalloc.start()
    decoded = decode_audio(data, "bomb.aac", None, None, 10.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert decoded.duration_s == pytest.approx(10.0, abs=0.1)
    assert peak < 40 * 2**20, "an hour would be 115 MB"


def _adts(seconds: float) -> bytes:
    """Silence as raw AAC, which has no index and no length: FFmpeg reads it from its beginning."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="adts") as container:
        stream = container.add_stream("aac", rate=8000)
        block = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        block.sample_rate = 8000
        for index in range(int(seconds * 8000 / 1024)):
            block.pts = index * 1024
            container.mux(stream.encode(block))
        container.mux(stream.encode(None))
    return file.getvalue()
