"""Captioners by code of their own keep the captioner's contract; their code runs where allowed.

The code is a tiny imitation, called as that of AudioCaption's published models is.
"""

import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from curation.config.models import RemoteCodeConfig
from curation.errors import InputError
from curation.models.captioners.base import Captioner
from curation.models.captioners.build import build_captioner
from curation.models.checks.captioner import caption_fault
from curation.schema import Tag
from tests.models.captioners.contract import SEEDS, beside_bad_clips, need_same_one_by_one, reported
from tests.support import tiny_captioners
from tests.support import tiny_remote_code as tiny
from tests.support.tiny_captioners import write

ALLOWED = {"trust_remote_code": True, "revision": "read"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A model's directory, with the tokenizer in "words" beside it."""
    home = tmp_path_factory.mktemp("remote-code")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(home / "hf"))
        patch.syspath_prepend(str(home / "hf"))
        yield tiny.remote_code(home / "model", home / "words")


@pytest.fixture(scope="module")
def adapter(folder: Path) -> Captioner:
    return loaded(folder)


@pytest.fixture(scope="module")
def sounds() -> list[np.ndarray]:
    """Of 1 and 3 s, and one of three samples; one is a thousand times louder than another."""
    rng = np.random.default_rng(0)
    return [
        (level * rng.normal(size=length)).astype("f4")
        for level, length in ((1e-3, 16_000), (1.0, 48_000), (0.1, 3))
    ]


def section(folder: Path, **settings: Any) -> RemoteCodeConfig:
    words = str(folder.parent / "words")
    return RemoteCodeConfig(model=str(folder), **{"tokenizer": words, **ALLOWED, **settings})


def loaded(folder: Path, **settings: Any) -> Captioner:
    made = build_captioner(section(folder, **settings))
    made.setup()
    return made


def copied(folder: Path, to: Path) -> Path:
    shutil.copytree(folder.parent / "words", to / "words")
    return Path(shutil.copytree(folder, to / "copy"))


def test_a_clip_alone_and_in_another_order_is_the_same(
    adapter: Captioner, sounds: list[np.ndarray]
) -> None:
    together = adapter.caption(sounds, [[]] * 3, SEEDS)
    reverse = adapter.caption(sounds[::-1], [[]] * 3, SEEDS[::-1])[::-1]
    assert together == reverse
    assert sum(isinstance(result, list) for result in together) == 3
    for row, result in enumerate(together):
        assert adapter.caption(sounds[row : row + 1], [[]], [SEEDS[row]]) == [result]


@pytest.mark.parametrize("beams", [1, 3])
def test_the_first_candidate_is_the_models_own_beam(
    beams: int, folder: Path, sounds: list[np.ndarray]
) -> None:
    made = loaded(folder, beams=beams, candidates=1)
    model = made._loaded._model  # type: ignore[attr-defined]
    tokenizer = tiny.simple_tokenizer()
    for sound in sounds[:2]:
        audio, length = torch.from_numpy(sound)[None], [len(sound)]
        with torch.inference_mode():
            ids = model(audio=audio, audio_length=length, beam_size=beams)
        [result] = made.caption([sound], [[]], [0])
        text = tokenizer.decode(ids[0], skip_special_tokens=True)
        assert reported(result) == [("beam", text)]


def test_samples_follow_the_seed_and_the_beam_does_not(
    adapter: Captioner, sounds: list[np.ndarray]
) -> None:
    one, other = adapter.caption([sounds[1]] * 2, [[]] * 2, [1, 2])
    assert reported(one)[0] == reported(other)[0]
    assert reported(one)[0][0] == "beam"
    assert reported(one)[1:] != reported(other)[1:]
    assert len(set(reported(one))) > 2


def test_candidates_are_the_same_one_by_one(adapter: Captioner, sounds: list[np.ndarray]) -> None:
    need_same_one_by_one(adapter, sounds)


def test_random_numbers_of_others_are_left_alone(
    adapter: Captioner, sounds: list[np.ndarray]
) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    adapter.caption(sounds, [[]] * 3, SEEDS)
    assert torch.equal(torch.rand(2), expected)


def test_tags_make_no_difference_and_there_is_no_log_probability(
    adapter: Captioner, sounds: list[np.ndarray]
) -> None:
    untagged = adapter.caption(sounds, [[]] * 3, SEEDS)
    assert adapter.caption(sounds, [[Tag("/m/0bt9lr", "Dog")]] * 3, SEEDS) == untagged
    written = [one for result in untagged if isinstance(result, list) for one in result]
    assert {one.log_prob for one in written} == {None}
    assert None in map(caption_fault, written)


