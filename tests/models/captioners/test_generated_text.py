"""Answers that are captions become candidates; a clip without any tells what was written."""

from curation.models.captioners.base import Candidate
from curation.models.captioners.generated_text import GeneratedText, build_candidates
from curation.schema import Failure


def sampled(text: str, ended: bool = True) -> GeneratedText:
    return GeneratedText(text, "sample", -1.5, ended)


def test_captions_are_cleaned_and_what_is_none_is_left_out() -> None:
    answers = [
        GeneratedText("Caption: A dog barks.", "beam", -0.5, True),
        sampled("Speech"),
        sampled("I'm sorry."),
        sampled("A dog barks."),
        sampled("A dog", ended=False),
    ]
    assert build_candidates(answers, ["Speech"]) == [
        Candidate("A dog barks.", "beam", -0.5),
        Candidate("A dog barks.", "sample", -1.5),
    ]


def test_a_clip_without_a_caption_tells_what_the_model_wrote() -> None:
    message = "none of 2 is a caption; the model wrote: I'm sorry."
    assert build_candidates([sampled("I'm sorry."), sampled("")]) == Failure(
        "caption", "refusal", message
    )


def test_what_is_told_of_an_essay_is_its_beginning() -> None:
    failed = build_candidates([sampled("word " * 3000)])
    assert isinstance(failed, Failure)
    assert failed.type == "repetition"
    assert failed.message.endswith(f"wrote: {'word ' * 40} ...")


def test_logits_that_are_not_finite_fail_the_clip() -> None:
    failed = build_candidates([sampled("A dog barks."), None])
    assert failed == Failure("caption", "not_finite", "the model's logits are not finite")


def test_nothing_asked_nothing_answered() -> None:
    assert build_candidates([]) == []
