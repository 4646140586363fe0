"""The directory of a tiny random Qwen2.5-Omni, as its authors publish it.

All of it, the half that speaks too, so that the half that writes is found in the whole. Its
processor wants torchvision, without which this module cannot be imported.
"""

from pathlib import Path

from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5OmniConfig,
    Qwen2_5OmniForConditionalGeneration,
    Qwen2_5OmniProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from tests.support import tiny_captioners as tiny

_MARKS = {
    "audio_token": "<|AUDIO|>",
    "image_token": "<|IMAGE|>",
    "video_token": "<|VIDEO|>",
    "audio_bos_token": "<|audio_bos|>",
    "audio_eos_token": "<|audio_eos|>",
    "vision_bos_token": "<|vision_bos|>",
    "vision_eos_token": "<|vision_eos|>",
}
_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'audio' %}<|audio_bos|><|AUDIO|><|audio_eos|>"
    "{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_EYES = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2}
_POSITIONS = {"rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2]}}
_TALKER = {
    "vocab_size": 40,
    "embedding_size": 16,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    **_POSITIONS,
}
_TOKEN2WAV = {
    "dit_config": {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "head_dim": 8,
        "emb_dim": 8,
        "num_embeds": 9,
        "mel_dim": 8,
        "enc_emb_dim": 8,
        "enc_dim": 8,
        "enc_channels": [8, 8, 8, 8, 24],
        "enc_attention_channels": 4,
        "enc_se_channels": 4,
    },
    "bigvgan_config": {
        "mel_dim": 8,
        "upsample_initial_channel": 16,
        "resblock_kernel_sizes": [3],
        "resblock_dilation_sizes": [[1, 3, 5]],
        "upsample_rates": [2],
        "upsample_kernel_sizes": [4],
    },
}


def qwen2_5_omni(folder: Path) -> Path:
    """A Qwen2.5-Omni; it uses the first two seconds."""
    words = tiny.word_tokenizer([*_MARKS.values()])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words.backend_tokenizer,
        eos_token=words.eos_token,
        pad_token=words.pad_token,
        extra_special_tokens=_MARKS,
    )
    config = Qwen2_5OmniConfig(
        thinker_config=_thinker(tokenizer), talker_config=_TALKER, token2wav_config=_TOKEN2WAV
    )
    tiny.save(folder, Qwen2_5OmniForConditionalGeneration(config), tokenizer)
    Qwen2_5OmniProcessor(
        Qwen2VLImageProcessor(),
        Qwen2VLVideoProcessor(),
        tiny.extractor(),
        tokenizer,
        chat_template=_TEMPLATE,
    ).save_pretrained(folder)
    return folder


def _thinker(tokenizer: PreTrainedTokenizerFast) -> dict[str, object]:
    ids = {name: tokenizer.convert_tokens_to_ids(mark) for name, mark in _MARKS.items()}
    return {
        "audio_config": {**tiny.EARS, "encoder_layers": 1, "output_dim": 16},
        "vision_config": {**_EYES, "out_hidden_size": 16, "fullatt_block_indexes": [0]},
        "text_config": {**tiny.writer_config(len(tokenizer)), **_POSITIONS},
        "audio_token_index": ids["audio_token"],
        "image_token_index": ids["image_token"],
        "video_token_index": ids["video_token"],
        "audio_start_token_id": ids["audio_bos_token"],
        "vision_start_token_id": ids["vision_bos_token"],
    }
