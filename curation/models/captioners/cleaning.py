"""Extracts one caption from the text of a language model, or gives a reason for rejection.

Typical faults of large captioners are chat around the caption, apologies, a repeated list of the
tags, loops, and essays. Only the form is checked here. Whether a caption is true is judged by the
scorer.
"""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

# Captions of AudioCaps have 10 words on average, those of audio-language models 20 to 50.
MAX_WORDS = 60

RejectionReason = Literal["empty", "refusal", "label_echo", "repetition", "too_long"]


class RejectedText(NamedTuple):
    """The reason why a text is not a caption."""

    reason: RejectionReason


_MARKUP = re.compile(r"```\w*|[*_]{2,}|(?<!\w)[*_`]+(?=\w)|(?<=[\w.!?])[*_`]+(?!\w)")
_BULLET = re.compile(r"^(?:[-*•#>]+|\d{1,2}[.)])\s+")
_QUOTES = "\"'“”‘’«»"

# What stands before a caption and is none of it: what an assistant says, and what it calls it.
_PREAMBLE = re.compile(
    r"""
    \A
    (?: (?:sure|certainly|of\ course|absolutely|okay|ok|yes)(?:\ thing)?[,.!:]\s*
      | here(?:'s|\ is|\ are)\ [^:.!?]{0,80}:\s*
      | (?:this|the\ following)\ is\ [^:.!?]{0,40}(?:caption|description|sentence)[^:.!?]{0,40}:\s*
      | (?:(?:the|a|my|one|possible|final|short|brief|audio|sound|one-sentence)\ )*
        (?:caption|description|answer|response|output|sentence|summary|assistant)\s*:\s*
    )+
    """,
    re.IGNORECASE | re.VERBOSE,
)

_REFUSAL = re.compile(
    r"""
    (?:unfortunately,?\ )?
    (?: (?:i\ am|i'm|we\ are)\ (?:\w+\ )?sorry\b | sorry\b | (?:my\ |i\ )?apolog
      | (?:as|i'm|i\ am)(?:\ just|\ only)?\ an?\ (?:[\w-]+\ ){0,4}(?:ai|model|assistant)\b
      | (?:i|we)\ (?:cannot|can't|can\ not|could\ not|couldn't|do\ not|don't|did\ not|didn't)\b
      | (?:i'm|i\ am)\ (?:unable|not\ able|not\ sure)\b
      | it\ is\ (?:not\ possible|impossible|unclear)\b
      | (?:please|could\ you|can\ you)\ (?:please\ )?(?:provide|upload|share|give|tell)\b
      | no\ (?:audio|sound|recording|speech)\ (?:\w+\ ){0,4}(?:provided|attached|given|uploaded)\b
      | (?:there\ is|there's|there\ was|there\ are)\ no\ (?:\w+\ )?
          (?:audio|sound|sounds|speech|recording|voice|voices|dialogue|transcript|words)\b
          (?:\ \w+){0,2}\ (?:in|on|within|from|to|provided|attached|available|detected)\b
          [^,;]*$
    )
    """,
    re.IGNORECASE | re.VERBOSE,
)

# A full stop ends a sentence where a new one begins, unless it belongs to a title or an initial.
_SENTENCE_END = re.compile(
    r"(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bDr)(?<!\bSt)(?<!\bvs)(?<!\b[A-Z])"
    rf"[.!?…]+[{_QUOTES})\]]*(?=\s+[{_QUOTES}(\[]*[A-Z0-9])"
)
_ENDED = re.compile(rf"[.!?…][{_QUOTES})\]]*$")

# How often a word, and a group of words, may follow itself before the model is in a loop.
_LONGEST_GROUP = 12
_WORD_TIMES, _GROUP_TIMES = 5, 3


def clean_caption(text: str, labels: Sequence[str] = (), ended: bool = True) -> str | RejectedText:
    """Return the first sentence of a model's text, or the reason why the text is rejected.

    Args:
        text: as the model wrote it.
        labels: the names of the tags given to the model; a text that only lists them is rejected.
        ended: False if the text was cut at the maximum number of tokens; the first sentence must
            still be complete.
    """
    plain = strip_wrapping(text)
    if not any(map(str.isalnum, plain)):
        return RejectedText("empty")
    if _REFUSAL.match(plain):
        return RejectedText("refusal")
    sentence = first_sentence(plain)
    if has_repetition(sentence):
        return RejectedText("repetition")
    cut = not ended and sentence == plain and not _ENDED.search(sentence)
    if cut or len(sentence.split()) > MAX_WORDS:
        return RejectedText("too_long")
    if is_label_echo(sentence, labels):
        return RejectedText("label_echo")
    return sentence


def strip_wrapping(text: str) -> str:
    """Return the first line of a text, without markup, surrounding quotes or a chat preamble."""
    plain, before = _MARKUP.sub("", text.replace("’", "'")).strip(), ""
    while before != plain:
        before = plain
        plain = _PREAMBLE.sub("", _BULLET.sub("", _unquoted(plain)))
    return " ".join(plain.partition("\n")[0].split())


def first_sentence(text: str) -> str:
    """Return a text up to the end of its first sentence."""
    end = _SENTENCE_END.search(text)
    return text[: end.end()] if end else text


def has_repetition(text: str) -> bool:
    """Whether a text repeats a sequence of words several times."""
    words = re.findall(r"\w+", text.casefold())
    for size in range(1, _LONGEST_GROUP + 1):
        # How many words in a row are each the same as the one `size` words before.
        same, needed = 0, size * ((_WORD_TIMES if size == 1 else _GROUP_TIMES) - 1)
        for now, before in zip(words[size:], words, strict=False):
            same = same + 1 if now == before else 0
            if same >= needed:
                return True
    return False


def is_label_echo(text: str, labels: Sequence[str]) -> bool:
    """Whether a text consists of labels only, as in "Speech; Inside, small room"."""
    left = _words(text)
    for label in sorted({_words(label) for label in labels}, key=len, reverse=True):
        left = left.replace(label, " ")
    return bool(labels) and set(left.split()) <= {"and", "or", "with"}


def _words(text: str) -> str:
    """The words of a text, each between spaces."""
    words = " ".join(re.findall(r"[^\W_]+", text.casefold()))
    return f" {words} "


def _unquoted(text: str) -> str:
    """A text without the quotes around all of it."""
    inner = text.strip(_QUOTES + " ") if text[:1] in _QUOTES else text
    return inner if not set(_QUOTES) - {"'"} & set(inner) else text
