"""The JSON of breaking the glass."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from evidence_store.breakglass.model import Glass


class GlassRequest(BaseModel):
    """Why an object must be opened that is not one's own."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    reason: str = Field(
        min_length=10, max_length=500, description="Supervisors read it at once; in the ledger for good: no names"
    )


class GlassAnswer(BaseModel):
    """That the object may be looked at and read by this token until `ends_at`; supervisors were alarmed."""

    id: str
    object: str
    incident: str
    reason: str
    opened_at: datetime
    ends_at: datetime

    @classmethod
    def of(cls, glass: Glass) -> "GlassAnswer":
        """Return a glass as it is told."""
        return cls.model_validate({name: getattr(glass, name) for name in cls.model_fields})
