"""An audio-language model of Qwen2-Audio-7B's sizes, its weights random and in bf16, on a GPU.

Our sampling, which lets a clip go through the model once for all its candidates, beside
`generate(num_return_sequences=...)`.
"""

from collections.abc import Callable, Iterator

import torch
from transformers import (
    AutoModelForMultimodalLM,
    Qwen2AudioConfig,
    Qwen2AudioForConditionalGeneration,
)

from benchmarks.common.gpus import Peak
from curation.models.decoding import transformers_sampling

CLIPS, CANDIDATES, TOKENS = 16, 4, 64
# Of a prompt, beside the 750 of the sound: what the default prompt with tags takes.
PROMPT_TOKENS = 64
REQUIRED_GB = 70
END = 0
SIZES = {
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

Way = tuple[str, Callable[[], int], Callable[[Peak], float]]


def has_memory(device: torch.device) -> bool:
    """Whether a GPU has the memory."""
    if device.type != "cuda":
        return False
    return torch.cuda.get_device_properties(device).total_memory >= REQUIRED_GB * 1e9


def ways(device: torch.device, config: Qwen2AudioConfig | None = None) -> Iterator[Way]:
    """Each way's name, what it does, by how many words it says, and its floor in seconds."""
    model = random_model(config or Qwen2AudioConfig(**SIZES), device)
    given = inputs(model)

    def ours() -> int:
        numbers = transformers_sampling.draw_uniform_numbers(
            range(CLIPS), range(CANDIDATES), TOKENS
        )
        written = transformers_sampling.sample_candidates(model.generate, given, numbers, 0.9, 0.95)
        return sum(len(one.ids) + one.ended for clip in written for one in clip if one)

    def generate() -> int:
        rows = model.generate(
            **given,
            num_return_sequences=CANDIDATES,
            max_new_tokens=TOKENS,
            do_sample=True,
            temperature=0.9,
            top_p=0.95,
            top_k=0,
        )[:, given["input_ids"].shape[1] :]
        return int(((rows == END).cumsum(dim=1) - (rows == END).long() == 0).sum())

    def floor(most: Peak) -> float:
        return floor_s(model, given["input_ids"].shape[1], most)

    yield "ours", ours, floor
    yield "generate", generate, floor


def random_model(
    config: Qwen2AudioConfig, device: torch.device
) -> Qwen2AudioForConditionalGeneration:
    with device:
        model = AutoModelForMultimodalLM.from_config(config, dtype=torch.bfloat16).eval()
    model.generation_config.update(eos_token_id=[END], pad_token_id=END)
    return model


def inputs(model: Qwen2AudioForConditionalGeneration) -> dict[str, torch.Tensor]:
    """What the model is given: sounds that fill its window, and prompts of random words."""
    config, device = model.config, model.device
    frames = 2 * config.audio_config.max_source_positions
    sound, words = frames // 4, torch.randint(1, 1000, (CLIPS, PROMPT_TOKENS), device=device)
    marks = torch.full((CLIPS, sound), config.audio_token_id, device=device)
    ids = torch.cat([marks, words], dim=1)
    features = torch.randn(CLIPS, config.audio_config.num_mel_bins, frames, device=device)
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "input_features": features.to(model.dtype),
        "feature_attention_mask": torch.ones(CLIPS, frames, dtype=torch.long, device=device),
    }


def floor_s(model: Qwen2AudioForConditionalGeneration, prompt: int, most: Peak) -> float:
    """Two operations a weight and token, against weights and the clips' memory once a step."""
    text = model.config.text_config
    ears = sum(each.numel() for each in model.model.audio_tower.parameters())
    writer = sum(each.numel() for each in model.parameters()) - ears
    frames = model.config.audio_config.max_source_positions
    tokens = prompt + CANDIDATES * TOKENS
    operations = 2 * CLIPS * (writer * tokens + ears * frames)
    width = text.hidden_size // text.num_attention_heads * text.num_key_value_heads
    memory = CLIPS * prompt * 2 * width * text.num_hidden_layers
    return max(operations / most.bfloat16, 2 * TOKENS * (writer + memory) / most.bandwidth)
