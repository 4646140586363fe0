"""Audio-language models keep the captioner's contract, and bad directories are refused at load."""

import json
import logging
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AudioFlamingo3Config,
    BertConfig,
    PreTrainedModel,
    Qwen2_5OmniConfig,
    Qwen2AudioConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen3OmniMoeConfig,
    T5Config,
    T5ForConditionalGeneration,
    WhisperConfig,
)
from transformers.configuration_utils import PreTrainedConfig

from curation.config.models import AudioLlmConfig
from curation.errors import InputError
from curation.models.captioners import audio_llm_generator, encoder_decoder_generator
from curation.models.captioners.audio_llm import AudioLlmCaptioner
from curation.models.captioners.base import Captioner
from curation.models.captioners.build import build_captioner
from curation.schema import Failure, Tag
from tests.models.captioners.contract import captions_of, log_probs
from tests.support import tiny_captioners as tiny
from tests.support.tiny_captioners import write

DOG, RAIN = Tag("/m/0bt9lr", "Dog"), Tag("/m/06mb1", "Rain", 0.4)
WHISPER_LARGE = {
    "d_model": 1280,
    "encoder_layers": 32,
    "encoder_attention_heads": 20,
    "encoder_ffn_dim": 5120,
    "decoder_layers": 32,
    "decoder_attention_heads": 20,
    "decoder_ffn_dim": 5120,
    "num_mel_bins": 128,
}

GUIDANCE = [[DOG], [], [DOG, RAIN], [RAIN]]
SEEDS = [11, 12, 13, 14]


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.qwen2_audio(tmp_path_factory.mktemp("qwen2-audio"))


@pytest.fixture(scope="module")
def sounds() -> list[np.ndarray]:
    """Sounds of 0.5 to 5 s at 16 kHz; the last is shorter than any token of sound."""
    rng = np.random.default_rng(0)
    lengths = [8_000, 80_000, 20_000, 3]
    return [(0.1 * rng.normal(size=length)).astype("f4") for length in lengths]


@pytest.fixture(scope="module", params=["qwen2_audio", "audio_flamingo3"])
def adapter(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Captioner:
    folder = getattr(tiny, request.param)(tmp_path_factory.mktemp(request.param))
    return loaded(folder)


def loaded(folder: Path, **settings: Any) -> Captioner:
    settings = {"dtype": "float32", "max_tokens": 48, **settings}
    made = build_captioner(AudioLlmConfig(model=str(folder), **settings))
    made.setup()
    return made


def copied(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to / "copy"))


def test_a_clip_alone_and_in_another_order_is_the_same(
    adapter: Captioner, sounds: list[np.ndarray]
) -> None:
    together = adapter.caption(sounds, GUIDANCE, SEEDS)
    reverse = adapter.caption(sounds[::-1], GUIDANCE[::-1], SEEDS[::-1])[::-1]
    assert sum(len(captions_of(result)) for result in together) > 8
    for row, result in enumerate(together):
        [alone] = adapter.caption(sounds[row : row + 1], [GUIDANCE[row]], [SEEDS[row]])
        assert captions_of(result) == captions_of(alone) == captions_of(reverse[row])
        assert log_probs(result) == pytest.approx(log_probs(alone), abs=1e-4)


def test_candidates_are_the_same_one_by_one(adapter: Captioner, sounds: list[np.ndarray]) -> None:
    [together] = adapter.caption(sounds[:1], GUIDANCE[:1], SEEDS[:1])
    apart = [
        adapter.caption(sounds[:1], GUIDANCE[:1], SEEDS[:1], number, number + 1)[0]
        for number in range(4)
    ]
    each = [
        caption for one in apart if not isinstance(one, Failure) for caption in captions_of(one)
    ]
    assert captions_of(together) == each
    assert len(set(each)) > 1
    assert adapter.caption(sounds[:1], GUIDANCE[:1], SEEDS[:1], 4) == [[]]


def test_the_caption_depends_on_sound_prompt_and_seed(
    adapter: Captioner, sounds: list[np.ndarray]
) -> None:
    clips = [sounds[0], sounds[2], sounds[0], sounds[0]]
    results = adapter.caption(clips, [[DOG], [DOG], [], [DOG]], [1, 1, 1, 2])
    assert len({tuple(captions_of(result)) for result in results}) == 4
    assert captions_of(results[0]) == captions_of(adapter.caption(clips[:1], [[DOG]], [1])[0])


