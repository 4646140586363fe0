"""Omni models are read from the directory of the whole; the half that writes captions."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from curation.config.models import AudioLlmConfig
from curation.models.captioners.base import Captioner
from curation.models.captioners.build import build_captioner
from curation.schema import Tag

pytest.importorskip("torchvision", reason="Omni processors want it: pip install 'tagscribe[omni]'")

from tests.models.captioners.contract import SEEDS, captions_of  # noqa: E402
from tests.support import tiny_omni  # noqa: E402

DOG = Tag("/m/0bt9lr", "Dog")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_omni.qwen2_5_omni(tmp_path_factory.mktemp("omni"))


@pytest.fixture(scope="module")
def adapter(folder: Path) -> Captioner:
    config = AudioLlmConfig(model=str(folder), dtype="float32", max_tokens=48)
    made = build_captioner(config)
    made.setup()
    return made


@pytest.fixture(scope="module")
def sounds() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [(0.1 * rng.normal(size=length)).astype("f4") for length in (8_000, 40_000, 3)]


def test_the_half_that_writes_has_the_weights_of_the_whole(
    folder: Path, adapter: Captioner
) -> None:
    stored = load_file(folder / "model.safetensors")
    assert {name.split(".")[0] for name in stored} == {"thinker", "talker", "token2wav"}
    model = adapter._loaded._model  # type: ignore[attr-defined]
    assert type(model).__name__ == "Qwen2_5OmniThinkerForConditionalGeneration"
    thinker = sum(tensor.numel() for name, tensor in stored.items() if name.startswith("thinker"))
    assert model.num_parameters() == thinker
    for ours, theirs in (
        (model.lm_head, "lm_head"),
        (model.model.language_model.layers[1].mlp.up_proj, "model.layers.1.mlp.up_proj"),
        (model.model.audio_tower.layers[0].fc1, "audio_tower.layers.0.fc1"),
    ):
        assert torch.equal(ours.weight, stored[f"thinker.{theirs}.weight"])


def test_a_clip_alone_and_in_another_order_is_the_same(
    adapter: Captioner, sounds: list[np.ndarray]
) -> None:
    guidance = [[DOG], [], [DOG]]
    together = adapter.caption(sounds, guidance, SEEDS)
    reverse = adapter.caption(sounds[::-1], guidance[::-1], SEEDS[::-1])[::-1]
    assert sum(isinstance(result, list) for result in together) == 3
    for row, result in enumerate(together):
        [alone] = adapter.caption(sounds[row : row + 1], [guidance[row]], [SEEDS[row]])
        assert captions_of(result) == captions_of(alone) == captions_of(reverse[row])


def test_the_caption_depends_on_sound_prompt_and_seed(
    adapter: Captioner, sounds: list[np.ndarray]
) -> None:
    clips = [sounds[0], sounds[1], sounds[0], sounds[0]]
    results = adapter.caption(clips, [[DOG], [DOG], [], [DOG]], [1, 1, 1, 2])
    assert len({tuple(captions_of(result)) for result in results}) == 4
