"""The audit trail of one object: every ledger line that speaks of it, each with its proof to one signed checkpoint.

A line speaks of an object when it is filed under it, when it names it among others (a search that showed it), or when
it is about the whole of its incident (a hold). A search over many incidents names objects that are nobody's business
here: of such a line only when, who and what stand in the trail, with the line's hash. Hash and proof fix the line, so
that it can be asked for and compared.
"""

from dataclasses import dataclass

from evidence_store import ledger
from evidence_store.custody.model import Label
from evidence_store.custody.storage import find_label
from evidence_store.database import Connection
from evidence_store.model import Entry, StoredObject


@dataclass(frozen=True)
class Line:
    """One line of a trail. `path` is its inclusion proof (RFC 9162); a withheld one must not be shown whole."""

    entry: Entry
    path: list[bytes]
    is_withheld: bool


@dataclass(frozen=True)
class Trail:
    """Everything the ledger says about an object, as of `head`.

    vouched  whether its signed line of how the object came says of it what its row says, which is shown beside it
    """

    stored: StoredObject
    label: Label | None
    lines: list[Line]
    head: ledger.Head
    vouched: bool


async def read_trail(db: Connection, stored: StoredObject, *, head: ledger.Head | None = None, vouched: bool) -> Trail:
    """Return an object's trail up to a head, the ledger's own unless one is given. Raises Damaged when that is."""
    head = head or await ledger.read_head(db)
    entries = await ledger.list_entries_about(db, stored.id, stored.incident, size=head.size)
    proofs = await ledger.prove_inclusions(db, [entry.sequence for entry in entries], head.size)
    lines = [Line(entry, proofs[entry.sequence], names_others(entry, stored)) for entry in entries]
    return Trail(stored, await find_label(db, stored.id), lines, head, vouched)


def names_others(entry: Entry, stored: StoredObject) -> bool:
    """Say whether a line names other objects that may be of other incidents."""
    if entry.object == stored.id or entry.details.get("incident") == stored.incident:
        return False
    search = entry.details.get("search")
    inside = isinstance(search, dict) and search.get("incident") == stored.incident
    return not inside and entry.details.get("objects") != [stored.id]
