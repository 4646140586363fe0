"""Tiny random models, built once a session, and the sounds that they are given."""

import copy

import numpy as np
import pytest
import torch

from curation.models.networks.dual_encoder import DualEncoder
from curation.models.networks.tag_guided_captioner import TagGuidedCaptioner
from tests.support.tiny_networks import tiny_captioner, tiny_dual_encoder


@pytest.fixture(scope="session", params=["memory", "additive"])
def captioner(request: pytest.FixtureRequest) -> TagGuidedCaptioner:
    return tiny_captioner(request.param)


@pytest.fixture
def eager(captioner: TagGuidedCaptioner) -> TagGuidedCaptioner:
    """The captioner, likelier to end a caption, so that clips end at different times."""
    model = copy.deepcopy(captioner)
    end = model.decoder.words.weight[model.config.eos_token_id]
    with torch.no_grad():
        model.decoder.norm.bias.add_(0.6 * end / end.square().sum())
    return model


@pytest.fixture(scope="session")
def dual_encoder() -> DualEncoder:
    return tiny_dual_encoder()


@pytest.fixture(scope="session")
def waveforms() -> list[np.ndarray]:
    """Eight sounds of 0.5 to 2 s at 8 kHz, all different."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(4000, 16000, size=8)
    return [
        (rng.normal(size=length) * np.sin(np.arange(length) * 0.002 * (index + 1))).astype("f4")
        for index, length in enumerate(lengths)
    ]
