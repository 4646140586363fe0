"""The adapter of vLLM's models, by all that it does itself: no engine is at hand here."""

import pickle
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from curation.config.models import AudioLlmConfig, VllmConfig
from curation.config.run import RunConfig
from curation.errors import InputError
from curation.models.captioners import vllm_installed
from curation.models.captioners.base import Candidate
from curation.models.captioners.build import build_captioner
from curation.models.captioners.vllm import VllmCaptioner
from curation.models.captioners.vllm_requests import VllmResponse
from curation.run import config_file
from curation.schema import Failure, Tag
from tests.fakes import FakeVllmEngine
from tests.support import tiny_captioners as tiny

DOG, RAIN = Tag("/m/0bt9lr", "Dog"), Tag("/m/06mb1", "Rain", 0.4)
SOUND = np.linspace(-0.5, 0.5, 16_000, dtype="f4")


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.qwen2_audio(tmp_path_factory.mktemp("qwen2-audio"))


def adapter(folder: Path, **settings: Any) -> VllmCaptioner:
    made = build_captioner(VllmConfig(model=str(folder), **settings))
    assert isinstance(made, VllmCaptioner)
    return made


def parsed(**sections: Any) -> RunConfig:
    given = {"kind": "vllm", "model": "m", **sections.pop("captioner", {})}
    run = {"run": "x", "catalog": {"kind": "folder", "audio": "y"}, "captioner": given}
    return config_file.parse_run_config({**run, **sections}, "run.yaml")


