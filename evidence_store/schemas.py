"""The JSON that the storage API speaks; the OpenAPI document is generated from these same models."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from evidence_store.asked import Whole
from evidence_store.grants import GRANT_LASTS
from evidence_store.model import Entry, StoredObject

SHA256 = r"^[0-9a-fA-F]{64}$"
_ID = r"^[0-9a-f]{32}$"
VOUCHED = (
    "Whether the signed ledger's line of how it came says the same of incident, kind, media type, officer, size, "
    "digests and time of receipt. false: it does not, so rely on nothing here, and run `evidence-store verify`. null: "
    "it is being sealed, and has no line yet"
)
_INCIDENT = r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}$"


class ObjectHeaders(BaseModel):
    """What a system says in headers of an object that it sends in one piece."""

    model_config = ConfigDict(frozen=True)

    incident: str = Field(
        alias="Evidence-Incident", pattern=_INCIDENT, description="1 to 64 letters, digits or . _ : / -"
    )
    kind: str = Field(
        alias="Evidence-Kind", pattern=r"^[a-z][a-z0-9_-]{0,39}$",
        description="the kind of evidence, such as statement: 1 to 40 lower-case letters, digits, _ or -",
    )  # fmt: skip
    sha256: str = Field(alias="Evidence-Sha256", pattern=SHA256, description="of the whole body: 64 hex digits")
    filename: str = Field("", alias="Evidence-Filename", max_length=9000, description="percent-encoded UTF-8")
    officer: str = Field(
        "", alias="Evidence-Officer", max_length=600, description="percent-encoded UTF-8; found by search"
    )


class Metadata(BaseModel):
    """One object."""

    id: str = Field(description="32 hex digits")
    incident: str
    kind: str = Field(description="'upload' for what people send; systems name their own, such as 'statement'")
    media_type: str
    filename: str = Field(description="As the sender named it, cleaned; never trust its ending")
    reference: str = Field(description="Who it came from, in the web server's own words")
    officer: str = Field(description="Who asked for it or took it; may be empty")
    size_bytes: int
    sha256: str
    client_digest: Literal["equal", "different", "not given"]
    state: Literal["sealing", "screening", "received", "quarantined", "disposing", "disposed"]
    source: Literal["upload", "put"]
    received_at: datetime
    sealed_at: datetime | None
    vouched: bool | None = Field(description=VOUCHED)

    @classmethod
    def of(cls, stored: StoredObject, *, vouched: bool | None) -> "Metadata":
        """Return what may be told of an object, and whether the ledger vouches for it (see `vouching.vouch`)."""
        told = {name: getattr(stored, name) for name in cls.model_fields if name != "vouched"}
        return cls.model_validate(told | {"vouched": vouched})


class LedgerEntry(BaseModel):
    """One line of the ledger."""

    sequence: int = Field(description="From 1; the leaf's index in the tree is one less")
    at: datetime
    actor: str
    purpose: str
    action: str
    object: str = Field(description="Empty when the line is not about one object")
    digest: str
    details: dict[str, Any]
    leaf: str = Field(description="The line exactly as hashed (UTF-8): the tree's leaf; all else here is read from it")

    @classmethod
    def of(cls, entry: Entry) -> "LedgerEntry":
        """Return a line as it is told."""
        return cls.model_validate({name: getattr(entry, name) for name in cls.model_fields})


class LedgerPage(BaseModel):
    """Some lines, in order, and where the ledger stands."""

    entries: list[LedgerEntry]
    size: int
    checkpoint: str = Field(description="Signed note (C2SP tlog-checkpoint) of the ledger as it stands")
    next: str | None = Field(description="Pass as `after` for those that follow; null when these were the last")


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LedgerAsked(_Query):
    """Which lines of the ledger."""

    after: Whole = Field(0, description="`next` of an earlier answer")
    object: str | None = Field(None, pattern=_ID, description="only lines about this object")


class CheckpointAsked(_Query):
    """Which checkpoint."""

    size: Whole | None = Field(None, description="of the size at which it was kept; default: the newest")


class InclusionAsked(_Query):
    """Which line, in the ledger of which size."""

    sequence: Whole = Field(description="the line, from 1")
    size: Whole | None = Field(None, description="default: as it stands")


class ConsistencyAsked(_Query):
    """Which two sizes of the ledger."""

    first: Whole = Field(description="a size, from 1")
    second: Whole | None = Field(None, description="default: as it stands")


class InclusionProof(BaseModel):
    """That one line is in the ledger of a size (RFC 9162, 2.1.3); hashes in hex, in the order of the RFC."""

    sequence: int
    size: int
    leaf_hash: str
    path: list[str]
    root: str


class ConsistencyProof(BaseModel):
    """That the ledger of one size begins with that of another (RFC 9162, 2.1.4); hashes in hex."""

    first: int
    second: int
    path: list[str]
    first_root: str
    second_root: str


class GrantRequest(BaseModel):
    """What a system asks a grant for."""

    model_config = ConfigDict(extra="forbid")

    incident: str = Field(max_length=64)
    reference: str = Field("", max_length=64)
    officer: str = Field("", max_length=64)
    max_bytes: int = Field(ge=1)
    kinds: list[str] = Field(min_length=1, max_length=40, description="Codes, groups or media types")
    seconds: int = Field(int(GRANT_LASTS.total_seconds()), ge=1, le=900)


class GrantAnswer(BaseModel):
    """A grant, for the header `Authorization: Grant …`."""

    grant: str
    expires_at: datetime


class DigestRequest(BaseModel):
    """The sender's own digest of what it sent."""

    model_config = ConfigDict(extra="forbid")

    sha256: str = Field(pattern=SHA256)


class DigestAnswer(BaseModel):
    """What became of an upload. `quarantined` when the digests differ: kept, and to be looked into."""

    id: str
    state: Literal["received", "quarantined"]
    sha256: str


class BearerAnswer(BaseModel):
    """A renewed bearer."""

    bearer: str


class Problem(BaseModel):
    """Every refusal (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str


class Health(BaseModel):
    """Whether the process lives, or can work."""

    status: Literal["ok", "failing"]
    problems: list[str] = []
