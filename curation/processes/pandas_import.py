"""Avoids the import of pandas in programs that do not use it."""

import sys
from importlib.machinery import ModuleSpec

import pyarrow as pa


def defer_pandas() -> None:
    """Let pyarrow import pandas only for a call that needs it, such as `to_pandas`.

    When pyarrow first converts Python values, it imports pandas (if installed) to recognise pandas
    objects among them. The import takes 0.3 s and 25 MB in each process. This function makes the
    first import fail. pyarrow tries again in calls that require pandas. Until then it converts a
    pandas object like any sequence.
    """
    if "pandas" in sys.modules:
        return
    finder = _PandasRefuser()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(finder)


class _PandasRefuser:
    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        """Raise ImportError for pandas; leave other modules to the other finders."""
        if name == "pandas":
            raise ImportError("not imported where nothing needs it")
        return None
