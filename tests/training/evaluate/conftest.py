"""What the evaluation's tests share: short sounds written as files, and the reference model."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from curation.models.scorers.dual_encoder import DualEncoderScorer

Write = Callable[[str], Path]


@pytest.fixture
def sound_file(tmp_path: Path) -> Write:
    """Writes half a second of noise, other noise each time, to a path below `tmp_path`."""
    rng = np.random.default_rng(5)

    def write(path: str) -> Path:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(file, rng.normal(0, 0.1, 8000).astype(np.float32), 16000)
        return file

    return write


@pytest.fixture(scope="session")
def reference() -> DualEncoderScorer:
    scorer = DualEncoderScorer(device="cpu")
    scorer.setup()
    return scorer
