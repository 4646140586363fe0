"""Where the tests find the repository and the data beside it."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
# Real recordings and lists. A clone has none: tests that need them skip.
SHARED_DATA = REPOSITORY.parent / "shared" / "data"
# Inputs that failed once, each with its command; `tests.cases` runs them.
SHARED_CASES = REPOSITORY.parent / "shared" / "cases"
