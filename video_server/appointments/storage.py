"""Appointments, the diary by quarter hours, and links."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Row,
    Select,
    String,
    Table,
    delete,
    insert,
    select,
    update,
)

from video_server.appointments.model import Appointment, Guest, GuestRole, State
from video_server.core.database import METADATA, Connection, UtcDateTime

appointments = Table(
    "appointments",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("incident_id", String(32), ForeignKey("incidents.id"), nullable=False, index=True),
    Column("person_id", String(32), ForeignKey("people.id"), nullable=False),
    Column("officer_id", String(32), ForeignKey("staff.id"), nullable=False),
    Column("starts_at", UtcDateTime, nullable=False, index=True),
    Column("ends_at", UtcDateTime, nullable=False),
    Column("state", String(10), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("agreed_word", String(40), nullable=False),
    Column("booked_by", String(80), nullable=False),
    Column("booked_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("outcome", String(30)),
    Column("seen_at", UtcDateTime),
    Column("cancel_reason", String(30)),
    Column("needs", String(80), nullable=False, server_default=""),  # codes of GuestRole, space between
    Column("form_id", String(32), unique=True),  # a form sent twice is one appointment
)

diary_quarters = Table(
    "diary_quarters",
    METADATA,
    Column("officer_id", String(32), ForeignKey("staff.id"), nullable=False),
    Column("starts_at", UtcDateTime, nullable=False),
    Column("appointment_id", String(32), ForeignKey("appointments.id"), nullable=False, index=True),
    PrimaryKeyConstraint("officer_id", "starts_at"),  # this alone decides who gets a time
    Index("ix_diary_quarters_starts_at", "starts_at"),
)

links = Table(
    "links",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("appointment_id", String(32), ForeignKey("appointments.id"), nullable=False, index=True),
    Column("generation", Integer, nullable=False),
    Column("token_sha256", String(64), nullable=False, unique=True),
    Column("voided_at", UtcDateTime),
)

guests = Table(
    "guests",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("appointment_id", String(32), ForeignKey("appointments.id"), nullable=False, index=True),
    Column("role", String(20), nullable=False),
    Column("name", String(60), nullable=False),
    Column("language", String(2), nullable=False),
    Column("signs", Boolean, nullable=False),
    Column("person_id", String(32), ForeignKey("people.id")),
    Column("generation", Integer, nullable=False),
    Column("token_sha256", String(64), nullable=False, unique=True),
    Column("invited_by", String(80), nullable=False),
    Column("invited_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
    Column("form_id", String(32), unique=True),  # a form sent twice is one invitation
)

_GUEST_COLUMNS = [column for column in guests.c if column.name not in {"token_sha256", "form_id"}]
_COLUMNS = [column for column in appointments.c if column.name != "form_id"]


def _to_appointment(row: Row[Any]) -> Appointment:
    return _make_appointment(dict(row._mapping))


def _make_appointment(values: dict[str, Any]) -> Appointment:
    needs = tuple(GuestRole(code) for code in values["needs"].split())
    return Appointment(**values | {"state": State(values["state"]), "needs": needs})


async def insert_appointment(
    db: Connection, appointment: Appointment, quarters: Sequence[datetime], *, form_id: str | None
) -> None:
    """Insert an appointment with its quarters, or nothing: IntegrityError when one is taken or the form was used.

    The appointment comes first, so that two posts of one form meet there; quarters go in time order, so that two
    bookers never wait for each other in a circle.
    """
    async with db.begin_nested():
        values = {column.name: getattr(appointment, column.name) for column in _COLUMNS}
        values |= {"state": appointment.state.value, "form_id": form_id, "needs": _write_needs(appointment.needs)}
        await db.execute(insert(appointments).values(values))
        await _insert_quarters(db, appointment.id, appointment.officer_id, quarters)


async def move_appointment(
    db: Connection,
    appointment_id: str,
    *,
    officer_id: str,
    starts_at: datetime,
    ends_at: datetime,
    quarters: Sequence[datetime],
) -> bool:
    """Put a booked appointment elsewhere, or nothing: IntegrityError when a quarter is taken, False when not booked."""
    async with db.begin_nested():
        moved = await db.execute(
            update(appointments)
            .where(appointments.c.id == appointment_id, appointments.c.state == State.BOOKED.value)
            .values(officer_id=officer_id, starts_at=starts_at, ends_at=ends_at)
        )
        if moved.rowcount == 1:
            await delete_quarters(db, appointment_id)
            await _insert_quarters(db, appointment_id, officer_id, quarters)
    return moved.rowcount == 1


async def _insert_quarters(db: Connection, appointment_id: str, officer_id: str, quarters: Sequence[datetime]) -> None:
    for quarter in quarters:
        await db.execute(
            insert(diary_quarters).values(officer_id=officer_id, starts_at=quarter, appointment_id=appointment_id)
        )


async def delete_quarters(db: Connection, appointment_id: str) -> None:
    await db.execute(delete(diary_quarters).where(diary_quarters.c.appointment_id == appointment_id))


async def finish(
    db: Connection,
    appointment_id: str,
    *,
    state: State,
    now: datetime,
    outcome: str | None = None,
    cancel_reason: str | None = None,
) -> bool:
    """End or cancel a booked appointment; False when it is not booked any more."""
    done = await db.execute(
        update(appointments)
        .where(appointments.c.id == appointment_id, appointments.c.state == State.BOOKED.value)
        .values(state=state.value, ended_at=now, outcome=outcome, cancel_reason=cancel_reason)
    )
    return done.rowcount == 1


def _write_needs(needs: Sequence[GuestRole]) -> str:
    return " ".join(role.value for role in needs)


async def set_needs(db: Connection, appointment_id: str, needs: Sequence[GuestRole]) -> bool:
    """Write anew who must be present; False when that is what stands there, or the appointment is not booked."""
    written = _write_needs(needs)
    done = await db.execute(
        update(appointments)
        .where(
            appointments.c.id == appointment_id,
            appointments.c.state == State.BOOKED.value,
            appointments.c.needs != written,
        )
        .values(needs=written)
    )
    return done.rowcount == 1


async def mark_seen(db: Connection, appointment_id: str, *, now: datetime) -> bool:
    done = await db.execute(
        update(appointments)
        .where(appointments.c.id == appointment_id, appointments.c.seen_at.is_(None))
        .values(seen_at=now)
    )
    return done.rowcount == 1


async def find(db: Connection, appointment_id: str) -> Appointment | None:
    return await _first(db, select(*_COLUMNS).where(appointments.c.id == appointment_id))


async def find_by_form(db: Connection, form_id: str) -> Appointment | None:
    return await _first(db, select(*_COLUMNS).where(appointments.c.form_id == form_id))


async def find_ahead(db: Connection, incident_id: str, *, now: datetime) -> Appointment | None:
    query = select(*_COLUMNS).where(
        appointments.c.incident_id == incident_id,
        appointments.c.state == State.BOOKED.value,
        appointments.c.ends_at > now,
    )
    return await _first(db, query.order_by(appointments.c.starts_at).limit(1))


async def list_between(
    db: Connection,
    since: datetime,
    until: datetime,
    *,
    officer_id: str | None = None,
    state: State | None = None,
    limit: int = 1000,
) -> Sequence[Appointment]:
    """Return appointments that start in [since, until), earliest first."""
    query = select(*_COLUMNS).where(appointments.c.starts_at >= since, appointments.c.starts_at < until)
    if officer_id is not None:
        query = query.where(appointments.c.officer_id == officer_id)
    if state is not None:
        query = query.where(appointments.c.state == state.value)
    rows = await db.execute(query.order_by(appointments.c.starts_at, appointments.c.id).limit(limit))
    return [_to_appointment(row) for row in rows]


async def list_of_incident(db: Connection, incident_id: str) -> Sequence[Appointment]:
    rows = await db.execute(
        select(*_COLUMNS).where(appointments.c.incident_id == incident_id).order_by(appointments.c.starts_at)
    )
    return [_to_appointment(row) for row in rows]


async def list_quarters(
    db: Connection, since: datetime, until: datetime, *, but: str | None = None
) -> dict[str, set[datetime]]:
    """Return the quarters taken in [since, until) by officer, without those of the appointment `but`."""
    query = select(diary_quarters).where(diary_quarters.c.starts_at >= since, diary_quarters.c.starts_at < until)
    if but is not None:
        query = query.where(diary_quarters.c.appointment_id != but)
    busy: dict[str, set[datetime]] = {}
    for row in await db.execute(query):
        busy.setdefault(row.officer_id, set()).add(row.starts_at)
    return busy


async def insert_link(db: Connection, link_id: str, appointment_id: str, generation: int, *, token_sha256: str) -> None:
    await db.execute(
        insert(links).values(
            id=link_id, appointment_id=appointment_id, generation=generation, token_sha256=token_sha256
        )
    )


async def void_links(db: Connection, appointment_id: str, *, now: datetime) -> None:
    await db.execute(
        update(links).where(links.c.appointment_id == appointment_id, links.c.voided_at.is_(None)).values(voided_at=now)
    )


async def find_link_by_digest(db: Connection, token_sha256: str) -> tuple[Appointment, int, bool] | None:
    """Return the appointment of a token's digest, the link's generation, and whether the link was voided."""
    query = (
        select(*_COLUMNS, links.c.generation.label("link_generation"), links.c.voided_at)
        .join(links, links.c.appointment_id == appointments.c.id)
        .where(links.c.token_sha256 == token_sha256)
    )
    row = (await db.execute(query)).first()
    if row is None:
        return None
    values = dict(row._mapping)
    generation, voided_at = values.pop("link_generation"), values.pop("voided_at")
    return _make_appointment(values), generation, voided_at is not None


async def find_link(db: Connection, link_id: str) -> tuple[str, int] | None:
    """Return appointment id and generation of a link that was not voided."""
    row = (await db.execute(select(links).where(links.c.id == link_id, links.c.voided_at.is_(None)))).first()
    return (row.appointment_id, row.generation) if row else None


async def find_link_of(db: Connection, appointment_id: str) -> str | None:
    """Return the id of the link of an appointment that was not voided."""
    found: str | None = await db.scalar(
        select(links.c.id).where(links.c.appointment_id == appointment_id, links.c.voided_at.is_(None))
    )
    return found


async def lock(db: Connection, appointment_id: str) -> None:
    """Let changes around one appointment wait for each other (PostgreSQL; on SQLite every writer waits anyway)."""
    await db.execute(select(appointments.c.id).where(appointments.c.id == appointment_id).with_for_update())


async def insert_guest(db: Connection, guest: Guest, *, token_sha256: str, form_id: str | None) -> None:
    """Insert an invitation; IntegrityError when the form was used already (the transaction survives)."""
    async with db.begin_nested():
        await db.execute(insert(guests).values(**vars(guest), token_sha256=token_sha256, form_id=form_id))


async def find_guest(
    db: Connection, *, guest_id: str | None = None, form_id: str | None = None, token_sha256: str | None = None
) -> Guest | None:
    """Return an invitation by one of the three."""
    asked = (
        (guests.c.id, guest_id),
        (guests.c.form_id, form_id),
        (guests.c.token_sha256, token_sha256),
    )
    [condition] = [column == value for column, value in asked if value is not None]
    row = (await db.execute(select(*_GUEST_COLUMNS).where(condition))).first()
    return _to_guest(row) if row else None


async def list_guests(db: Connection, appointment_id: str) -> Sequence[Guest]:
    """Return every invitation to an appointment, taken back or not, in the order they were made."""
    rows = await db.execute(
        select(*_GUEST_COLUMNS)
        .where(guests.c.appointment_id == appointment_id)
        .order_by(guests.c.invited_at, guests.c.id)
    )
    return [_to_guest(row) for row in rows]


async def revoke_guest(db: Connection, guest_id: str, *, now: datetime) -> bool:
    """Take an invitation back; False when that was done before."""
    done = await db.execute(
        update(guests).where(guests.c.id == guest_id, guests.c.revoked_at.is_(None)).values(revoked_at=now)
    )
    return done.rowcount == 1


def _to_guest(row: Row[Any]) -> Guest:
    return Guest(**dict(row._mapping) | {"role": GuestRole(row.role)})


async def _first(db: Connection, query: Select[Any]) -> Appointment | None:
    row = (await db.execute(query)).first()
    return _to_appointment(row) if row else None
