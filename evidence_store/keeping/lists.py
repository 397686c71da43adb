"""What lists of holds, reviews and objects due for review can be asked for. All go on behind a cursor."""

from datetime import datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

PAGE = 100
_INCIDENT = r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}$"
Place = tuple[datetime, str]
"""Where a list goes on: behind this instant and, of those at the same instant, behind this id."""


class _List(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(PAGE, ge=1, le=PAGE, description="How many at most")
    after: str = Field("", max_length=1000, description="`next` of an earlier answer to the same question")

    @property
    def conditions(self) -> dict[str, str]:
        """Return what was asked for, without how it is paged; which list it is, is part of it."""
        said = self.model_dump(mode="json", exclude={"limit", "after"}, exclude_none=True)
        return {"list": type(self).__name__} | {name: str(value) for name, value in said.items()}


class HoldsAsked(_List):
    """The holds of one incident, oldest first."""

    incident: str = Field(pattern=_INCIDENT)


class ReviewsAsked(_List):
    """Reviews that wait for a second person, oldest first."""

    incident: str | None = Field(None, pattern=_INCIDENT)


class DueAsked(_List):
    """Objects whose retention ends before an instant and that no review is open about; what ended first, first."""

    incident: str | None = Field(None, pattern=_INCIDENT)
    before: AwareDatetime | None = Field(None, description="Default: 30 days from now (RFC 3339)")


def parse_place(after: list[str] | None) -> Place | None:
    """Return a place from a cursor."""
    return None if after is None else (datetime.fromisoformat(after[0]), after[1])