def test_tags_stand_in_the_prompt_by_their_names() -> None:
    config = AudioLlmConfig(model="m", prompt="Perhaps {tags}, {x}?", untagged_prompt="What?")
    adapter = AudioLlmCaptioner(config=config)
    assert adapter.prompt([DOG, RAIN]) == "Perhaps a dog, rain, {x}?"
    assert adapter.prompt([]) == "What?"


def test_an_untagged_prompt_names_no_tags(qwen: Path, sounds: list[np.ndarray]) -> None:
    tagged, untagged = loaded(qwen), loaded(qwen, guidance="none")
    assert (tagged.identity["guidance"], untagged.identity["guidance"]) == ("tags", "none")
    without = untagged.caption(sounds, GUIDANCE, SEEDS)
    assert without == untagged.caption(sounds, [[]] * 4, SEEDS)
    assert without == tagged.caption(sounds, [[]] * 4, SEEDS)


def test_a_model_that_takes_no_prompt_says_so(
    qwen: Path, sounds: list[np.ndarray], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "tagscribe.captioner"):
        mute = loaded(qwen, guidance="none", untagged_prompt="")
    assert f"{qwen} takes no prompt: it captions untagged" in caplog.text
    requested = loaded(qwen, guidance="none")
    assert mute.caption(sounds[:1], [[]], [1]) != requested.caption(sounds[:1], [[]], [1])
    with pytest.raises(ValueError, match="takes no tags: set guidance: none"):
        AudioLlmConfig(model="m", untagged_prompt="")


def test_bad_clips_are_failures_in_their_place(
    adapter: Captioner, sounds: list[np.ndarray]
) -> None:
    clips = [np.zeros(0, "f4"), sounds[0], np.full(9000, np.nan, "f4"), np.zeros((2, 9000), "f4")]
    results = adapter.caption(clips, [[], GUIDANCE[0], [], []], [7, SEEDS[0], 7, 7])
    assert [captions_of(results[row]) for row in (0, 2, 3)] == [
        ["empty"],
        ["not_finite"],
        ["not_mono"],
    ]
    assert captions_of(results[1]) == captions_of(
        adapter.caption(sounds[:1], GUIDANCE[:1], SEEDS[:1])[0]
    )
    assert adapter.caption([], [], []) == []


def test_logits_that_are_not_finite_fail_their_clips(
    qwen: Path, tmp_path: Path, sounds: list[np.ndarray]
) -> None:
    folder = copied(qwen, tmp_path)
    weights = load_file(folder / "model.safetensors")
    [head] = [name for name in weights if name.endswith("lm_head.weight")]
    weights[head][3, 2] = float("nan")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    results = loaded(folder).caption(sounds, GUIDANCE, SEEDS)
    assert [captions_of(result) for result in results] == [["not_finite"]] * 4


