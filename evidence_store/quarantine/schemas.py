"""The JSON of quarantine."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from evidence_store.keeping.lists import InIncident
from evidence_store.keeping.schemas import NEXT, REASON
from evidence_store.model import ObjectState, StoredObject
from evidence_store.quarantine.model import Release, Standing
from evidence_store.schemas import VOUCHED


class ReleasesAsked(InIncident):
    """Releases that wait for a second person, oldest first."""


class ReleaseRequest(BaseModel):
    """That an object is to leave quarantine."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    knowing: str = Field(
        pattern=r"^[0-9a-f]{16}$", description="As …/quarantine told it: so that nothing found since is overlooked"
    )
    reason: str = REASON


class ReleaseAnswer(BaseModel):
    """A release. `proposed` waits for a second person, `overtaken` was about what is known no longer."""

    id: str
    object: str
    incident: str
    state: Literal["proposed", "released", "rejected", "overtaken"]
    malware: str = Field(description="What was found; empty: one person is enough")
    reason: str
    asked_by: str
    asked_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    decision_reason: str

    @classmethod
    def of(cls, release: Release) -> "ReleaseAnswer":
        """Return a release as it is told."""
        return cls.model_validate({name: getattr(release, name) for name in cls.model_fields})


class ReleaseList(BaseModel):
    """Releases that wait for a second person, oldest first."""

    releases: list[ReleaseAnswer]
    next: str | None = NEXT


class CauseAnswer(BaseModel):
    """One thing to know of an object that is set aside."""

    code: Literal["digest differs", "infected", "unknown", "not screened", "clean", "clean since"]
    says: str = Field(description="Why, and what to do, in plain words")


class Quarantine(BaseModel):
    """Why an object is set aside, and what people decided about it."""

    is_in: bool
    causes: list[CauseAnswer] = Field(description="Empty when it is not in quarantine")
    people: int = Field(description="How many must agree to release it: 2 where malware was found")
    knowing: str = Field(description="Name it in a release: it stands for these causes")
    releases: list[ReleaseAnswer] = Field(description="Oldest first")
    vouched: bool = Field(description=VOUCHED)

    @classmethod
    def of(cls, stored: StoredObject, standing: Standing, releases: list[Release], *, vouched: bool) -> "Quarantine":
        """Return it as it is told."""
        is_in = stored.state is ObjectState.QUARANTINED
        causes = [CauseAnswer(code=code.value, says=says) for code, says in standing.causes()] if is_in else []
        people = 2 if standing.needs_two else 1
        told = list(map(ReleaseAnswer.of, releases))
        return cls(
            is_in=is_in, causes=causes, people=people, knowing=standing.knowing, releases=told, vouched=vouched
        )  # fmt: skip
