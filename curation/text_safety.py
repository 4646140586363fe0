"""Makes control, bidi and invisible characters in untrusted text visible.

Captions, tags, file names and clip ids may contain characters that reverse, hide or break the text
around them. Templates escape HTML themselves.
"""

import re
import unicodedata

# Cc control, Cf format (bidi marks, zero widths, tags), Cs lone surrogates, Co private use, Cn not
# assigned, Zl and Zp separators of lines and paragraphs.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Letters and marks that are drawn as nothing: joiners and fillers of Hangul, Khmer and Mongolian.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0")
_ASCII = re.compile(r"[ -~]*")


def escape_invisible(text: str) -> str:
    """Replace each invisible character by its code point: U+202E becomes ⟨U+202E⟩.

    The result is one line and can always be encoded as UTF-8. Right-to-left letters are unchanged:
    show them isolated (`<bdi>`).
    """
    if _ASCII.fullmatch(text):
        return text
    return "".join(f"⟨U+{ord(each):04X}⟩" if _is_unseen(each) else each for each in text)


def _is_unseen(character: str) -> bool:
    return unicodedata.category(character) in _UNSEEN or character in _BLANK
