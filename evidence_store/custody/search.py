"""What can be searched for."""

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from evidence_store import cursors
from evidence_store.custody.model import MARK

PAGE = 100
State = Literal["screening", "received", "quarantined", "disposing", "disposed"]
Media = Literal["picture", "film", "sound", "document"]
"""What a file is to a person, by its media type; a document is what is none of the others."""


class Search(BaseModel):
    """Every given condition must hold; texts are compared exactly."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    incident: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}$")
    mark: str | None = Field(None, pattern=MARK, description="Exhibit mark, such as JS/1")
    officer: str | None = Field(None, max_length=64, description="Who asked for it or took it, such as a collar number")
    kind: str | None = Field(None, pattern=r"^[a-z][a-z0-9_-]{0,39}$")
    state: State | None = None
    media: Media | None = Field(
        None, description="What the file is, by its media type; `document` is all that is nothing else"
    )
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    received_from: AwareDatetime | None = Field(None, description="Received at this instant or later (RFC 3339)")
    received_before: AwareDatetime | None = Field(None, description="Received before this instant (RFC 3339)")
    order: Literal["oldest", "newest"] = Field("oldest", description="Which come first, by when they were sealed")
    limit: int = Field(PAGE, ge=1, le=PAGE, description="How many at most")
    after: str = Field("", max_length=1000, description="`next` of an earlier answer to the same search")

    @property
    def conditions(self) -> dict[str, str]:
        """Return what was asked for, without how it is paged: what the ledger says of a search."""
        said = self.model_dump(mode="json", exclude={"order", "limit", "after"}, exclude_none=True)
        return {name: str(value) for name, value in said.items()}


def make_cursor(key: bytes, asked: Search, sequence: int) -> str:
    """Return the cursor behind the object of this ledger line."""
    return cursors.make_cursor(key, _question(asked), sequence)


def open_cursor(key: bytes, asked: Search) -> int:
    """Return the ledger line that a search goes on behind, 0 for one that begins. Raises BadRequest."""
    return int(cursors.open_cursor(key, _question(asked), asked.after) or 0)


def _question(asked: Search) -> dict[str, str]:
    return asked.conditions | ({} if asked.order == "oldest" else {"order": asked.order})
