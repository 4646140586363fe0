"""The word-level tokenizer reads and writes captions and survives saving."""

from pathlib import Path

from transformers import AutoTokenizer

from curation.models.caption_tokenizer import read_tokenizer
from curation.models.word_tokenizer import build_word_tokenizer


def test_round_trip_is_lower_case_without_punctuation() -> None:
    tokenizer = build_word_tokenizer(["A dog barks, then rain falls."], 30)
    [ids] = tokenizer.encode(["A dog barks, then rain falls."]).input_ids.tolist()
    assert tokenizer.decode(ids) == "a dog barks then rain falls"
    assert ids[0] == tokenizer.special_id("bos_token")
    assert ids[-1] == tokenizer.special_id("eos_token")


def test_unknown_words_are_marked() -> None:
    tokenizer = build_word_tokenizer(["a dog"], 30)
    [ids] = tokenizer.encode(["a zebra"]).input_ids.tolist()
    assert ids[1:-1] == [4, tokenizer.special_id("unk_token")]


def test_saved_and_reloaded_it_is_the_same(tmp_path: Path) -> None:
    tokenizer = build_word_tokenizer(["a dog's bark"], 30)
    tokenizer.save(tmp_path)
    [ids] = tokenizer.encode(["the dog's bark"]).input_ids.tolist()
    assert read_tokenizer(tmp_path).encode(["the dog's bark"]).input_ids.tolist() == [ids]
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert theirs("the dog's bark")["input_ids"] == ids
    assert (theirs.pad_token_id, theirs.model_max_length) == (0, 30)
