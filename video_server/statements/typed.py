"""What is typed into a statement, as it is kept: cleaned, bounded, cut into paragraphs."""

import re
import unicodedata

from video_server.core.errors import N_, Refusal

TEXT_CHARACTERS = 40_000
MOST_PARAGRAPHS = 400
NAME_CHARACTERS = 120

_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")
_UNSEEN = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff\ufffe\uffff")


class TextTooLong(Refusal):
    code = "statement_too_long"
    status = 422
    public = N_("The statement is too long. Shorten it, or go on in a further statement.")


def clean(text: str) -> str:
    """Return a typed text as it is kept: plain line ends, nothing invisible that could make it read otherwise.

    Control characters and those that turn the writing direction are dropped; what can be seen stays as typed.
    """
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(
        c for c in plain if c in "\n\t" or (c not in _UNSEEN and unicodedata.category(c) not in {"Cc", "Cs"})
    )


def clean_name(name: str) -> str:
    """Return a typed name as it is kept: one line, single spaces."""
    return " ".join(clean(name).split())


def split_paragraphs(text: str) -> tuple[str, ...]:
    """Split at blank lines; single line ends stay within their paragraph."""
    return tuple(part.strip() for part in _BLANK_LINES.split(text.strip()) if part.strip())


def check_text(text: str) -> None:
    """Raise TextTooLong when a text is beyond what may be kept."""
    if len(text) > TEXT_CHARACTERS or len(split_paragraphs(text)) > MOST_PARAGRAPHS:
        raise TextTooLong
