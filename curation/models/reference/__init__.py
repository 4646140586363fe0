"""The reference models, trained on the procedural corpus and shipped with the package.

`make reference-models` trains them again. The metrics.json beside each model states its quality.
"""

from pathlib import Path
from typing import Literal


def reference_model_dir(kind: Literal["captioner", "clap"]) -> str:
    """Return the directory of a reference model's configuration, weights and tokenizer."""
    return str(Path(__file__).parent / kind)
