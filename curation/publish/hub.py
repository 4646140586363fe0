"""Addresses of datasets on the Hugging Face hub: `hf://org/name` is a dataset here, not a model."""

from collections.abc import Iterator
from contextlib import contextmanager

from curation.errors import InputError
from curation.storage.files import Storage

_HUB = "hf://"
_DATASETS = "hf://datasets/"
_OTHERS = ("models", "spaces", "kernels", "buckets")


def resolve_hub_uri(uri: str) -> str:
    """Return the URI for the hub's filesystem: `hf://org/name` becomes `hf://datasets/org/name`.

    Raises InputError for a part of the hub that has no datasets, and for a missing name.
    """
    if not uri.startswith(_HUB):
        return uri
    kind, *names = uri.removeprefix(_HUB).strip("/").split("/")
    names = names if kind == "datasets" else [kind, *names]
    if kind in _OTHERS or len(names) < 2 or not all(names):
        raise InputError(f"{uri}: expected hf://org/name, a dataset of the hub")
    return _DATASETS + "/".join(names)


def hub_page_url(uri: str) -> str | None:
    """Return the web page of a dataset on the hub; None for a dataset elsewhere."""
    if not (repository := _repository(uri)):
        return None
    return f"https://huggingface.co/datasets/{repository.partition('@')[0]}"


def require_hub_repository(storage: Storage, uri: str) -> None:
    """Raise InputError if the hub has no such dataset repository, or denies access to it."""
    repository = _repository(uri)
    if repository and not storage.exists(_DATASETS + repository):
        name = repository.partition("@")[0]
        raise InputError(
            f"{uri}: the hub has no dataset {repository}; log in with hf auth login, create it "
            f"with hf repos create {name} --type dataset (--private)"
        )


@contextmanager
def explain_hub_errors(uri: str) -> Iterator[None]:
    """Convert errors of the hub in the block into InputErrors that state the remedy."""
    if not uri.startswith(_HUB):
        yield
        return
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except HfHubHTTPError as error:
        if error.response.status_code not in (401, 403):
            raise
        raise InputError(
            f"{uri}: the hub denies access; log in with hf auth login and a token with write "
            f"access ({error})"
        ) from error


def _repository(uri: str) -> str:
    """`org/name` or `org/name@revision`; empty for other URIs."""
    if not uri.startswith(_DATASETS):
        return ""
    return "/".join(uri.removeprefix(_DATASETS).split("/")[:2])
