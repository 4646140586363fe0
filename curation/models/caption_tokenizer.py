"""Caption tokenizers, read from a model's directory with only the `tokenizers` library."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tokenizers import Encoding, Tokenizer
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from curation.errors import InputError

_TOKENIZER, _CONFIG = "tokenizer.json", "tokenizer_config.json"


class TokenBatch(NamedTuple):
    """Token ids `[caption, token]`, and a mask `[caption, token]` that is zero at padding."""

    input_ids: Tensor
    attention_mask: Tensor

    def to(self, device: torch.device) -> "TokenBatch":
        return TokenBatch(*(each.to(device) for each in self))


class CaptionTokenizer:
    """Converts captions to token ids, with the model's special tokens, and ids back to text.

    Attributes:
        config: the values of tokenizer_config.json: special tokens, padding side, ...
    """

    def __init__(self, tokenizer: Tokenizer, config: dict[str, Any]) -> None:
        padding, truncation = tokenizer.padding or {}, tokenizer.truncation or {}
        defaults = {
            "pad_token": padding.get("pad_token"),
            "padding_side": padding.get("direction", "right"),
            "truncation_side": truncation.get("direction", "right"),
        }
        self.config = {key: value for key, value in defaults.items() if value} | config
        self._tokenizer = tokenizer
        tokenizer.no_padding()
        tokenizer.no_truncation()

    def __len__(self) -> int:
        """Number of tokens, including added ones."""
        return self._tokenizer.get_vocab_size()

    @property
    def highest_id(self) -> int:
        return max(self._tokenizer.get_vocab().values())

    def special_id(self, name: str) -> int | None:
        """Return the id of the special token under the key `name` in `config`, such as "pad_token".

        Returns None if `config` has no such token.
        """
        token = self.config.get(name)
        text = token["content"] if isinstance(token, dict) else token
        return None if text is None else self._tokenizer.token_to_id(text)

    def count_tokens(self, captions: Sequence[str]) -> list[int]:
        """Count the tokens of each caption, including special tokens."""
        return [len(each.ids) for each in self._encode(captions, None)]

    def encode(self, captions: Sequence[str], max_tokens: int | None = None) -> TokenBatch:
        """Return the token ids of captions, padded to the longest one.

        A caption of more than `max_tokens` tokens, special tokens included, is truncated and keeps
        its special tokens. Raises InputError if the tokenizer has no padding token.
        """
        pad = self.special_id("pad_token")
        if pad is None:
            raise InputError(f"the tokenizer has no padding token; expected pad_token in {_CONFIG}")
        side = self.config["padding_side"]
        ids = [torch.tensor(each.ids) for each in self._encode(captions, max_tokens)]
        return TokenBatch(
            pad_sequence(ids, batch_first=True, padding_value=pad, padding_side=side),
            pad_sequence([torch.ones_like(each) for each in ids], True, padding_side=side),
        )

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids, without special tokens."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=True)

    def save(self, folder: Path) -> None:
        """Write tokenizer.json and tokenizer_config.json; transformers can open them too."""
        folder.mkdir(parents=True, exist_ok=True)
        self._tokenizer.no_truncation()
        self._tokenizer.save(str(folder / _TOKENIZER))
        text = json.dumps(self.config, indent=2, sort_keys=True) + "\n"
        (folder / _CONFIG).write_text(text, encoding="utf-8")

    def _encode(self, captions: Sequence[str], max_tokens: int | None) -> list[Encoding]:
        if max_tokens is None:
            self._tokenizer.no_truncation()
        else:
            side = self.config["truncation_side"]
            self._tokenizer.enable_truncation(max_tokens, direction=side)
        return self._tokenizer.encode_batch_fast(list(captions))


def read_tokenizer(folder: Path) -> CaptionTokenizer:
    """Read the tokenizer in a model's directory. Raises InputError if none can be read."""
    path = folder / _CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return CaptionTokenizer(Tokenizer.from_file(str(folder / _TOKENIZER)), config)
    # The library raises plain exceptions.
    except Exception as error:
        raise InputError(
            f"{folder}: no tokenizer; expected {_TOKENIZER} as the tokenizers library writes it, "
            f"and {_CONFIG} beside it: {error}"
        ) from error
