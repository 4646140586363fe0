"""The word-level tokenizer reads and writes captions and survives saving."""

from pathlib import Path

from transformers import AutoTokenizer

from curation.models.word_tokenizer import build_word_tokenizer


def test_round_trip_is_lower_case_without_punctuation() -> None:
    tokenizer = build_word_tokenizer(["A dog barks, then rain falls."], 30)
    ids = tokenizer("A dog barks, then rain falls.")["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "a dog barks then rain falls"
    assert (ids[0], ids[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)


def test_unknown_words_are_marked() -> None:
    tokenizer = build_word_tokenizer(["a dog"], 30)
    assert tokenizer.tokenize("a zebra") == ["a", "<unk>"]


def test_saved_and_reloaded_it_is_the_same(tmp_path: Path) -> None:
    tokenizer = build_word_tokenizer(["a dog's bark"], 30)
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again("the dog's bark")["input_ids"] == tokenizer("the dog's bark")["input_ids"]
    assert (again.pad_token_id, again.model_max_length) == (0, 30)
