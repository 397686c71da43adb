"""Participants: the sessions of a room, where each stands, and which page speaks for it."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Row,
    String,
    Table,
    UniqueConstraint,
    false,
    insert,
    select,
    text,
    update,
)

from video_server.calls.model import FINAL, Participant, Role, State, Word
from video_server.core.database import METADATA, Connection, UtcDateTime

_IN_BY_LINK = text("state = 'admitted' AND guest_id IS NOT NULL")  # one session of an invitation, never two

participants = Table(
    "participants",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("appointment_id", String(32), ForeignKey("rooms.appointment_id"), nullable=False, index=True),
    Column("session_id", String(32), nullable=False),
    Column("role", String(20), nullable=False),
    Column("state", String(20), nullable=False),
    Column("device", String(80), nullable=False),
    Column("word", String(10), nullable=False),
    Column("arrived_at", UtcDateTime, nullable=False),
    Column("waiting_since", UtcDateTime),
    Column("admitted_at", UtcDateTime),
    Column("left_at", UtcDateTime),
    Column("left_how", String(20)),
    Column("connected", Boolean, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("silent_since", UtcDateTime),
    Column("socket", String(32)),
    Column("staff_id", String(32)),
    Column("name", String(80), nullable=False),
    Column("collar_number", String(20), nullable=False),
    Column("guest_id", String(32)),
    Column("signs", Boolean, nullable=False, server_default=false()),
    Column("asked", String(10)),
    Column("asked_by", String(80), nullable=False, server_default=""),
    UniqueConstraint("appointment_id", "session_id"),
    Index(  # one victim's session is in the call, never two
        "uq_participants_admitted",
        "appointment_id",
        unique=True,
        sqlite_where=text("state = 'admitted' AND role = 'victim'"),
        postgresql_where=text("state = 'admitted' AND role = 'victim'"),
    ),
    Index("uq_participants_guest", "guest_id", unique=True, sqlite_where=_IN_BY_LINK, postgresql_where=_IN_BY_LINK),
)


async def insert_participant(db: Connection, person: Participant) -> None:
    """Add a session to a room. Raises IntegrityError when it is there already; the transaction survives."""
    async with db.begin_nested():
        await db.execute(insert(participants).values(**vars(person)))


async def find_participant(db: Connection, participant_id: str) -> Participant | None:
    row = (await db.execute(select(participants).where(participants.c.id == participant_id))).first()
    return _participant(row) if row else None


async def find_by_session(db: Connection, appointment_id: str, session_id: str) -> Participant | None:
    row = (
        await db.execute(
            select(participants).where(
                participants.c.appointment_id == appointment_id, participants.c.session_id == session_id
            )
        )
    ).first()
    return _participant(row) if row else None


async def list_participants(db: Connection, appointment_ids: Collection[str]) -> Sequence[Participant]:
    rows = await db.execute(
        select(participants)
        .where(participants.c.appointment_id.in_(appointment_ids))
        .order_by(participants.c.arrived_at, participants.c.id)
    )
    return [_participant(row) for row in rows]


async def change_state(
    db: Connection, participant_id: str, *, to: State, given: Collection[State], **values: Any
) -> bool:
    """Set the state when it is one of `given`; False when it is not (any more)."""
    changed = await db.execute(
        update(participants)
        .where(participants.c.id == participant_id, participants.c.state.in_(given))
        .values(state=to, **values)
    )
    return changed.rowcount == 1


async def replace_others(db: Connection, person: Participant, *, now: datetime) -> list[str]:
    """Put every other open session of the same link out; return the participants' ids."""
    where = (
        participants.c.appointment_id == person.appointment_id,
        participants.c.role == person.role,
        participants.c.guest_id == person.guest_id if person.guest_id else participants.c.guest_id.is_(None),
        participants.c.id != person.id,
        participants.c.state.not_in(FINAL),
    )
    others = list(await db.scalars(select(participants.c.id).where(*where)))
    await db.execute(update(participants).where(*where).values(state=State.REPLACED, left_at=now))
    return others


async def end_all(db: Connection, appointment_id: str, *, now: datetime) -> None:
    await db.execute(
        update(participants)
        .where(
            participants.c.appointment_id == appointment_id,
            participants.c.state.not_in(FINAL),
        )
        .values(state=State.ENDED, left_at=now)
    )


async def set_word(db: Connection, participant_id: str, word: Word) -> None:
    await db.execute(update(participants).where(participants.c.id == participant_id).values(word=word))


async def set_asked(db: Connection, participant_id: str, *, what: str | None, by: str) -> bool:
    """Set or clear what a participant in the call is asked to do; False when they are not in it."""
    done = await db.execute(
        update(participants)
        .where(participants.c.id == participant_id, participants.c.state == State.ADMITTED)
        .values(asked=what, asked_by=by)
    )
    return done.rowcount == 1


async def set_role(db: Connection, participant_id: str, role: Role) -> None:
    await db.execute(update(participants).where(participants.c.id == participant_id).values(role=role))


async def take_socket(db: Connection, participant_id: str, *, socket: str, now: datetime) -> None:
    await db.execute(
        update(participants)
        .where(participants.c.id == participant_id)
        .values(socket=socket, connected=True, seen_at=now, left_how=None)
    )


async def drop_socket(db: Connection, participant_id: str, *, socket: str, how: str, now: datetime) -> bool:
    """Note that this socket is gone; False when another has taken its place."""
    dropped = await db.execute(
        update(participants)
        .where(participants.c.id == participant_id, participants.c.socket == socket)
        .values(connected=False, socket=None, left_how=how, left_at=now, seen_at=now)
    )
    return dropped.rowcount == 1


async def renew(db: Connection, sockets: Collection[str], *, now: datetime) -> None:
    await db.execute(update(participants).where(participants.c.socket.in_(sockets)).values(seen_at=now))


async def set_silent(db: Connection, participant_id: str, *, since: datetime | None) -> str | None:
    """Note silence or its end; return the appointment when that is news."""
    before = participants.c.silent_since.is_(None) if since else participants.c.silent_since.is_not(None)
    changed = await db.execute(
        update(participants).where(participants.c.id == participant_id, before).values(silent_since=since)
    )
    if changed.rowcount != 1:
        return None
    found: str | None = await db.scalar(
        select(participants.c.appointment_id).where(participants.c.id == participant_id)
    )
    return found


def _participant(row: Row[Any]) -> Participant:
    values = dict(row._mapping)
    return Participant(**{**values, "role": Role(row.role), "state": State(row.state), "word": Word(row.word)})
