"""Values of keeping. Times are aware UTC; people are named as their tokens are."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from evidence_store.errors import BadRequest
from evidence_store.model import StoredObject

CODE = r"^[a-z][a-z0-9_-]{0,39}$"
"""The code of a retention class, such as `serious`."""


@dataclass(frozen=True)
class Hold:
    """Forbids disposal of one object, or of a whole incident's, present and to come, where `object` is empty."""

    id: str
    incident: str
    object: str
    reason: str
    placed_by: str
    placed_at: datetime
    released_by: str | None = None
    released_at: datetime | None = None
    release_reason: str = ""


@dataclass(frozen=True)
class RetentionClass:
    """A row of the force's table. `years` None keeps for good; `source` is the rule it follows."""

    code: str
    title: str
    years: int | None
    source: str


@dataclass(frozen=True)
class Assigned:
    """That an object is kept by a class, counted from `starts_at` (received, case closed, sentence served …)."""

    code: str
    years: int | None
    starts_at: datetime


class ReviewState(StrEnum):
    """Where a review stands. PROPOSED waits for a second person; APPROVED is being carried out."""

    KEPT = "kept"
    PROPOSED = "proposed"
    APPROVED = "approved"
    REJECTED = "rejected"
    DONE = "done"


@dataclass(frozen=True)
class Review:
    """A recorded human review of one object; the *_name are those of the tokens, the others say token and id."""

    id: str
    object: str
    incident: str
    state: ReviewState
    reason: str
    reviewed_by: str
    reviewed_name: str
    reviewed_at: datetime
    decided_by: str | None = None
    decided_name: str | None = None
    decided_at: datetime | None = None
    decision_reason: str = ""
    done_at: datetime | None = None
    sequence: int | None = None


@dataclass(frozen=True)
class Due:
    """An object whose retention ends; `is_held` when an open hold forbids its disposal all the same."""

    stored: StoredObject
    ends_at: datetime
    is_held: bool


def parse_code(text: str) -> str:
    """Return the code of a retention class. Raises BadRequest."""
    if not re.fullmatch(CODE, text):
        raise BadRequest("A retention class's code is 1 to 40 lower-case letters, digits, _ or -, a letter first.")
    return text
