"""The staff table."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Integer, Row, String, Table, insert, select, update

from video_server.accounts.model import Role, Staff
from video_server.core.database import METADATA, Connection, UtcDateTime

staff = Table(
    "staff",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("username", String(60), nullable=False, unique=True),
    Column("name", String(80), nullable=False),
    Column("collar_number", String(20), nullable=False),
    Column("roles", String(200), nullable=False),
    Column("password_hash", String(200), nullable=False),
    Column("failures", Integer, nullable=False, default=0),  # not used any more: web counts failures
    Column("locked_until", UtcDateTime),  # not used any more
    Column("disabled_at", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
)


def _to_staff(row: Row[Any]) -> Staff:
    roles = frozenset(Role(role) for role in row.roles.split(",") if role)
    return Staff(row.id, row.username, row.name, row.collar_number, roles)


async def insert_staff(db: Connection, person: Staff, *, password_hash: str, now: datetime) -> None:
    await db.execute(
        insert(staff).values(
            id=person.id,
            username=person.username,
            name=person.name,
            collar_number=person.collar_number,
            roles=",".join(sorted(person.roles)),
            password_hash=password_hash,
            failures=0,
            created_at=now,
        )
    )


async def find_by_id(db: Connection, staff_id: str) -> Staff | None:
    """Return an enabled member of staff."""
    row = (await db.execute(select(staff).where(staff.c.id == staff_id, staff.c.disabled_at.is_(None)))).first()
    return _to_staff(row) if row else None


async def find_for_sign_in(db: Connection, username: str) -> tuple[Staff, str] | None:
    """Return an enabled member of staff and their password hash."""
    row = (await db.execute(select(staff).where(staff.c.username == username, staff.c.disabled_at.is_(None)))).first()
    return (_to_staff(row), row.password_hash) if row else None


async def list_staff(db: Connection) -> Sequence[Staff]:
    """Return everybody enabled, by name."""
    rows = await db.execute(select(staff).where(staff.c.disabled_at.is_(None)).order_by(staff.c.name, staff.c.id))
    return [_to_staff(row) for row in rows]


async def disable(db: Connection, staff_id: str, *, now: datetime) -> None:
    await db.execute(update(staff).where(staff.c.id == staff_id, staff.c.disabled_at.is_(None)).values(disabled_at=now))


async def set_password(db: Connection, staff_id: str, *, password_hash: str) -> str:
    """Set the hash; return the account's username."""
    changed = update(staff).where(staff.c.id == staff_id).values(password_hash=password_hash)
    return str((await db.execute(changed.returning(staff.c.username))).scalar_one())
