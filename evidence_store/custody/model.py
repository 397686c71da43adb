"""Values of custody. Words that people wrote stand in the database; the ledger, which is for good, holds a commitment:

    SHA-256 of the canonical JSON (RFC 8785) of {"nonce": …, and what was written}

So every word can be checked against the ledger while it is kept, and is gone for good when its row is destroyed: the
nonce (128 random bits) keeps a name from being guessed from the digest.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from evidence_store import ledger
from evidence_store.sealing import signing

MARK = r"^[A-Z][A-Z0-9]{0,9}(/[A-Z0-9]{1,10}){1,2}$"
"""An exhibit mark: its maker's initials and a number, such as JS/1."""


@dataclass(frozen=True)
class Label:
    """The label of one exhibit. Once its maker has signed it, it never changes."""

    object: str
    incident: str
    mark: str
    description: str
    maker: str
    signed_at: datetime | None
    signed_how: str
    nonce: str
    changed_by: str
    changed_at: datetime

    def says_same(self, other: "Label") -> bool:
        """Say whether two labels have the same words, whoever set them."""
        return self._words() == other._words()

    def _words(self) -> dict[str, Any]:
        return {
            "mark": self.mark,
            "description": self.description,
            "maker": self.maker,
            "signed_at": written(self.signed_at),
            "signed_how": self.signed_how,
        }

    @property
    def commitment(self) -> str:
        """Return what the ledger holds in place of the words."""
        return commit(self.nonce, self._words())


@dataclass(frozen=True)
class Note:
    """Something that a person wrote about an object; never changed."""

    id: str
    object: str
    text: str
    nonce: str
    by: str
    at: datetime

    @property
    def commitment(self) -> str:
        """Return what the ledger holds in place of the words."""
        return commit(self.nonce, {"text": self.text})


@dataclass(frozen=True)
class Link:
    """That `object` was derived from `original`, which held the bytes of this digest."""

    object: str
    original: str
    sha256: str
    relation: str
    linked_by: str
    linked_at: datetime


def commit(nonce: str, said: dict[str, Any]) -> str:
    """Return the commitment to what was written."""
    return signing.sha256_hex(ledger.canonical_json({"nonce": nonce, **said}).encode())


def written(at: datetime | None) -> str | None:
    """Return an instant as the ledger writes it."""
    return None if at is None else ledger.written(at)
