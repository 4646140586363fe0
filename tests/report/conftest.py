"""The page of a run whose texts are meant to do harm."""

import pytest

from curation.run.layout import RunFolder
from tests.report.hostile import HOSTILE, run_of
from tests.report.page_of import build_page

SECRET = "must-not-be-shown"


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> str:
    """All of HOSTILE, a secret of the environment, and a login in a URL."""
    config = run_of(
        tmp_path_factory.mktemp("hostile"), (*HOSTILE, f"see {SECRET} and s3://me:word@host/x")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MY_SECRET_KEY", SECRET)
        return build_page(RunFolder.from_config(config)).html
