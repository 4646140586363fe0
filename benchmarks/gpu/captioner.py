"""Captioners: waveforms and tags in the host's memory to captions there, by the real generators.

The reference model has its own weights. The other two are random, so that nearly all their captions
are as long as they may be: CNN14 with BLAT's decoder, 30 words, and an audio-language model of
Qwen2-Audio-7B's sizes, 64 tokens, whose prompts hold the sound and the default prompt with tags.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoModelForMultimodalLM,
    Qwen2AudioConfig,
    Qwen2AudioProcessor,
    WhisperFeatureExtractor,
)

from benchmarks.gpu.inputs import caption_tokenizer, measure_decode_cpu_s, random_waveforms
from benchmarks.gpu.measure import LEAST_ROUNDS, measure, print_stage
from benchmarks.gpu.measurements import Setting
from curation.config.models import AudioLlmConfig
from curation.models import files, weights
from curation.models.captioners.audio_llm import AudioLlmCaptioner
from curation.models.captioners.audio_llm_generator import AudioLlmGenerator
from curation.models.captioners.generated_text import GeneratedText
from curation.models.captioners.tag_guided import TagGuidedAdapter
from curation.models.captioners.tag_guided_generator import TagGuidedGenerator
from curation.models.decoding import transformers_sampling
from curation.models.decoding.transformers_sampling import SampledText
from curation.models.networks.tag_guided_captioner import (
    TagGuidedCaptioner,
    TagGuidedCaptionerConfig,
)
from curation.schema import Tag
from curation.tags import ontology
from tests.support import tiny_captioners, tiny_networks

TAG_GUIDED_CLIPS = {"full": 256, "toy": 2}
LLM_CLIPS = {"full": 64, "toy": 2}
LLM_TOKENS = {"full": 64, "toy": 6}
TAGS_A_CLIP = 3
# Source: config.json of Qwen/Qwen2-Audio-7B.
QWEN2_AUDIO_7B: dict[str, Any] = {
    "audio_config": {"num_mel_bins": 128, "d_model": 1280, "encoder_layers": 32},
    "text_config": {
        "model_type": "qwen2",
        "vocab_size": 156032,
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
    },
}


class CountingTagGuidedGenerator(TagGuidedGenerator):
    """Counts the tokens of the captions that it writes, end tokens included."""

    tokens = 0

    def _build_candidates(self, best: Any, samples: Any) -> Any:
        self.tokens += sum(len(one.ids) + 1 for one in [*best, *samples])
        return super()._build_candidates(best, samples)


class RandomAudioLlm(AudioLlmGenerator):
    """The generator of audio-language models over a model that no file holds; counts tokens."""

    tokens = 0

    def __init__(self, model: Any, processor: Any, config: AudioLlmConfig) -> None:
        self._model, self._processor, self._config = model, processor, config
        self._rate_hz = self.rate_hz = processor.feature_extractor.sampling_rate
        self.generate = model.generate
        processor.tokenizer.padding_side = "left"

    def build_inputs(self, waveforms: list[np.ndarray], prompt: str) -> Any:
        """What the model is given, one row a clip, on its device."""
        return self._build_inputs(waveforms, [prompt] * len(waveforms))

    def _decode_text(self, method: str, written: SampledText | None) -> GeneratedText | None:
        if written is not None:
            self.tokens += len(written.ids) + written.ended
        return super()._decode_text(method, written)


def reference(setting: Setting) -> dict[str, Any]:
    return _tag_guided(setting, files.locate_model("reference", None, "captioner"))


def cnn14(setting: Setting) -> dict[str, Any]:
    print_stage("building the model")
    if setting.is_full:
        tags = list(ontology.labelled_mids())
        model = TagGuidedCaptioner(TagGuidedCaptionerConfig(tags=tags))
    else:
        model = tiny_networks.tiny_captioner("additive")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        weights.save_network(model, folder)
        caption_tokenizer(setting).save(folder)
        return _tag_guided(setting, folder)


def audio_llm(setting: Setting) -> dict[str, Any]:
    print_stage("building the model")
    config = AudioLlmConfig(model="random", max_tokens=LLM_TOKENS[setting.size])
    llm = RandomAudioLlm(*_random_qwen2_audio(setting), config)
    adapter = AudioLlmCaptioner(model="random", config=config)
    prompts, labels = adapter.prompt(_tags()), adapter.labels(_tags())
    most = LLM_CLIPS[setting.size]
    waveforms = random_waveforms(setting, most, llm.rate_hz)

    def batch(clips: int) -> int:
        before, each = llm.tokens, slice(clips)
        wanted = range(config.candidates)
        llm.caption(waveforms[each], [prompts] * clips, [labels] * clips, range(clips), wanted)
        return llm.tokens - before

    decode_cpu_s = measure_decode_cpu_s(setting, llm.rate_hz)
    figures = measure(setting, batch, most, "bf16", decode_cpu_s)
    # Few, as `generate` keeps a clip's sound and prompt in memory once for each candidate.
    few = waveforms[: max(1, figures["batch_clips"] // 4)]
    rounds = LEAST_ROUNDS[setting.size]
    return {**figures, "times_generate": _times_generate(llm, few, prompts, config, rounds)}


def _tag_guided(setting: Setting, folder: Path) -> dict[str, Any]:
    """A beam and three samples a clip, as `TagGuidedAdapter` is set by default."""
    defaults = TagGuidedAdapter(str(folder))
    generator = CountingTagGuidedGenerator(
        folder,
        setting.device,
        defaults.candidates,
        defaults.beams,
        defaults.temperature,
        defaults.max_tokens,
    )
    most = TAG_GUIDED_CLIPS[setting.size]
    waveforms = random_waveforms(setting, most, defaults.sample_rate_hz)
    tags = np.zeros((most, len(files.read_model_config(folder, "tagscribe-captioner")["tags"])))
    tags[:, :TAGS_A_CLIP] = 1.0

    def batch(clips: int) -> int:
        before = generator.tokens
        encoded = generator.encode(waveforms[:clips], list(tags[:clips].astype(np.float32)))
        generator.write(encoded, range(clips), range(defaults.candidates))
        return generator.tokens - before

    decode_cpu_s = measure_decode_cpu_s(setting, defaults.sample_rate_hz)
    return measure(setting, batch, most, "tf32", decode_cpu_s)


def _random_qwen2_audio(setting: Setting) -> tuple[Any, Any]:
    """A model made on its device, in bf16, and its processor with a small vocabulary."""
    tokenizer = tiny_captioners.word_tokenizer(["<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"])
    sound = tokenizer.convert_tokens_to_ids("<|AUDIO|>")
    if setting.is_full:
        config = Qwen2AudioConfig(**QWEN2_AUDIO_7B, audio_token_index=sound)
        extractor = WhisperFeatureExtractor(feature_size=128, sampling_rate=16_000)
    else:
        config = tiny_captioners.qwen2_audio_config(2 * len(tokenizer), sound)
        extractor = tiny_captioners.extractor()
    with weights.resolve_device(setting.device):
        model = AutoModelForMultimodalLM.from_config(config, dtype=torch.bfloat16).eval()
    ends = [tokenizer.eos_token_id, tokenizer.pad_token_id]
    model.generation_config.update(eos_token_id=ends, pad_token_id=tokenizer.pad_token_id)
    return model, Qwen2AudioProcessor(extractor, tokenizer)


def _tags() -> list[Tag]:
    mids = ontology.labelled_mids()[:TAGS_A_CLIP]
    return [Tag(mid, ontology.class_name(mid)) for mid in mids]


def _times_generate(
    llm: RandomAudioLlm,
    waveforms: list[np.ndarray],
    prompt: str,
    config: AudioLlmConfig,
    rounds: int,
) -> float:
    """How many times as long transformers' `generate` takes as our sampling, in turns."""
    print_stage(f"against generate: batches of {len(waveforms)}")
    inputs = llm.build_inputs(waveforms, prompt)

    def ours() -> None:
        numbers = transformers_sampling.draw_uniform_numbers(
            range(len(waveforms)), range(config.candidates), config.max_tokens
        )
        transformers_sampling.sample_candidates(
            llm.generate, inputs, numbers, config.temperature, config.top_p
        )

    def generate() -> None:
        llm.generate(
            **inputs,
            num_return_sequences=config.candidates,
            max_new_tokens=config.max_tokens,
            do_sample=True,
            temperature=config.temperature,
            top_p=config.top_p,
            top_k=0,
        ).cpu()

    return statistics.median(_seconds(generate) / _seconds(ours) for _ in range(rounds))


def _seconds(work: Callable[[], None]) -> float:
    begun_s = time.perf_counter()
    work()
    return time.perf_counter() - begun_s
