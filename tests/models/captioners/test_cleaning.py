"""Cleaning extracts a caption from a language model's text, or gives the reason for rejection."""

import pytest

from curation.models.captioners.cleaning import (
    MAX_WORDS,
    RejectedText,
    clean_caption,
    first_sentence,
    has_repetition,
)

LABELS = ["Speech", "Inside, small room", "a dog barking"]


@pytest.mark.parametrize(
    ("text", "caption"),
    [
        ("A dog barks.", "A dog barks."),
        ("  A dog\tbarks \n", "A dog barks"),
        ('"A dog barks while rain falls."', "A dog barks while rain falls."),
        ("“A dog barks.”", "A dog barks."),
        ("'A dog's bark'", "A dog's bark"),
        ('"Hello," a man says, "goodbye"', '"Hello," a man says, "goodbye"'),
        ('A man says "hello".', 'A man says "hello".'),
        ("**A dog** barks _loudly_.", "A dog barks loudly."),
        ("```text\nA dog barks\n```", "A dog barks"),
        ("# A dog barks", "A dog barks"),
        ("- A dog barks", "A dog barks"),
        ("1. A dog barks\n2. Rain falls", "A dog barks"),
        ("A dog barks_at a snake_case", "A dog barks_at a snake_case"),
        ("Sure, here is a caption: A dog barks.", "A dog barks."),
        ("Sure! Here's a one-sentence caption for it:\n\n“A dog barks.”", "A dog barks."),
        ("Certainly! A dog barks.", "A dog barks."),
        ("**Caption:** A dog barks.", "A dog barks."),
        ("Audio description: a dog barks", "a dog barks"),
        ("The following is a caption for the audio: Rain.", "Rain."),
        ("This is a recording of a dog: it barks", "This is a recording of a dog: it barks"),
        ("The audio contains a dog barking.", "The audio contains a dog barking."),
        ("Okay is said by a man", "Okay is said by a man"),
        ("A dog barks. Then rain falls.", "A dog barks."),
        ("A dog barks! Rain falls.", "A dog barks!"),
        ('A man says "Stop." Then he leaves.', 'A man says "Stop."'),
    ],
)
def test_what_stands_around_a_caption_goes(text: str, caption: str) -> None:
    assert clean_caption(text) == caption
    assert clean_caption(caption) == caption


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, I cannot listen to audio.",
        "I’m sorry, there is no speech in the audio",
        "Sorry, but I can't help with that.",
        "I apologize, but the audio is missing.",
        "My apologies.",
        "Unfortunately, I am unable to hear the recording.",
        "As an AI language model, I cannot hear.",
        "I'm just a large language model and cannot hear.",
        "I cannot determine what is heard.",
        "I don't have access to the audio.",
        "There is no speech in the audio.",
        "There's no sound in this recording",
        "No audio was provided.",
        "Please provide the audio.",
        "Could you please upload the recording?",
        "It is not possible to say.",
        '"I\'m sorry, I cannot hear."',
        "Sure, here is the caption: I'm sorry, I cannot hear it.",
    ],
)
def test_refusals_are_rejected(text: str) -> None:
    assert clean_caption(text) == RejectedText("refusal")


@pytest.mark.parametrize(
    "text",
    [
        "There is no speech in the audio, only rain falling.",
        "No birds can be heard over the rain.",
        'A man says "I\'m sorry" and a door closes.',
        "As an audience applauds, a man speaks.",
        "Icy wind blows.",
        "A woman apologizes.",
    ],
)
def test_captions_that_sound_like_refusals_stay(text: str) -> None:
    assert clean_caption(text) == text


@pytest.mark.parametrize(
    ("text", "is_loop"),
    [
        ("a dog barks a dog barks a dog barks", True),
        ("Rain falls, and rain falls and, Rain falls and", True),
        ("very very very very very loud rain", True),
        ("a b c d e f g h i j k l " * 3, True),
        ("rain and a dog barks and barks and barks and", True),
        ("woof woof woof woof goes a dog", False),
        ("a dog barks and a dog barks and rain falls", False),
        ("a man speaks, a dog barks, a man speaks, and rain falls", False),
        ("", False),
    ],
)
def test_loops_are_words_that_follow_themselves(text: str, is_loop: bool) -> None:
    assert has_repetition(text) == is_loop
    assert (clean_caption(text) == RejectedText("repetition")) == is_loop


@pytest.mark.parametrize(
    ("text", "is_echo"),
    [
        ("Speech; Inside, small room", True),
        ("speech, inside small room.", True),
        ("Tags: Speech, a dog barking", False),
        ("A dog barking and speech.", True),
        ("A dog barking.", True),
        ("A dog barking loudly in a small room", False),
        ("Speeches", False),
    ],
)
def test_an_echo_says_labels_alone(text: str, is_echo: bool) -> None:
    assert (clean_caption(text, LABELS) == RejectedText("label_echo")) == is_echo
    assert clean_caption(text) == text


@pytest.mark.parametrize("text", ["", "  \n", "...", '""', "**", "Caption:", "- ", "♪♪"])
def test_a_text_without_words_is_empty(text: str) -> None:
    assert clean_caption(text) == RejectedText("empty")


def test_an_essay_is_too_long() -> None:
    words = [f"word{number}" for number in range(3000)]
    assert clean_caption(" ".join(words)) == RejectedText("too_long")
    assert clean_caption(" ".join(words[: MAX_WORDS + 1])) == RejectedText("too_long")
    longest = " ".join(words[:MAX_WORDS])
    assert clean_caption(longest) == longest
    assert clean_caption(f"A dog barks. W{' '.join(words)}") == "A dog barks."


def test_a_sentence_that_was_cut_is_too_long() -> None:
    assert clean_caption("A dog barks while", ended=False) == RejectedText("too_long")
    assert clean_caption("A dog barks.", ended=False) == "A dog barks."
    assert clean_caption("A dog barks. Then", ended=False) == "A dog barks."


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Mr. Smith speaks. Rain falls.", "Mr. Smith speaks."),
        ("A horn sounds at 3.5 seconds. It ends.", "A horn sounds at 3.5 seconds."),
        ("J. Bach is played.", "J. Bach is played."),
        ("A dog barks... Rain falls.", "A dog barks..."),
        ("A dog (or fox) barks", "A dog (or fox) barks"),
    ],
)
def test_a_full_stop_ends_a_sentence_where_another_begins(text: str, sentence: str) -> None:
    assert first_sentence(text) == sentence
