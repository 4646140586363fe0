"""The executors: a test with the fixture `cluster` runs under each."""

import pytest


@pytest.fixture(params=["local", "local_ray"])
def cluster(request: pytest.FixtureRequest) -> str:
    """The setting `cluster` of a run: local processes, then the Ray that all tests share."""
    if request.param == "local":
        return "local"
    request.getfixturevalue(request.param)
    return "ray"
