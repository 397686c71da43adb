"""The JSON of keeping."""

from datetime import datetime
from typing import Any, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from evidence_store.keeping.model import CODE, Assigned, Due, Hold, RetentionClass, Review
from evidence_store.keeping.retention import keep_until
from evidence_store.schemas import VOUCHED

T = TypeVar("T", bound=BaseModel)
NEXT: Any = Field(None, description="Pass as `after` for those that follow; null when these were the last")
REASON = Field(min_length=3, max_length=500, description="Why; it stands in the ledger for good: no names")


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class HoldRequest(_Asked):
    """What is to be held: one object, or all of an incident, present and to come."""

    incident: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}$")
    object: str | None = Field(None, pattern=r"^[0-9a-f]{32}$")
    reason: str = REASON


class ReasonRequest(_Asked):
    """Why something is done."""

    reason: str = REASON


class HoldAnswer(BaseModel):
    """A hold; open until it is released."""

    id: str
    incident: str
    object: str = Field(description="Empty: all of the incident")
    reason: str
    placed_by: str
    placed_at: datetime
    released_by: str | None
    released_at: datetime | None
    release_reason: str

    @classmethod
    def of(cls, hold: Hold) -> "HoldAnswer":
        """Return a hold as it is told."""
        return _told(cls, hold)


class HoldList(BaseModel):
    """An incident's holds, oldest first."""

    holds: list[HoldAnswer]
    next: str | None = NEXT


class ClassRequest(_Asked):
    """A row of the retention table."""

    title: str = Field(min_length=1, max_length=200)
    years: int | None = Field(ge=0, le=500, description="null keeps for good")
    source: str = Field(min_length=1, max_length=500, description="The rule it follows")


class ClassAnswer(BaseModel):
    """A row of the retention table."""

    code: str
    title: str
    years: int | None
    source: str

    @classmethod
    def of(cls, row: RetentionClass) -> "ClassAnswer":
        """Return a row as it is told."""
        return _told(cls, row)


class ClassList(BaseModel):
    """The retention table."""

    classes: list[ClassAnswer]


class AssignedRequest(_Asked):
    """One class, and from when it counts."""

    code: str = Field(pattern=CODE)
    starts_at: AwareDatetime | None = Field(None, description="Default: when the object was received")


class RetentionRequest(_Asked):
    """All classes that an object is kept by; the longest wins."""

    classes: list[AssignedRequest] = Field(max_length=20)
    reason: str = REASON


class AssignedAnswer(BaseModel):
    """One class, and from when it counts."""

    code: str
    years: int | None
    starts_at: datetime


class RetentionAnswer(BaseModel):
    """How long an object is kept."""

    classes: list[AssignedAnswer]
    keep_until: datetime | None = Field(description="null: no end is known")

    @classmethod
    def of(cls, assigned: list[Assigned]) -> "RetentionAnswer":
        """Return an object's retention as it is told."""
        return cls(classes=[_told(AssignedAnswer, one) for one in assigned], keep_until=keep_until(assigned))


class ReviewRequest(_Asked):
    """What a person who reviewed an object came to."""

    outcome: Literal["keep", "dispose"]
    reason: str = REASON


class ReviewAnswer(BaseModel):
    """A review. `proposed` waits for a second person, `approved` is being carried out."""

    id: str
    object: str
    incident: str
    state: Literal["kept", "proposed", "approved", "rejected", "done"]
    reason: str
    reviewed_by: str
    reviewed_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    decision_reason: str
    done_at: datetime | None

    @classmethod
    def of(cls, review: Review) -> "ReviewAnswer":
        """Return a review as it is told."""
        return _told(cls, review)


class ReviewList(BaseModel):
    """Reviews that wait for a second person, oldest first."""

    reviews: list[ReviewAnswer]
    next: str | None = NEXT


class DueAnswer(BaseModel):
    """An object whose retention ends, and that no review is open about."""

    object: str
    incident: str
    kind: str
    received_at: datetime
    keep_until: datetime
    held: bool = Field(description="An open hold forbids its disposal all the same")
    vouched: bool | None = Field(description=VOUCHED)

    @classmethod
    def of(cls, due: Due, *, vouched: bool | None) -> "DueAnswer":
        """Return it as it is told."""
        stored = due.stored
        return cls(
            object=stored.id, incident=stored.incident, kind=stored.kind, received_at=stored.received_at,
            keep_until=due.ends_at, held=due.is_held, vouched=vouched,
        )  # fmt: skip


class DueList(BaseModel):
    """Objects that are due for review, those whose retention ends first, first."""

    objects: list[DueAnswer]
    next: str | None = NEXT


class Keeping(BaseModel):
    """Holds, retention and reviews of one object."""

    holds: list[HoldAnswer]
    retention: RetentionAnswer
    reviews: list[ReviewAnswer]


class Certificate(BaseModel):
    """That an object was disposed of. To check it with the ledger's key alone: hash `leaf`, follow `path`."""

    object: str
    sha256: str
    size_bytes: int
    incident: str
    mark: str
    reason: str
    reviewed_by: str
    reviewed_at: datetime
    approved_by: str
    approved_at: datetime
    disposed_at: datetime
    sequence: int
    leaf: str = Field(description="The ledger's line, exactly as hashed")
    size: int
    path: list[str] = Field(description="Inclusion proof (RFC 9162), hex")
    checkpoint: str = Field(description="Signed note (C2SP tlog-checkpoint) of the ledger of `size`")


def _told(model: type[T], value: object) -> T:
    return model.model_validate({name: getattr(value, name) for name in model.model_fields})