def test_bad_clips_are_failures_in_their_place(
    adapter: Captioner, sounds: list[np.ndarray]
) -> None:
    encoded_sound = beside_bad_clips(adapter, sounds[0])
    assert [encoded_sound] == adapter.caption(sounds[:1], [[]], SEEDS[:1])


def test_a_clip_at_which_its_code_raises_is_a_failure(
    folder: Path, tmp_path: Path, sounds: list[np.ndarray]
) -> None:
    copy = copied(folder, tmp_path)
    stored = load_file(copy / "model.safetensors")
    stored["decoder.classifier.weight"][5] = float("nan")
    save_file(stored, copy / "model.safetensors", {"format": "pt"})
    results = loaded(copy).caption(sounds, [[]] * 3, SEEDS, first=1)
    assert [reported(result)[0][0] for result in results] == ["ValueError"] * 3


def test_a_caption_that_was_cut_is_none(folder: Path, sounds: list[np.ndarray]) -> None:
    [result] = loaded(folder, max_tokens=1).caption(sounds[1:2], [[]], [0], 0, 1)
    assert reported(result)[0][0] == "too_long"


def test_known_before_setup_picklable_and_without_torch(folder: Path) -> None:
    adapter = build_captioner(section(folder))
    assert pickle.loads(pickle.dumps(adapter)) == adapter
    code = f"""
import sys
from curation.config.models import RemoteCodeConfig
from curation.models.captioners.build import build_captioner
adapter = build_captioner(RemoteCodeConfig(**{section(folder).model_dump()!r}))
assert adapter.sample_rate_hz == 16_000
assert adapter.max_tokens_per_clip == 4 * 20
assert adapter.identity["weights_sha256"] and adapter.identity["guidance"] == "none"
assert adapter.identity["tokenizer"] == {str(folder.parent / "words")!r}
assert not {{"torch", "transformers"}} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_code_runs_only_where_it_is_allowed(folder: Path) -> None:
    with pytest.raises(InputError, match="code of its own: read it, and allow it"):
        loaded(folder, trust_remote_code=False)
    with pytest.raises(ValueError, match="name the revision that was read"):
        section(folder, revision=None)


def test_a_tokenizer_may_lie_beside_the_weights(
    folder: Path, tmp_path: Path, adapter: Captioner, sounds: list[np.ndarray]
) -> None:
    copy = copied(folder, tmp_path)
    tiny.simple_tokenizer().save_pretrained(copy)
    assert loaded(copy, tokenizer=None).caption(sounds, [[]] * 3, SEEDS) == adapter.caption(
        sounds, [[]] * 3, SEEDS
    )


def without_code(folder: Path) -> None:
    tiny_captioners.whisper(folder)
    write(folder / "config.json", sample_rate=16_000)


def with_code_elsewhere(folder: Path) -> None:
    write(folder / "config.json", auto_map={"AutoModel": "someone/else--model.Model"})


def without_rate(folder: Path) -> None:
    write(folder / "config.json", sample_rate=None)


def without_some_weights(folder: Path) -> None:
    stored = load_file(folder / "model.safetensors")
    del stored["decoder.hears.bias"]
    save_file(stored, folder / "model.safetensors", {"format": "pt"})


def of_another_size(folder: Path) -> None:
    write(folder / "config.json", vocab_size=200)


def without_words(folder: Path) -> None:
    (folder.parent / "words" / "tokenizer.json").unlink()


def with_other_words(folder: Path) -> None:
    tokenizer = tiny.simple_tokenizer()
    tokenizer.add_tokens(["zebra"])
    tokenizer.save_pretrained(folder.parent / "words")


def without_end(folder: Path) -> None:
    write(folder.parent / "words" / "tokenizer_config.json", eos_token=None)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without_code, "auto_map names no AutoModel; expected the directory of a captioner with"),
        (with_code_elsewhere, "names someone/else--model.Model, code of another repository"),
        (without_rate, "no sample_rate; expected that of a captioner with code of its own"),
        (without_some_weights, "1 names missing or unknown, among them decoder.hears.bias"),
        (of_another_size, "not a loadable model: .*size mismatch"),
        (without_words, "words: not a loadable tokenizer"),
        (with_other_words, "ids go up to 50, but the model knows 50 words"),
        (without_end, "words: the tokenizer names no end token"),
    ],
)
def test_bad_directories_are_refused(
    spoil: Any, message: str, folder: Path, tmp_path: Path
) -> None:
    copy = copied(folder, tmp_path)
    spoil(copy)
    with pytest.raises(InputError, match=f"(?s){message}"):
        loaded(copy)
