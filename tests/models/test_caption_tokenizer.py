"""Our tokenizer reads what transformers wrote, and gives the same ids, masks and texts."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from curation.errors import InputError
from curation.models.caption_tokenizer import CaptionTokenizer, read_tokenizer
from curation.models.pretrained_weights import convert_tokenizer
from curation.models.reference import reference_model_dir
from tests.support.tiny_scorers import bytes_tokenizer

CAPTIONS = ["a dog barks while rain falls", "", "A DOG, barks!", "a zebra </s> rain", "dog " * 40]
SIDES = {
    "bytes": {},
    "padded left": {"padding_side": "left"},
    "cut left": {"truncation_side": "left"},
}


@pytest.fixture(params=["reference", *SIDES])
def pair(request: pytest.FixtureRequest) -> tuple[CaptionTokenizer, PreTrainedTokenizerFast]:
    """Ours and transformers'."""
    if request.param == "reference":
        folder = reference_model_dir("clap")
        return read_tokenizer(Path(folder)), PreTrainedTokenizerFast.from_pretrained(folder)
    theirs = bytes_tokenizer(**SIDES[request.param])
    return convert_tokenizer(theirs), theirs


def test_ids_and_masks_are_equal(pair: tuple[CaptionTokenizer, PreTrainedTokenizerFast]) -> None:
    ours, theirs = pair
    for most in (None, 7, 32):
        limits = {} if most is None else {"truncation": True, "max_length": most}
        expected = theirs(CAPTIONS, padding=True, return_tensors="pt", **limits)
        got = ours.encode(CAPTIONS, most)
        assert got.input_ids.tolist() == expected["input_ids"].tolist()
        assert got.attention_mask.tolist() == expected["attention_mask"].tolist()
    assert ours.count_tokens(CAPTIONS) == [len(ids) for ids in theirs(CAPTIONS)["input_ids"]]


def test_texts_and_special_tokens_are_equal(
    pair: tuple[CaptionTokenizer, PreTrainedTokenizerFast],
) -> None:
    ours, theirs = pair
    for ids in ours.encode(CAPTIONS).input_ids.tolist():
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True)
    for name in ("pad_token", "bos_token", "eos_token", "unk_token"):
        assert ours.special_id(name) == getattr(theirs, f"{name}_id")
    assert len(ours) == len(theirs)
    assert ours.highest_id == max(theirs.get_vocab().values())


def test_what_is_saved_opens_there(
    pair: tuple[CaptionTokenizer, PreTrainedTokenizerFast], tmp_path: Path
) -> None:
    ours, theirs = pair
    ours.encode(CAPTIONS, 3)  # truncates, which is no part of the tokenizer
    ours.save(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    expected = theirs(CAPTIONS, padding=True)["input_ids"]
    assert again(CAPTIONS, padding=True)["input_ids"] == expected
    assert read_tokenizer(tmp_path).encode(CAPTIONS).input_ids.tolist() == expected


def test_what_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match=f"{tmp_path.name}: no tokenizer; expected tokenizer.json"):
        read_tokenizer(tmp_path)


def test_without_a_padding_token_nothing_is_padded(tmp_path: Path) -> None:
    ours = convert_tokenizer(bytes_tokenizer())
    ours.config["pad_token"] = None
    with pytest.raises(InputError, match="no padding token; expected pad_token in tokenizer_conf"):
        ours.encode(CAPTIONS)