def test_known_before_setup_picklable_and_without_torch(qwen: Path) -> None:
    adapter = build_captioner(AudioLlmConfig(model=str(qwen)))
    assert pickle.loads(pickle.dumps(adapter)) == adapter
    code = f"""
import sys
from curation.config.models import AudioLlmConfig
from curation.models.captioners.build import build_captioner
adapter = build_captioner(AudioLlmConfig(model={str(qwen)!r}))
assert adapter.sample_rate_hz == 16_000
assert adapter.max_tokens_per_clip == 4 * 64
assert adapter.identity["weights_sha256"] and adapter.identity["model"] == adapter.model
assert not {{"torch", "transformers"}} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_weights_in_several_files_and_in_bfloat16_are_read(
    qwen: Path, tmp_path: Path, sounds: list[np.ndarray]
) -> None:
    folder = copied(qwen, tmp_path)
    whole = Qwen2AudioForConditionalGeneration.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    whole.save_pretrained(folder, max_shard_size="10KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    expected = loaded(qwen).caption(sounds, GUIDANCE, SEEDS)
    assert loaded(folder).caption(sounds, GUIDANCE, SEEDS) == expected
    brief = loaded(folder, dtype="bfloat16")
    assert brief._loaded._model.dtype == torch.bfloat16  # type: ignore[attr-defined]
    assert sum(isinstance(result, list) for result in brief.caption(sounds, GUIDANCE, SEEDS)) > 2


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def of_bert(folder: Path) -> None:
    BertConfig().save_pretrained(folder)


def that_reads(folder: Path) -> None:
    config = T5Config(vocab_size=9, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    T5ForConditionalGeneration(config).save_pretrained(folder)
    for name in ("processor_config.json", "chat_template.jinja"):
        (folder / name).unlink()
    write(folder / "tokenizer_config.json", processor_class=None)


def with_other_weights(folder: Path) -> None:
    save_file({"head": torch.ones(2)}, folder / "model.safetensors", {"format": "pt"})


def with_more_words(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["zebra"] = 200
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def of_unknown_kind(folder: Path) -> None:
    write(folder / "config.json", model_type="hearsay")


def with_code(folder: Path) -> None:
    write(folder / "config.json", model_type="hearsay", auto_map={"AutoConfig": "own.Hearsay"})


def without_rate(folder: Path) -> None:
    (folder / "processor_config.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without_weights, "model.safetensors missing; expected the directory of an audio-language"),
        (pickled, "the weights are pickled"),
        (of_bert, "model_type is 'bert', expected an audio-language model"),
        (that_reads, "prepares the inputs; expected a processor with a tokenizer and a feature"),
        (with_other_weights, "not those of a .*missing or unknown"),
        (with_more_words, "ids go up to 200, but the model knows"),
        (of_unknown_kind, "not a loadable configuration: .*hearsay"),
        (with_code, "code of its own: read it, and allow it by two lines.*trust_remote_code: true"),
    ],
)
def test_bad_directories_are_refused(spoil: Any, message: str, qwen: Path, tmp_path: Path) -> None:
    folder = copied(qwen, tmp_path)
    spoil(folder)
    with pytest.raises(InputError, match=f"copy.*{message}"):
        loaded(folder)


def test_a_model_without_audio_or_template_is_refused(tmp_path: Path) -> None:
    folder = tiny.audio_flamingo3(tmp_path)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(InputError, match="no chat template; expected chat_template.jinja"):
        loaded(folder)
    without_rate(folder)
    with pytest.raises(InputError, match="no sampling_rate in processor_config.json or"):
        _ = build_captioner(AudioLlmConfig(model=str(folder))).sample_rate_hz


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such directory; expected a directory with config"):
        loaded(tmp_path / "none")


def test_code_of_another_repository_is_refused(qwen: Path, tmp_path: Path) -> None:
    folder = copied(qwen, tmp_path)
    write(folder / "config.json", auto_map={"AutoModel": "someone/else--model.Model"})
    with pytest.raises(InputError, match="names someone/else--model.Model, code of another"):
        loaded(folder, trust_remote_code=True, revision="abc")


@pytest.mark.parametrize(
    ("config", "choose", "name", "billions"),
    [
        (Qwen2AudioConfig(), audio_llm_generator.select_audio_llm_class, "Qwen2AudioFor", (12, 13)),
        (
            AudioFlamingo3Config(),
            audio_llm_generator.select_audio_llm_class,
            "AudioFlamingo3For",
            (12, 13),
        ),
        (
            Qwen2_5OmniConfig(),
            audio_llm_generator.select_audio_llm_class,
            "Qwen2_5OmniThinkerFor",
            (11, 12),
        ),
        (
            Qwen3OmniMoeConfig(),
            audio_llm_generator.select_audio_llm_class,
            "Qwen3OmniMoeThinkerFor",
            (10, 40),
        ),
        (
            WhisperConfig(**WHISPER_LARGE),
            encoder_decoder_generator.select_encoder_decoder_class,
            "WhisperFor",
            (1.5, 1.6),
        ),
    ],
)
def test_full_sizes_build_without_memory(
    config: PreTrainedConfig, choose: Any, name: str, billions: tuple[float, float]
) -> None:
    chosen = choose(config)
    with torch.device("meta"):
        model = on_meta(chosen.model_class, chosen.config)
    assert type(model).__name__.startswith(name)
    least, most = billions
    assert least < model.num_parameters() / 1e9 < most


def on_meta(model_class: Any, config: PreTrainedConfig) -> PreTrainedModel:
    if issubclass(model_class, PreTrainedModel):
        return model_class(config)
    return model_class.from_config(config)
