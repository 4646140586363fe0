"""Avoids the import of pandas in a program that does not use it."""

import sys
from importlib.machinery import ModuleSpec

import pyarrow as pa


def defer_pandas() -> None:
    """Let pyarrow import pandas only for a call that needs it, such as `to_pandas`.

    When pyarrow first converts Python values, it imports pandas, if installed, to recognise pandas
    objects among them: 0.3 s and 25 MB of a process. If this import fails, pyarrow tries again in
    calls that require it. Until then a pandas object is converted like any sequence.
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
        """Raise ImportError for pandas; other modules are left to the other finders."""
        if name == "pandas":
            raise ImportError("not imported where nothing needs it")
        return None
