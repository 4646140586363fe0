"""Directories of tiny random captioners of transformers' classes, as their authors publish them.

Their captions are random words of a small vocabulary, so that most come to an end.
"""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from torch import nn
from transformers import (
    AudioFlamingo3Config,
    AudioFlamingo3ForConditionalGeneration,
    AudioFlamingo3Processor,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2AudioConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioProcessor,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)

WORDS = """
a and at bark barks bell bird by car cat closes dog door down engine falls far fast hums in is
loud man meows near of off on over rain rings room runs softly speaks the then thunder to train
up water while wind with woman
""".split()

SAMPLE_RATE_HZ = 16_000
# What one window of a model's ears holds; a Whisper's real one is 30 s.
WINDOW_S = 2
MELS = 8

EARS = {
    "num_mel_bins": MELS,
    "d_model": 16,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "max_source_positions": 50 * WINDOW_S,
}

_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
_FLAMINGO_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'audio' %}<sound>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def qwen2_audio(folder: Path) -> Path:
    """A Qwen2-Audio; it uses the first two seconds."""
    tokenizer = word_tokenizer(["<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"])
    sound = tokenizer.convert_tokens_to_ids("<|AUDIO|>")
    config = qwen2_audio_config(len(tokenizer), sound)
    save(folder, Qwen2AudioForConditionalGeneration(config), tokenizer)
    Qwen2AudioProcessor(extractor(), tokenizer).save_pretrained(folder)
    return folder


def qwen2_audio_config(words: int, sound: int) -> Qwen2AudioConfig:
    """Of a model of so many words, one of which stands for sound."""
    ears, writer = {**EARS, "encoder_layers": 1}, writer_config(words)
    return Qwen2AudioConfig(audio_config=ears, text_config=writer, audio_token_index=sound)


def audio_flamingo3(folder: Path) -> Path:
    """An Audio Flamingo 3; it processes consecutive windows of two seconds."""
    tokenizer = word_tokenizer(["<sound>"])
    config = AudioFlamingo3Config(
        audio_config={**EARS, "num_hidden_layers": 1},
        text_config=writer_config(len(tokenizer)),
        audio_token_id=tokenizer.convert_tokens_to_ids("<sound>"),
    )
    save(folder, AudioFlamingo3ForConditionalGeneration(config), tokenizer)
    processor = AudioFlamingo3Processor(
        extractor(), tokenizer, chat_template=_FLAMINGO_TEMPLATE, audio_token="<sound>"
    )
    processor.save_pretrained(folder)
    return folder


def whisper(folder: Path) -> Path:
    """A Whisper; it uses the first two seconds."""
    tokenizer = whisper_tokenizer()
    start = tokenizer.convert_tokens_to_ids("<|startoftranscript|>")
    config = whisper_config(len(tokenizer), pad=0, end=0, start=start)
    save(folder, WhisperForConditionalGeneration(config), tokenizer)
    WhisperProcessor(extractor(), tokenizer).save_pretrained(folder)
    return folder


def whisper_config(words: int, pad: int, end: int, start: int) -> WhisperConfig:
    """Of a model of so many words, some of which have a meaning of their own."""
    return WhisperConfig(
        vocab_size=words,
        num_mel_bins=MELS,
        d_model=16,
        encoder_layers=1,
        encoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_layers=2,
        decoder_attention_heads=2,
        decoder_ffn_dim=16,
        max_source_positions=50 * WINDOW_S,
        max_target_positions=80,
        pad_token_id=pad,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=start,
        suppress_tokens=None,
        begin_suppress_tokens=[end],
    )


def word_tokenizer(others: list[str]) -> PreTrainedTokenizerFast:
    """Words between spaces, the special tokens of Qwen2, and others."""
    names = ["<unk>", *WORDS]
    inner = Tokenizer(models.WordLevel({name: at for at, name in enumerate(names)}, "<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    special = [AddedToken(name, special=True) for name in [*_SPECIAL, *others]]
    inner.add_special_tokens(special)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>", *others],
    )


def whisper_tokenizer() -> WhisperTokenizer:
    """Whisper's special tokens, and words as its bytes spell them."""
    vocabulary = {name: at for at, name in enumerate(["<|endoftext|>", *(f"Ġ{w}" for w in WORDS)])}
    marks = ["<|startoftranscript|>", "<|en|>", "<|translate|>", "<|transcribe|>"]
    tokenizer = WhisperTokenizer(vocab=vocabulary, merges=[], pad_token="<|endoftext|>")
    tokenizer.add_special_tokens({"additional_special_tokens": [*marks, "<|notimestamps|>"]})
    tokenizer.set_prefix_tokens(language="english", task="transcribe")
    return tokenizer


def randomised(model: nn.Module, gain: float = 1.5) -> nn.Module:
    """Weights large enough that a random model's words depend on its input."""
    torch.manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                # Word embeddings may be the output layer too: a word should not follow itself.
                small = "embed_tokens" in name
                parameter.normal_(std=0.4 if small else gain / parameter[0].numel() ** 0.5)
    return model.eval()


def writer_config(words: int) -> dict[str, object]:
    """The sizes of a language model."""
    return {
        "vocab_size": words,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "tie_word_embeddings": False,
    }


def extractor() -> WhisperFeatureExtractor:
    return WhisperFeatureExtractor(
        feature_size=MELS, sampling_rate=SAMPLE_RATE_HZ, chunk_length=WINDOW_S
    )


def save(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """Write weights, and end tokens as the big ones have them, with settings to be left aside."""
    model.generation_config.update(
        eos_token_id=[tokenizer.eos_token_id, tokenizer.pad_token_id],
        pad_token_id=tokenizer.pad_token_id,
        do_sample=True,
        top_k=1,
    )
    randomised(model).save_pretrained(folder)


def write(path: Path, **values: Any) -> None:
    """Change values of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
