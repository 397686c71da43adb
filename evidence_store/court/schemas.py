"""The JSON of trails and packages."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from evidence_store import ledger
from evidence_store.court.package import MOST_CHECKPOINTS, MOST_EXHIBITS
from evidence_store.court.trail import Line, Trail
from evidence_store.schemas import Metadata
from evidence_store.sealing.notes import VerifierKey

_Words = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]


class PackageRequest(BaseModel):
    """Which exhibits are to be given out, to whom and why; the words stand in the ledger for good."""

    model_config = ConfigDict(extra="forbid")

    objects: list[Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]] = Field(
        min_length=1, max_length=MOST_EXHIBITS, description="Ids, each once, in the order wanted"
    )
    recipient: _Words = Field(min_length=1, max_length=200, description="Whom it is for")
    reason: _Words = Field(min_length=3, max_length=500)
    quarantined: bool = Field(False, description="Quarantined ones too; needs the scope `quarantine`")
    checkpoints: list[Annotated[str, Field(max_length=2000)]] = Field(
        [], max_length=MOST_CHECKPOINTS, description="Signed notes that the recipient holds, to compare it with"
    )


class TrailLine(BaseModel):
    """One line of the ledger about the object, and its proof: hash `leaf`, follow `path` to the checkpoint's root."""

    sequence: int = Field(description="From 1")
    index: int = Field(description="Of the leaf in the tree, from 0")
    at: datetime
    actor: str
    action: str
    purpose: str
    digest: str = Field(description="SHA-256 of the object that the line names; empty where it names none")
    details: dict[str, Any]
    leaf: str | None = Field(description="The line exactly as hashed (UTF-8); null where it names other objects too")
    leaf_hash: str = Field(description="SHA-256 of 00 and the line, hex")
    path: list[str] = Field(description="Inclusion proof (RFC 9162) to `size`, hex")

    @classmethod
    def of(cls, line: Line) -> "TrailLine":
        """Return a line as it is told."""
        entry, open_ = line.entry, not line.is_withheld
        return cls(
            sequence=entry.sequence, index=entry.sequence - 1, at=entry.at, actor=entry.actor, action=entry.action,
            purpose=entry.purpose if open_ else "", digest=entry.digest, details=entry.details if open_ else {},
            leaf=entry.leaf if open_ else None, leaf_hash=ledger.leaf_hash(entry.leaf).hex(),
            path=[step.hex() for step in line.path],
        )  # fmt: skip


class TrailAnswer(BaseModel):
    """The audit trail of one object: everything the ledger says about it, as of the checkpoint."""

    object: Metadata
    mark: str | None = Field(description="Its exhibit mark")
    lines: list[TrailLine]
    size: int = Field(description="Lines in the whole ledger; the proofs lead to this size")
    checkpoint: str = Field(description="Signed note (C2SP tlog-checkpoint) of the ledger of `size`")
    key: str = Field(description="The key it was signed with; compare it with one that came another way")

    @classmethod
    def of(cls, trail: Trail, key: VerifierKey) -> "TrailAnswer":
        """Return a trail as it is told."""
        return cls(
            object=Metadata.of(trail.stored, vouched=trail.vouched), mark=trail.label.mark if trail.label else None,
            lines=list(map(TrailLine.of, trail.lines)), size=trail.head.size, checkpoint=trail.head.note, key=str(key),
        )  # fmt: skip
