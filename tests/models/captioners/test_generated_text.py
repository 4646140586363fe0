"""Answers that are captions become candidates; a clip without any tells what was written."""

from curation.models.captioners.base import Candidate
from curation.models.captioners.generated_text import GeneratedText, build_candidates
from curation.schema import Failure


def sampled(text: str, ended: bool = True) -> GeneratedText:
    return GeneratedText(text, "sample", -1.5, ended)


def test_captions_are_cleaned_and_others_dropped() -> None:
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


def test_the_failure_of_a_clip_quotes_the_models_text() -> None:
    message = "none of 2 is a caption; the model wrote: I'm sorry."
    assert build_candidates([sampled("I'm sorry."), sampled("")]) == Failure(
        "caption", "refusal", message
    )


def test_only_the_beginning_of_an_essay_is_quoted() -> None:
    failed = build_candidates([sampled("word " * 3000)])
    assert isinstance(failed, Failure)
    assert failed.kind == "repetition"
    assert failed.message.endswith(f"wrote: {'word ' * 40} ...")


def test_logits_that_are_not_finite_fail_the_clip() -> None:
    failed = build_candidates([sampled("A dog barks."), None])
    assert failed == Failure("caption", "not_finite", "the model's logits are not finite")


def test_no_texts_give_no_candidates() -> None:
    assert build_candidates([]) == []
