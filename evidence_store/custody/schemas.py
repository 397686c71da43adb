"""The JSON of custody; what is asked is validated by these models, and the OpenAPI document is generated from them."""

from datetime import datetime
from typing import Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from evidence_store.custody.model import MARK, Label, Link, Note
from evidence_store.media.schemas import MediaAnswer
from evidence_store.model import StoredObject
from evidence_store.schemas import SHA256, Metadata
from evidence_store.screening.storage import Screening

T = TypeVar("T", bound=BaseModel)
Relation = Literal["preview", "playable", "redacted", "transcript", "extract", "translation", "other"]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class LabelSignature(_Asked):
    """That the exhibit's maker signed the label."""

    at: AwareDatetime
    how: str = Field(min_length=1, max_length=200, description="How the maker was identified and signed")


class LabelRequest(_Asked):
    """An exhibit's label."""

    mark: str = Field(pattern=MARK, description="Initials and number, such as JS/1; once in an incident")
    description: str = Field(min_length=1, max_length=2000)
    maker: str = Field(min_length=1, max_length=120, description="Who produces the exhibit")
    signed: LabelSignature | None = Field(None, description="A signed label never changes")


class LabelAnswer(BaseModel):
    """An exhibit's label; the ledger holds `commitment`, SHA-256 of {nonce, words}."""

    mark: str
    description: str
    maker: str
    signed_at: datetime | None
    signed_how: str
    changed_by: str
    changed_at: datetime
    nonce: str
    commitment: str

    @classmethod
    def of(cls, label: Label) -> "LabelAnswer":
        """Return a label as it is told."""
        return _told(cls, label)


class NoteRequest(_Asked):
    """A note on an object."""

    text: str = Field(min_length=1, max_length=3000)


class NoteAnswer(BaseModel):
    """A note; the ledger holds `commitment`."""

    id: str
    text: str
    by: str
    at: datetime
    nonce: str
    commitment: str

    @classmethod
    def of(cls, note: Note) -> "NoteAnswer":
        """Return a note as it is told."""
        return _told(cls, note)


class LinkRequest(_Asked):
    """What this object was derived from."""

    sha256: str = Field(pattern=SHA256, description="Digest of the original, which is of the same incident")
    relation: Relation


class LinkAnswer(BaseModel):
    """That `object` was derived from `original`."""

    object: str
    original: str
    sha256: str = Field(description="Of the original")
    relation: Relation
    linked_by: str
    linked_at: datetime

    @classmethod
    def of(cls, link: Link) -> "LinkAnswer":
        """Return a link as it is told."""
        return _told(cls, link)


class FoundObject(Metadata):
    """One object as a search finds it."""

    mark: str | None = Field(description="Its exhibit mark")

    @classmethod
    def found(cls, stored: StoredObject, label: Label | None, *, vouched: bool) -> "FoundObject":
        """Return what a search tells of an object."""
        return cls(**Metadata.of(stored, vouched=vouched).model_dump(), mark=label.mark if label else None)


class Found(BaseModel):
    """Objects that a search found, in the order asked for."""

    objects: list[FoundObject]
    next: str | None = Field(description="Pass as `after` for those that follow; null when these were the last")


class ScreeningAnswer(BaseModel):
    """What is known of malware in an object."""

    verdict: Literal["", "clean", "infected", "unknown"] = Field(description="Empty before the first look")
    reason: str = Field(description="The signature's name, or why nothing is known")
    engine: str = Field(description="clamd's version and that of its signatures")
    screened_at: datetime | None
    next_at: datetime | None = Field(description="When it is asked again; null when the verdict stands")

    @classmethod
    def of(cls, screening: Screening) -> "ScreeningAnswer":
        """Return a screening as it is told."""
        said = {name: getattr(screening, name) for name in cls.model_fields}
        return cls.model_validate(said | ({} if screening.state == "waiting" else {"next_at": None}))


class ObjectDetail(Metadata):
    """One object and all that is known about it."""

    label: LabelAnswer | None
    notes: list[NoteAnswer]
    original: LinkAnswer | None = Field(description="What it was derived from")
    copies: list[LinkAnswer] = Field(description="What was derived from it")
    media: MediaAnswer
    screening: ScreeningAnswer | None = Field(description="null: it was never screened")


def _told(model: type[T], value: object) -> T:
    return model.model_validate({name: getattr(value, name) for name in model.model_fields})
