"""The ledger: append-only, hash-linked, its head sealed under the ledger key.

    hash(n)  = SHA-256("evidence-store/ledger/v1\\n" ‖ hash(n-1) ‖ "\\n" ‖ canonical JSON of line n)
    hash(0)  = 64 zeros
    head     = sequence and hash of the last line, with HMAC-SHA-256(ledger key, "ledger1\\n" ‖ sequence ‖ "\\n" ‖ hash)

An edit, a dropped line or a changed order breaks the chain; lines dropped from the end, or a chain computed anew by
somebody who can write the database and lacks the ledger key, break the seal of the head. Putting back an older copy of
the whole database shows against the objects on disk that it does not know.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Integer, String, Table, Text, insert, select, update

from evidence_store.database import METADATA, Connection, IntegrityError, UtcDateTime
from evidence_store.model import Entry
from evidence_store.sealing import signing

FIRST_HASH = "0" * 64

_LEDGER = Table(
    "ledger",
    METADATA,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", String(120), nullable=False),
    Column("purpose", String(120), nullable=False),
    Column("action", String(40), nullable=False),
    Column("object", String(32), nullable=False, index=True),
    Column("digest", String(64), nullable=False),
    Column("details", Text, nullable=False),
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)
_HEAD = Table(
    "ledger_head",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("seal", String(64), nullable=False),
)


def canonical_json(value: dict[str, Any]) -> str:
    """Return JSON with sorted keys, no spaces and characters as they are: one way only to write a value."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def hash_entry(entry: Entry) -> str:
    """Return the hash a line must have, from everything else in it."""
    covered = asdict(entry)
    previous = covered.pop("previous_hash")
    del covered["hash"]
    covered["at"] = entry.at.astimezone(UTC).isoformat(timespec="microseconds")
    return signing.sha256_hex(f"evidence-store/ledger/v1\n{previous}\n{canonical_json(covered)}".encode())


def check_chain(entries: Iterable[Entry], *, sequence: int, last_hash: str) -> Iterator[str]:
    """Yield, in plain words, everything wrong with lines that should follow line `sequence` with `last_hash`."""
    for entry in entries:
        sequence += 1
        if entry.sequence != sequence:
            yield f"Line {sequence} of the ledger is missing; line {entry.sequence} stands in its place."
            sequence = entry.sequence
        elif entry.previous_hash != last_hash:
            yield f"Line {entry.sequence} of the ledger does not follow the line before it."
        if hash_entry(entry) != entry.hash:
            yield f"Line {entry.sequence} of the ledger was changed."
        last_hash = entry.hash


async def append(
    db: Connection,
    key: bytes,
    *,
    at: datetime,
    actor: str,
    action: str,
    object_id: str,
    digest: str = "",
    purpose: str = "",
    details: dict[str, Any] | None = None,
) -> int:
    """Append one line in the caller's transaction and return its sequence. Lines of one database queue here."""
    sequence, last_hash, _ = await read_head(db, lock=True)
    entry = Entry(
        sequence=sequence + 1,
        at=at,
        actor=actor,
        purpose=purpose,
        action=action,
        object=object_id,
        digest=digest,
        details=canonical_json(details or {}),
        previous_hash=last_hash,
        hash="",
    )
    entry = replace(entry, hash=hash_entry(entry))
    await db.execute(insert(_LEDGER).values(asdict(entry)))
    seal = signing.ledger_seal(key, entry.sequence, entry.hash)
    await db.execute(update(_HEAD).values(sequence=entry.sequence, hash=entry.hash, seal=seal))
    return entry.sequence


async def prepare(db: Connection, key: bytes) -> None:
    """Begin an empty ledger, unless there is one."""
    if (await db.execute(select(_HEAD.c.id))).first() is None:
        try:
            async with db.begin_nested():
                seal = signing.ledger_seal(key, 0, FIRST_HASH)
                await db.execute(insert(_HEAD).values(id=1, sequence=0, hash=FIRST_HASH, seal=seal))
        except IntegrityError:
            return  # another process began it


async def read_head(db: Connection, *, lock: bool = False) -> tuple[int, str, str]:
    """Return the head's sequence, hash and seal; `lock` holds it until the transaction ends."""
    chosen = select(_HEAD.c.sequence, _HEAD.c.hash, _HEAD.c.seal).where(_HEAD.c.id == 1)
    row = (await db.execute(chosen.with_for_update() if lock else chosen)).one()
    return row.sequence, row.hash, row.seal


def is_head_sealed(key: bytes, head: tuple[int, str, str]) -> bool:
    """Say whether the head was written by a holder of the ledger key."""
    sequence, last_hash, seal = head
    return signing.same(seal, signing.ledger_seal(key, sequence, last_hash))


async def list_entries(db: Connection, *, after: int, limit: int) -> Sequence[Entry]:
    """Return lines behind `after`, in order."""
    chosen = select(_LEDGER).where(_LEDGER.c.sequence > after).order_by(_LEDGER.c.sequence).limit(limit)
    return [Entry(**row._asdict()) for row in await db.execute(chosen)]
