"""Builds tokenizers of captions in which each word is a token."""

import re
from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from curation.models.caption_tokenizer import CaptionTokenizer

PAD, BOS, EOS, UNKNOWN = "<pad>", "<s>", "</s>", "<unk>"

_WORD = r"[a-z0-9']+"


def build_word_tokenizer(captions: Iterable[str], max_tokens: int) -> CaptionTokenizer:
    """Build a tokenizer of the lower-case words in `captions`, with a start and an end token.

    Punctuation is ignored. The tokenizer's files make transformers truncate captions to
    `max_tokens` if truncation is requested.
    """
    words = {word for caption in captions for word in re.findall(_WORD, caption.lower())}
    vocabulary = {
        word: index for index, word in enumerate([PAD, BOS, EOS, UNKNOWN, *sorted(words)])
    }
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_WORD), "removed", invert=True)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A {EOS}",
        special_tokens=[(BOS, vocabulary[BOS]), (EOS, vocabulary[EOS])],
    )
    tokenizer.add_special_tokens([PAD, BOS, EOS, UNKNOWN])
    return CaptionTokenizer(
        tokenizer,
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "pad_token": PAD,
            "bos_token": BOS,
            "eos_token": EOS,
            "unk_token": UNKNOWN,
            "model_max_length": max_tokens,
            "padding_side": "right",
            "clean_up_tokenization_spaces": False,
        },
    )
