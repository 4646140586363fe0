"""Publishing to the Hugging Face hub, by its own client and filesystem, to an imitation of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from curation.config.run import RunConfig
from curation.errors import InputError
from curation.publish import hub
from curation.publish.publish import publish_dataset
from curation.publish.rebuild import load_rebuild_source
from curation.storage.files import Storage
from tests.publish.conftest import CLIPS, WITHOUT_AUDIO, contents, publication
from tests.publish.test_publish import cut_after
from tests.support.hub_server import REPOSITORY, Hub, hub_server

TO = f"hf://{REPOSITORY}"
API = f"/api/datasets/{REPOSITORY}"


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    from huggingface_hub import HfFileSystem, constants

    with hub_server() as server:
        files = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, server.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
        HfFileSystem.clear_instance_cache()
        yield server
    HfFileSystem.clear_instance_cache()


def test_the_hub_gets_the_same_files_though_it_was_stopped(
    run: RunConfig, captions: Path, remote: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cut_after(2, monkeypatch):
        publish_dataset(publication(run, *WITHOUT_AUDIO), TO)
    publish_dataset(publication(run, *WITHOUT_AUDIO), TO)
    assert remote.files == contents(captions)
    made = remote.commits
    assert publish_dataset(publication(run, *WITHOUT_AUDIO), TO).summary is None
    assert remote.commits == made
    audio = Path(run.run).parent / "audio"
    assert load_rebuild_source(Storage(), TO, str(audio))[2].found == CLIPS


def test_what_is_on_the_hub_is_not_overwritten(run: RunConfig, remote: Hub) -> None:
    remote.files["README.md"] = b"---\nlicense: mit\n---\n"
    with pytest.raises(InputError, match="README.md: already there with other content"):
        publish_dataset(publication(run), TO)
    assert remote.files["README.md"].startswith(b"---\nlicense: mit")


def test_a_hub_that_does_not_tell_what_it_has_is_not_taken_for_empty(remote: Hub) -> None:
    remote.files["README.md"] = b"theirs"
    remote.refused = (f"{API}/tree",)
    with pytest.raises(OSError, match="403"):
        Storage().put_new(f"{hub.resolve_hub_uri(TO)}/README.md", b"mine")
    assert remote.files["README.md"] == b"theirs"


def test_a_token_that_may_not_write_is_explained(run: RunConfig, remote: Hub) -> None:
    remote.refused = (f"{API}/commit",)
    with pytest.raises(InputError, match="the hub denies access; log in with hf auth login"):
        publish_dataset(publication(run), TO)
    assert not remote.files


def test_a_dataset_that_the_hub_does_not_show_is_explained(run: RunConfig, remote: Hub) -> None:
    with pytest.raises(InputError, match="no dataset org/none; log in.*hf repos create org/none"):
        publish_dataset(publication(run), "hf://org/none")
    assert not remote.commits


@pytest.mark.parametrize(
    ("given", "known", "page"),
    [
        ("hf://org/name", "hf://datasets/org/name", "https://huggingface.co/datasets/org/name"),
        ("hf://datasets/o/n/", "hf://datasets/o/n", "https://huggingface.co/datasets/o/n"),
        ("hf://o/n@v2/sub", "hf://datasets/o/n@v2/sub", "https://huggingface.co/datasets/o/n"),
        ("s3://bucket/set", "s3://bucket/set", None),
        ("some/folder", "some/folder", None),
    ],
)
def test_an_address_on_the_hub_is_that_of_a_dataset(
    given: str, known: str, page: str | None
) -> None:
    assert hub.resolve_hub_uri(given) == known
    assert hub.hub_page_url(known) == page


@pytest.mark.parametrize(
    "given", ["hf://name", "hf://models/org/name", "hf://datasets/name", "hf://"]
)
def test_other_addresses_on_the_hub_are_refused(given: str) -> None:
    with pytest.raises(InputError, match="expected hf://org/name"):
        hub.resolve_hub_uri(given)
