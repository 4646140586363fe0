"""Where the tests find the repository and the data beside it."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
# Real recordings and lists. A clone has none: tests that need them skip.
SHARED_DATA = REPOSITORY.parent / "shared" / "data"
