"""Writes the result of an evaluation as a JSON file, and prints it as a table."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from curation import console
from curation.storage.files import Storage
from training.evaluate.evalset import EvalClip


def hash_data_version(clips: Iterable[EvalClip]) -> str:
    """Identify the data by a SHA-256 over the clips' names and sizes, sorted by name."""
    digest = hashlib.sha256()
    for name, size in sorted((clip.name, clip.size_bytes) for clip in clips):
        digest.update(f"{name}\t{size}\n".encode())
    return digest.hexdigest()


def write_eval_result(storage: Storage, uri: str, result: Mapping[str, Any]) -> None:
    """Write a result in one atomic step, as standard JSON."""
    text = json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False)
    storage.put(uri, (text + "\n").encode())


def print_eval_result(result: Mapping[str, Any]) -> None:
    """Print the data set and the figures, one row for each prompt or direction."""
    rows = [
        (name.replace("_", " "), {key: value for key, value in row.items() if _is_figure(value)})
        for name, row in result["figures"].items()
    ]
    console.print_table(
        f"{result['dataset']}, {result['split']}",
        ["", *rows[0][1]],
        [[name, *(f"{value:.3f}" for value in row.values())] for name, row in rows],
    )
    console.print_fields(
        {
            "clips": result["clips"],
            "missing": result["missing"],
            "unreadable": len(result["errors"]),
            "crop": result["crop"],
            "model": result["model"]["model"],
        }
    )


def _is_figure(value: object) -> bool:
    return isinstance(value, float)
