"""What lists of holds, reviews and objects due for review can be asked for. All go on behind a cursor."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from evidence_store import cursors
from evidence_store.errors import Forbidden
from evidence_store.tokens import Token

T = TypeVar("T")
PAGE = 100
_INCIDENT = r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}$"
Place = tuple[datetime, str]
"""Where a list goes on: behind this instant and, of those at the same instant, behind this id."""


class Paged(BaseModel):
    """A list that goes on behind a cursor, ordered by an instant and an id."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(PAGE, ge=1, le=PAGE, description="How many at most")
    after: str = Field("", max_length=1000, description="`next` of an earlier answer to the same question")

    @property
    def conditions(self) -> dict[str, str]:
        """Return what was asked for, without how it is paged; which list it is, is part of it."""
        said = self.model_dump(mode="json", exclude={"limit", "after"}, exclude_none=True)
        return {"list": type(self).__name__} | {name: str(value) for name, value in said.items()}


class HoldsAsked(Paged):
    """The holds of one incident, oldest first."""

    incident: str = Field(pattern=_INCIDENT)


class InIncident(Paged):
    """A list of all incidents, or of one."""

    incident: str | None = Field(None, pattern=_INCIDENT)


class ReviewsAsked(InIncident):
    """Reviews that wait for a second person, oldest first."""


class DueAsked(InIncident):
    """Objects whose retention ends before an instant and that no review is open about; what ended first, first."""

    before: AwareDatetime | None = Field(None, description="Default: 30 days from now (RFC 3339)")


L = TypeVar("L", bound=InIncident)


def narrow(asked: L, token: Token) -> L:
    """Return a list narrowed to the token's incident. Raises Forbidden when it is of another."""
    if asked.incident is not None and not token.sees(asked.incident):
        raise Forbidden("The token is for another incident.")
    return asked.model_copy(update={"incident": asked.incident or token.incident})


def open_place(key: bytes, asked: Paged) -> Place | None:
    """Return where a list goes on, None for one that begins. Raises BadRequest."""
    after = cursors.open_cursor(key, asked.conditions, asked.after)
    return None if after is None else (datetime.fromisoformat(after[0]), after[1])


def cut_page(
    key: bytes, asked: Paged, found: Sequence[T], place_of: Callable[[T], Place]
) -> tuple[Sequence[T], str | None]:
    """Return the page of what was found, and the cursor for those that follow: one more than a page was looked for."""
    page = found[: asked.limit]
    if len(found) <= asked.limit:
        return page, None
    at, id_ = place_of(page[-1])
    return page, cursors.make_cursor(key, asked.conditions, [at.isoformat(), id_])
