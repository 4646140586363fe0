"""What all tests share: the real recordings beside the repository, and small planned runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from curation.cluster import cluster
from curation.config import RunConfig, parse
from curation.synth import write_corpus

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
