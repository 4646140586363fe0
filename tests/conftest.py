"""What all tests share: the real recordings beside the repository, and small planned runs."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """../shared/data: real recordings and lists; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"real recordings are not there: {SHARED}")
    return SHARED
