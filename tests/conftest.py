"""What all tests share: the real recordings beside the repository, and small planned runs."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
import s3fs
import torch
from playwright.sync_api import Browser

from curation.cluster.session import ray_session
from curation.config.run import RunConfig
from curation.select import apply
from curation.synth.corpus import write_corpus
from tests.support import in_process
from tests.support.chromium import chromium
from tests.support.moto_server import S3_SECRET, moto_server
from tests.support.paths import SHARED_DATA
from tests.support.rados_gateway import RADOS_SECRET, Gateway, gateway, need_gateway
from tests.support.runs import corpus_run

THREADS = torch.get_num_threads()

# A test gets its markers from the fixtures that it uses, so that a new test needs none written.
MARKERS = {
    "cluster": {"local_ray", "own_ray", "ray_nodes"},
    "storage": {"s3_server", "s3_folder", "rados_gateway", "rados_folder"},
    "browser": {"browser"},
    "chaos": {"scene"},
}
# The slowest come first, so that no process of two is left with them when the other one is done.
SLOWEST = ("test_chaos.py", "test_cluster.py", "test_launch.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        needed = needed_fixtures(item)
        for marker, fixtures in MARKERS.items():
            if fixtures & needed:
                item.add_marker(marker)
    items.sort(key=lambda item: item.path.name not in SLOWEST)


def needed_fixtures(item: pytest.Item) -> set[str]:
    """The fixtures of a test, those that other fixtures use, and those that a parameter names."""
    names = set(getattr(item, "fixturenames", ()))
    if callspec := getattr(item, "callspec", None):
        names |= {value for value in callspec.params.values() if isinstance(value, str)}
    return names


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
def local_ray() -> Iterator[None]:
    """One Ray for all tests that use it from this process."""
    with ray_session("ray", cpus=5):
        yield


@pytest.fixture(scope="session")
def own_ray() -> None:
    """For a test that starts Ray itself, or a program that does: it gets the marker by this."""


@pytest.fixture(scope="session")
def undisturbed(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """A run that nothing disturbed, not even Ray, to compare others with.

    Who changes it takes a copy.
    """
    config = corpus_run(corpus, tmp_path_factory.mktemp("run"), select={"top_fraction": 0.5})
    in_process.annotate_in_process(config)
    apply.select_pairs(config)
    return config


@pytest.fixture(scope="session")
def annotated_here(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """A run whose shards one worker annotated in this process, without Ray; nothing is selected."""
    config = corpus_run(corpus, tmp_path_factory.mktemp("annotated") / "run")
    in_process.annotate_in_process(config)
    return config


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


# Of a module, as it runs an event loop in this thread: another test could start none of its own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium; see `tests.support.chromium`."""
    with chromium() as started:
        yield started


@pytest.fixture(autouse=True)
def no_ray_in_unit_tests(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test without the marker `cluster` cannot start Ray, so that none lacks the marker."""
    with pytest.MonkeyPatch.context() as patch:
        if request.node.get_closest_marker("cluster") is None:
            patch.setattr(ray, "init", _refuse_ray)
        yield


def _refuse_ray(**options: object) -> None:
    pytest.fail("a test that starts Ray uses the fixture local_ray, own_ray or ray_nodes")


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
