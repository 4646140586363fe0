"""What the catalogs' tests share: small sounds."""

import io

import numpy as np
import pytest
import soundfile


@pytest.fixture(scope="session")
def sound() -> bytes:
    """A tenth of a second of FLAC."""
    file = io.BytesIO()
    tone = np.sin(np.arange(800) / 5).astype(np.float32) / 2
    soundfile.write(file, tone, 8000, format="FLAC")
    return file.getvalue()
