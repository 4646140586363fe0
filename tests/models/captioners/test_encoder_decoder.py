"""Speech-to-text models keep the captioner's contract; their beam is that of `generate`."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GenerationMixin, WhisperForConditionalGeneration, WhisperProcessor

from curation.config.models import EncoderDecoderConfig
from curation.errors import InputError
from curation.models.captioners.base import Captioner
from curation.models.captioners.build import build_captioner
from curation.schema import Tag
from tests.models.captioners.contract import (
    SEEDS,
    beside_bad_clips,
    log_probs,
    need_same_one_by_one,
    reported,
)
from tests.support import tiny_captioners as tiny

MOST = 24
CODE = """
from transformers import WhisperConfig, WhisperForConditionalGeneration


class OwnConfig(WhisperConfig):
    model_type = "own-captioner"


class OwnCaptioner(WhisperForConditionalGeneration):
    config_class = OwnConfig
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.whisper(tmp_path_factory.mktemp("whisper"))


@pytest.fixture(scope="module")
def sounds() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [(0.1 * rng.normal(size=length)).astype("f4") for length in (8_000, 80_000, 3)]


@pytest.fixture(scope="module")
def adapter(folder: Path) -> Captioner:
    return loaded(folder)


def loaded(folder: Path, **settings: Any) -> Captioner:
    settings = {"dtype": "float32", "max_tokens": MOST, "temperature": 1.0, **settings}
    made = build_captioner(EncoderDecoderConfig(model=str(folder), **settings))
    made.setup()
    return made


def test_a_clip_alone_and_in_another_order_is_the_same(
    adapter: Captioner, sounds: list[np.ndarray]
) -> None:
    together = adapter.caption(sounds, [[]] * 3, SEEDS)
    reverse = adapter.caption(sounds[::-1], [[]] * 3, SEEDS[::-1])[::-1]
    assert sum(isinstance(result, list) for result in together) == 3
    for row, result in enumerate(together):
        [alone] = adapter.caption(sounds[row : row + 1], [[]], [SEEDS[row]])
        assert reported(result) == reported(alone) == reported(reverse[row])
        assert log_probs(result) == pytest.approx(log_probs(alone), abs=1e-4)


@pytest.mark.parametrize("beams", [1, 3])
def test_the_first_candidate_is_the_best_beam_of_generate(
    beams: int, folder: Path, sounds: list[np.ndarray]
) -> None:
    results = loaded(folder, beams=beams, max_tokens=8).caption(sounds, [[]] * 3, SEEDS, 0, 1)
    model = WhisperForConditionalGeneration.from_pretrained(folder).eval()
    processor = WhisperProcessor.from_pretrained(folder)
    features = processor(audio=sounds, sampling_rate=16_000, return_tensors="pt")
    prefix = processor.tokenizer.prefix_tokens
    assert processor.decode(prefix) == "<|startoftranscript|><|en|><|transcribe|><|notimestamps|>"
    ids = GenerationMixin.generate(
        model,
        **features,
        decoder_input_ids=torch.tensor([prefix] * 3),
        num_beams=beams,
        max_new_tokens=8,
        do_sample=False,
    )
    for result, text in zip(
        results, processor.batch_decode(ids, skip_special_tokens=True), strict=True
    ):
        [(method, written)] = reported(result)
        # A caption that was cut is told in the failure.
        assert method in ("beam", "too_long", "repetition")
        assert written.endswith(text.strip())


def test_samples_follow_the_seed_and_the_beam_does_not(
    adapter: Captioner, sounds: list[np.ndarray]
) -> None:
    one, other = adapter.caption([sounds[0]] * 2, [[]] * 2, [1, 2])
    equal = [reported(adapter.caption(sounds[:1], [[]], [seed], 0, 1)[0]) for seed in (1, 2)]
    assert equal[0] == equal[1]
    assert reported(one) != reported(other)
    assert {method for method, _ in reported(one)} <= {"beam", "sample"}


def test_candidates_are_the_same_one_by_one(adapter: Captioner, sounds: list[np.ndarray]) -> None:
    need_same_one_by_one(adapter, sounds)


def test_tags_make_no_difference(adapter: Captioner, sounds: list[np.ndarray]) -> None:
    dog = [[Tag("/m/0bt9lr", "Dog")]] * 3
    untagged = adapter.caption(sounds, [[]] * 3, SEEDS)
    assert adapter.caption(sounds, dog, SEEDS) == untagged
    assert adapter.identity["guidance"] == "none"


def test_bad_clips_are_failures_in_their_place(
    adapter: Captioner, sounds: list[np.ndarray]
) -> None:
    encoded_sound = beside_bad_clips(adapter, sounds[0])
    assert reported(encoded_sound) == reported(adapter.caption(sounds[:1], [[]], SEEDS[:1])[0])


@pytest.mark.parametrize("first", [0, 1])
def test_logits_that_are_not_finite_fail_their_clips(
    first: int, folder: Path, tmp_path: Path, sounds: list[np.ndarray]
) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    weights = load_file(copy / "model.safetensors")
    weights["model.decoder.layer_norm.weight"][2] = float("nan")
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    results = loaded(copy).caption(sounds, [[]] * 3, SEEDS, first)
    assert [reported(result)[0][0] for result in results] == ["not_finite"] * 3


def test_in_bfloat16_it_writes_too(folder: Path, sounds: list[np.ndarray]) -> None:
    brief = loaded(folder, dtype="bfloat16")
    assert brief._loaded._model.dtype == torch.bfloat16  # type: ignore[attr-defined]
    assert any(isinstance(result, list) for result in brief.caption(sounds, [[]] * 3, SEEDS))


def with_own_code(folder: Path, to: Path) -> Path:
    copy = Path(shutil.copytree(folder, to / "own"))
    (copy / "own_captioner.py").write_text(CODE)
    config = json.loads((copy / "config.json").read_text())
    classes = {
        "AutoConfig": "own_captioner.OwnConfig",
        "AutoModelForSpeechSeq2Seq": "own_captioner.OwnCaptioner",
    }
    config |= {"model_type": "own-captioner", "auto_map": classes}
    (copy / "config.json").write_text(json.dumps(config))
    return copy


def test_code_of_its_own_runs_where_it_is_allowed(
    adapter: Captioner,
    folder: Path,
    tmp_path: Path,
    sounds: list[np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    copy = with_own_code(folder, tmp_path)
    with pytest.raises(InputError, match="code of its own: read it, and allow it"):
        loaded(copy)
    with pytest.raises(ValueError, match="name the revision that was read"):
        loaded(copy, trust_remote_code=True)
    own = loaded(copy, trust_remote_code=True, revision="abc")
    assert type(own._loaded._model).__name__ == "OwnCaptioner"  # type: ignore[attr-defined]
    assert own.caption(sounds, [[]] * 3, SEEDS) == adapter.caption(sounds, [[]] * 3, SEEDS)


def test_a_model_that_only_writes_is_refused(tmp_path: Path) -> None:
    tiny.qwen2_audio(tmp_path)
    with pytest.raises(InputError, match="'qwen2_audio', expected a speech-to-text model with"):
        loaded(tmp_path)
