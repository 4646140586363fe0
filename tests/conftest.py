"""What all tests share: the real recordings beside the repository, and small planned runs."""

import shutil
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3fs
import torch
import yaml
from pydantic import BaseModel

from curation.cluster.session import ray_session
from curation.config.run import RunConfig
from curation.run.config_file import parse_run_config
from curation.select import apply
from curation.storage import files as storage
from curation.storage.settings import StorageConfig
from curation.synth import write_corpus
from tests.support import in_process
from tests.support.moto_server import moto_server
from tests.support.paths import SHARED_DATA
from tests.support.rados_gateway import Gateway, gateway, need_gateway

S3_SECRET = "must-not-be-written-anywhere"
# The gateway's own tool takes it as an argument, so it is in the list of processes for a moment.
RADOS_SECRET = "of-the-gateway-and-nobody-else"
THREADS = torch.get_num_threads()


# The slowest come first, so that no process of two is left with them when the other one is done.
SLOWEST = ("test_chaos.py", "test_cluster.py", "test_launch.py", "test_engine.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in SLOWEST)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """../shared/data: real recordings and lists; tests that need it skip where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real recordings are not there: {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 procedural clips in AudioSet's layout: flac, wav and ogg, true and noisy tags."""
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(str(folder), clips=40, seed=77)
    return folder


@pytest.fixture(scope="session")
def local_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One Ray for all tests that annotate in this process."""
    with pytest.MonkeyPatch.context() as patch:
        # Where its workers put the code that models bring: not into the home folder.
        patch.setenv("HF_MODULES_CACHE", str(tmp_path_factory.mktemp("modules")))
        with ray_session("local", cpus=5):
            yield


@pytest.fixture(scope="session")
def undisturbed(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """A run that nothing disturbed, not even Ray, to compare others with.

    Who changes it takes a copy.
    """
    config = corpus_run(corpus, tmp_path_factory.mktemp("run"), select={"keep_top": 0.5})
    in_process.annotated(config)
    apply.select(config)
    return config


@pytest.fixture(scope="session")
def annotated_here(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """A run whose shards one worker annotated in this process, without Ray; nothing is selected."""
    config = corpus_run(corpus, tmp_path_factory.mktemp("annotated") / "run")
    in_process.annotated(config)
    return config


def copy_of(run: RunConfig, folder: Path) -> RunConfig:
    """An annotated run in another folder, nothing selected of it yet."""
    shutil.copytree(run.run, folder, ignore=shutil.ignore_patterns("table", "decisions"))
    return run.model_copy(update={"run": str(folder)})


def corpus_run(corpus: Path, folder: Path, **sections: object) -> RunConfig:
    """A run over the corpus, in four shards, by the reference models."""
    return parse_run_config(
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


def heed_ctrl_c() -> None:
    """In a new process: what a shell starts in the background inherits that Ctrl-C is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def write_yaml(config: BaseModel, folder: Path) -> Path:
    """A configuration as the file that a command reads."""
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    return path


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """An S3 on loopback that starts at once; its URL."""
    with moto_server() as url:
        yield url


@pytest.fixture
def s3_folder(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket on moto, which is quick and checks no signature."""
    environment = {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": S3_SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    yield from new_bucket(environment, monkeypatch)


@pytest.fixture(scope="session")
def rados_gateway() -> Iterator[Gateway]:
    """Ceph's RADOS gateway, a real S3 server; see `tests.support.rados_gateway`."""
    need_gateway()
    with gateway(RADOS_SECRET) as started:
        yield started


@pytest.fixture
def rados_folder(rados_gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket on the RADOS gateway."""
    yield from new_bucket(rados_gateway.environment, monkeypatch)


@pytest.fixture(autouse=True)
def default_storage() -> Iterator[None]:
    """What a test says of object storage holds for that test."""
    yield
    storage.configure(StorageConfig())


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    """A worker that a test sets up takes its share of the threads; sums depend on their number.

    Their number is that of the start: what a module's fixture sets up comes before this one.
    """
    yield
    torch.set_num_threads(THREADS)


def new_bucket(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    # s3fs keeps its connections for the endpoint that it saw first.
    s3fs.S3FileSystem.clear_instance_cache()
    name = uuid.uuid4().hex
    s3fs.S3FileSystem().mkdir(name)
    yield f"s3://{name}"
    s3fs.S3FileSystem.clear_instance_cache()
