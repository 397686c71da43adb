"""What a statement refers to, and the marks its text speaks of."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from video_server.core.errors import N_, Refusal
from video_server.statements.typed import clean

MOST_EXHIBITS = 50
DESCRIPTION_CHARACTERS = 300

_MARK = re.compile(r"\b[A-Z]{2,4}/[0-9]{1,3}\b")


class BadExhibit(Refusal):
    code = "statement_bad_exhibit"
    status = 422
    public = N_("Enter the exhibit's mark, such as JS/1, and a few words of what it is.")


@dataclass(frozen=True)
class Exhibit:
    """Something the statement refers to: `mark` is the maker's initials and a number, such as JS/1."""

    mark: str
    description: str


def make_exhibit(mark: str, description: str) -> Exhibit:
    """Return an exhibit, its mark in capitals. Raises BadExhibit."""
    mark, description = "".join(mark.upper().split()), " ".join(clean(description).split())
    if not _MARK.fullmatch(mark) or not 0 < len(description) <= DESCRIPTION_CHARACTERS:
        raise BadExhibit
    return Exhibit(mark, description)


def add_exhibit(exhibits: Sequence[Exhibit], exhibit: Exhibit) -> tuple[Exhibit, ...]:
    """Return the exhibits with one more, or with a new description for its mark. Raises BadExhibit past the most."""
    kept = [one for one in exhibits if one.mark != exhibit.mark]
    if len(kept) >= MOST_EXHIBITS:
        raise BadExhibit
    return (*kept, exhibit)


def unlisted_marks(text: str, exhibits: Sequence[Exhibit]) -> tuple[str, ...]:
    """Return marks the text speaks of that no exhibit carries: the officer is told, nothing is refused."""
    listed = {exhibit.mark for exhibit in exhibits}
    return tuple(dict.fromkeys(mark for mark in _MARK.findall(text) if mark not in listed))