SEPARATE = {"placement": "separate"}


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({}, "vllm needs annotate.placement: separate"),
        (
            {"annotate": {**SEPARATE, "model_memory": "offload"}},
            "vllm needs annotate.model_memory: resident",
        ),
        (
            {"annotate": SEPARATE, "captioner": {"engine": {"dtype": "half", "model": "m"}}},
            "engine: .*dtype by captioner.dtype, model by captioner.model; remove it",
        ),
        (
            {"annotate": SEPARATE, "captioner": {"runtime_environment": {}}},
            "did you mean 'runtime_env'",
        ),
        ({"annotate": SEPARATE, "captioner": {"prompt": "What?"}}, r"put \{tags\} into it"),
    ],
)
def test_a_mistake_in_the_section_is_named(sections: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parsed(**sections)


def test_where_vllm_is_installed_may_change_in_a_run_and_how_it_works_may_not() -> None:
    def settings(**captioner: Any) -> dict[str, Any]:
        return parsed(annotate=SEPARATE, captioner=captioner).evidence_settings()

    assert settings(runtime_env={"py_executable": "/a"}) == settings(runtime_env={"pip": ["vllm"]})
    assert settings(engine={"max_model_len": 9}) != settings()
    assert settings(version="0.28.0") != settings()


def test_a_question_is_the_models_own_template_with_tags_and_sound(qwen: Path) -> None:
    captioner = adapter(qwen, prompt="Perhaps {tags}?", untagged_prompt="What?")
    [tagged] = captioner.build_requests(SOUND, [DOG, RAIN], 7, range(1))
    [untagged] = captioner.build_requests(SOUND, [], 7, range(1))
    assert "<|AUDIO|>" in tagged.prompt
    assert "Perhaps a dog, rain?<|im_end|>" in tagged.prompt
    assert tagged.prompt.endswith("<|im_start|>assistant\n")
    assert untagged.prompt == tagged.prompt.replace("Perhaps a dog, rain?", "What?")
    assert tagged.sound is SOUND or np.array_equal(tagged.sound, SOUND)
    [short] = captioner.build_requests(SOUND[:3], [], 7, range(1))
    assert np.array_equal(short.sound, np.pad(SOUND[:3], (0, 3_200 - 3)))


def test_untagged_requests_name_no_tags(qwen: Path) -> None:
    captioner = adapter(qwen, guidance="none", untagged_prompt="What?")
    assert captioner.build_requests(SOUND, [DOG], 7, range(1))[0].prompt.count("dog") == 0
    assert captioner.parse_responses([VllmResponse("dog", [-1.0])], [DOG]) == [
        Candidate("dog", "sample", -1.0)
    ]


def test_each_candidate_has_a_seed_of_its_clip_and_its_number_alone(qwen: Path) -> None:
    captioner = adapter(qwen, temperature=0.5, top_p=0.7, max_tokens=9)
    sampling = [one.sampling for one in captioner.build_requests(SOUND, [], 7, range(4))]
    assert sampling[2:] == [
        one.sampling for one in captioner.build_requests(SOUND, [], 7, range(2, 4))
    ]
    other = [one.sampling for one in captioner.build_requests(SOUND, [], 8, range(4))]
    seeds = [each.pop("seed") for each in (*sampling, *other)]
    assert len(set(seeds)) == 8 and all(0 <= seed < 2**63 for seed in seeds)
    expected = {"temperature": 0.5, "top_p": 0.7, "max_tokens": 9, "logprobs": 0}
    assert sampling == other == [expected] * 4


def test_replies_become_candidates_as_any_language_models_answers_do(qwen: Path) -> None:
    captioner = adapter(qwen, max_tokens=4)
    replies: list[VllmResponse | Failure] = [
        VllmResponse("Caption: a dog barks.", [-1.0, -2.0, -3.0]),
        VllmResponse("I'm sorry, I cannot help.", [-1.0]),
        VllmResponse("a dog barks and", [-1.0] * 4),
        VllmResponse("dog, rain", [-1.0]),
    ]
    assert captioner.parse_responses(replies, [DOG, RAIN]) == [
        Candidate("a dog barks.", "sample", -2.0)
    ]
    refused = captioner.parse_responses(replies[1:], [DOG, RAIN])
    assert isinstance(refused, Failure) and (refused.kind, refused.stage) == ("refusal", "caption")
    cut = captioner.parse_responses(replies[2:3], [])
    assert isinstance(cut, Failure) and cut.kind == "too_long"
    odd = captioner.parse_responses([replies[0], VllmResponse("a dog", [float("nan")])], [])
    assert isinstance(odd, Failure) and odd.kind == "not_finite"
    failure = Failure("caption", "ValueError", "the prompt is too long")
    assert captioner.parse_responses([replies[0], failure], []) == failure


def test_run_json_names_model_weights_and_release(qwen: Path) -> None:
    same = build_captioner(AudioLlmConfig(model=str(qwen))).identity
    assert adapter(qwen).identity == {**same, "engine": "vllm 0.29.0"}
    assert adapter(qwen, version="0.28.0").identity["engine"] == "vllm 0.28.0"
    copy = pickle.loads(pickle.dumps(adapter(qwen)))
    assert copy.identity == adapter(qwen).identity


def test_engine_arguments_follow_from_model_and_yaml(
    qwen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(qwen.parent)
    here = adapter(Path(qwen.name), engine={"max_model_len": 99})
    assert here.model_source == str(qwen)
    reported = {
        "limit_mm_per_prompt": {"audio": 1},
        "dtype": "bfloat16",
        "trust_remote_code": False,
    }
    assert here.engine_arguments == {**reported, "max_model_len": 99}
    hub = VllmCaptioner("some/model", "abc", config=VllmConfig(model="some/model", revision="abc"))
    pinned = {"revision": "abc", "code_revision": "abc", "tokenizer_revision": "abc"}
    assert (hub.model_source, hub.engine_arguments) == ("some/model", {**reported, **pinned})


def test_a_model_without_a_template_or_a_processor_is_refused(qwen: Path, tmp_path: Path) -> None:
    bare = tiny.audio_flamingo3(tmp_path / "bare")
    (bare / "chat_template.jinja").unlink()
    with pytest.raises(InputError, match="no chat template; expected chat_template.jinja"):
        adapter(bare).load_processor()
    (bare / "tokenizer.json").unlink()
    with pytest.raises(InputError, match="not a loadable processor|tokenizer"):
        adapter(bare).load_processor()


def test_without_vllm_the_error_says_how_to_install_it(qwen: Path) -> None:
    with pytest.raises(
        InputError, match=r"vLLM is not installed in this process; .*plan --sample 0"
    ):
        adapter(qwen).setup()


def test_another_release_is_refused() -> None:
    vllm_installed.require_vllm_version("0.29.0+cpu", "0.29.0", "here")
    with pytest.raises(
        InputError, match="vLLM 0.30.1.cu130 is installed here, .*set version: 0.30.1"
    ):
        vllm_installed.require_vllm_version("0.30.1+cu130", "0.29.0", "here")


@pytest.fixture
def engine(qwen: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[VllmCaptioner]:
    """The adapter with an engine that stands in for vLLM's, and reads no weights."""
    module = ModuleType("vllm")
    module.__spec__ = ModuleSpec("vllm", None)
    module.__dict__.update(LLM=FakeVllmEngine, SamplingParams=dict)
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setattr(vllm_installed, "installed_vllm_version", lambda: "0.29.0")
    made = adapter(qwen, candidates=3)
    made.setup()
    yield made


def test_in_this_process_clips_keep_their_places_and_one_fails_alone(engine: VllmCaptioner) -> None:
    clips = [SOUND, np.zeros(0, "f4"), 2 * SOUND, SOUND]
    first, empty, loud, last = engine.caption(clips, [[], [], [], [DOG]], [1, 2, 3, 4])
    assert isinstance(empty, Failure) and empty.kind == "empty"
    assert loud == Failure("caption", "ValueError", "too loud")
    assert isinstance(first, list) and isinstance(last, list)
    assert len({one.caption for one in (*first, *last)}) == 6
    assert [one.log_prob for one in first] == [-0.5] * 3
    assert engine.caption(clips[:1], [[]], [1], 1) == [first[1:]]


def test_in_this_process_a_batch_is_one_call(engine: VllmCaptioner) -> None:
    before = engine._loaded._engine.calls
    engine.caption([SOUND, SOUND], [[], []], [1, 2])
    assert engine._loaded._engine.calls == before + 1
    assert engine._loaded._engine.arguments["dtype"] == "bfloat16"
