"""Rooms, participants, gaps, alerts, notes."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    Row,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    func,
    insert,
    or_,
    select,
    text,
    update,
)

from video_server.calls.model import (
    FINAL,
    Alert,
    AlertKind,
    Gap,
    Note,
    Participant,
    Pause,
    Role,
    Room,
    Sending,
    State,
    Word,
)
from video_server.calls.quality import Stretch
from video_server.core.database import METADATA, Connection, IntegrityError, UtcDateTime

_IN_BY_LINK = text("state = 'admitted' AND guest_id IS NOT NULL")  # one session of an invitation, never two

rooms = Table(
    "rooms",
    METADATA,
    Column("appointment_id", String(32), primary_key=True),
    Column("relay", String(64), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("outcome", String(40)),
)

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

gaps = Table(
    "gaps",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("appointment_id", String(32), nullable=False, index=True),
    Column("participant_id", String(32), nullable=False),
    Column("began_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("why", String(20), nullable=False),
    Index(
        "uq_gaps_open",
        "participant_id",
        "why",
        unique=True,
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
)

pauses = Table(
    "pauses",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("appointment_id", String(32), nullable=False, index=True),
    Column("asked_at", UtcDateTime),
    Column("asked_by", String(32)),
    Column("began_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Index(  # one pause at a time, whoever presses when
        "uq_pauses_open",
        "appointment_id",
        unique=True,
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
)

alerts = Table(
    "alerts",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("appointment_id", String(32), nullable=False, index=True),
    Column("kind", String(20), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("dismissed_at", UtcDateTime),
    Column("dismissed_by", String(32)),
)

notes = Table(
    "notes",
    METADATA,
    Column("appointment_id", String(32), primary_key=True),
    Column("text", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("saved_at", UtcDateTime, nullable=False),
    Column("saved_by", String(32), nullable=False),
)


sending = Table(
    "sending",
    METADATA,
    Column("participant_id", String(32), primary_key=True),
    Column("appointment_id", String(32), nullable=False, index=True),
    Column("muted", Boolean, nullable=False),
    Column("camera_off", Boolean, nullable=False),
    Column("audio_only", Boolean, nullable=False),
)

quality = Table(
    "quality",
    METADATA,
    Column("participant_id", String(32), primary_key=True),
    Column("began_at", UtcDateTime, primary_key=True),
    Column("appointment_id", String(32), nullable=False, index=True),
    Column("ended_at", UtcDateTime, nullable=False),
    Column("samples", Integer, nullable=False),
    Column("up_bits_per_second", Float, nullable=False),
    Column("up_loss", Float, nullable=False),
    Column("up_jitter_ms", Float, nullable=False),
    Column("down_bits_per_second", Float, nullable=False),
    Column("down_loss", Float, nullable=False),
    Column("down_jitter_ms", Float, nullable=False),
    Column("round_trip_ms", Float),
    Column("rung", String(20), nullable=False),
    Column("freezes", Integer, nullable=False),
    Column("concealed", Float, nullable=False),
    Column("width", Integer),
    Column("height", Integer),
)


def _participant(row: Row[Any]) -> Participant:
    values = dict(row._mapping)
    return Participant(**{**values, "role": Role(row.role), "state": State(row.state), "word": Word(row.word)})


async def ensure_room(db: Connection, appointment_id: str, *, now: datetime) -> None:
    """Make the room's row unless it exists."""
    try:
        async with db.begin_nested():
            await db.execute(insert(rooms).values(appointment_id=appointment_id, relay="", epoch=0, opened_at=now))
    except IntegrityError:
        return


async def find_room(db: Connection, appointment_id: str) -> Room | None:
    row = (await db.execute(select(rooms).where(rooms.c.appointment_id == appointment_id))).first()
    return Room(**row._mapping) if row else None


async def place_room(db: Connection, appointment_id: str, *, relay: str, epoch: int) -> bool:
    """Give the room to a relay under a new epoch; False when somebody else has moved it meanwhile, or it has ended."""
    placed = await db.execute(
        update(rooms)
        .where(rooms.c.appointment_id == appointment_id, rooms.c.epoch == epoch - 1, rooms.c.ended_at.is_(None))
        .values(relay=relay, epoch=epoch)
    )
    return placed.rowcount == 1


async def lock_room(db: Connection, appointment_id: str) -> None:
    """Let decisions about one room wait for each other (PostgreSQL; on SQLite every writer waits anyway)."""
    await db.execute(select(rooms.c.epoch).where(rooms.c.appointment_id == appointment_id).with_for_update())


async def end_room(db: Connection, appointment_id: str, *, outcome: str, now: datetime) -> None:
    await db.execute(
        update(rooms)
        .where(rooms.c.appointment_id == appointment_id, rooms.c.ended_at.is_(None))
        .values(ended_at=now, outcome=outcome)
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
    await end_pause(db, appointment_id, now=now)
    await db.execute(
        update(gaps).where(gaps.c.appointment_id == appointment_id, gaps.c.ended_at.is_(None)).values(ended_at=now)
    )


async def set_word(db: Connection, participant_id: str, word: Word) -> None:
    await db.execute(update(participants).where(participants.c.id == participant_id).values(word=word))


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


async def open_gap(db: Connection, person: Participant, *, why: str, now: datetime) -> bool:
    """Begin a gap unless one is open for the same reason."""
    try:
        async with db.begin_nested():
            await db.execute(
                insert(gaps).values(
                    appointment_id=person.appointment_id, participant_id=person.id, began_at=now, why=why
                )
            )
    except IntegrityError:
        return False
    return True


async def close_gap(db: Connection, participant_id: str, *, now: datetime, why: Collection[str] | None = None) -> bool:
    """End a participant's open gaps: all, or those of some reasons."""
    where = [gaps.c.participant_id == participant_id, gaps.c.ended_at.is_(None)]
    if why is not None:
        where.append(gaps.c.why.in_(why))
    closed = await db.execute(update(gaps).where(*where).values(ended_at=now))
    return closed.rowcount > 0


async def find_gap_since(db: Connection, participant_id: str, *, why: Collection[str], since: datetime) -> int | None:
    """Return the newest gap of these reasons that had not ended by `since`."""
    found: int | None = await db.scalar(
        select(gaps.c.id)
        .where(
            gaps.c.participant_id == participant_id,
            gaps.c.why.in_(why),
            or_(gaps.c.ended_at.is_(None), gaps.c.ended_at >= since),
        )
        .order_by(gaps.c.id.desc())
        .limit(1)
    )
    return found


async def explain_gap(db: Connection, gap_id: int, *, why: str) -> bool:
    """Give a gap that was "silent" its reason; False when it has another, or one of that reason is open already."""
    try:
        async with db.begin_nested():
            told = await db.execute(update(gaps).where(gaps.c.id == gap_id, gaps.c.why == "silent").values(why=why))
    except IntegrityError:
        return False
    return told.rowcount == 1


async def insert_gap(db: Connection, person: Participant, gap: Gap) -> None:
    """Record a gap that is over."""
    await db.execute(insert(gaps).values(appointment_id=person.appointment_id, **vars(gap)))


async def count_gaps(db: Connection, participant_id: str) -> int:
    return await db.scalar(select(func.count()).where(gaps.c.participant_id == participant_id)) or 0


async def list_gaps(db: Connection, appointment_id: str) -> Sequence[Gap]:
    rows = await db.execute(select(gaps).where(gaps.c.appointment_id == appointment_id).order_by(gaps.c.id))
    return [Gap(row.participant_id, row.began_at, row.ended_at, row.why) for row in rows]


async def ask_pause(db: Connection, person: Participant, *, now: datetime) -> bool:
    """Note that a pause is asked for, unless one goes on or is asked for already."""
    return await _insert_pause(db, person.appointment_id, asked_at=now, asked_by=person.id)


async def begin_pause(db: Connection, appointment_id: str, *, now: datetime) -> bool:
    """Begin a pause, the one that was asked for if there is; False when one goes on."""
    asked = await db.execute(
        update(pauses)
        .where(pauses.c.appointment_id == appointment_id, pauses.c.ended_at.is_(None), pauses.c.began_at.is_(None))
        .values(began_at=now)
    )
    return asked.rowcount == 1 or await _insert_pause(db, appointment_id, began_at=now)


async def _insert_pause(db: Connection, appointment_id: str, **values: Any) -> bool:
    try:
        async with db.begin_nested():
            await db.execute(insert(pauses).values(appointment_id=appointment_id, **values))
    except IntegrityError:
        return False
    return True


async def end_pause(db: Connection, appointment_id: str, *, now: datetime) -> bool:
    """End the pause, or decline what was asked; False when there is none."""
    ended = await db.execute(
        update(pauses)
        .where(pauses.c.appointment_id == appointment_id, pauses.c.ended_at.is_(None))
        .values(ended_at=now)
    )
    return ended.rowcount == 1


async def list_pauses(db: Connection, appointment_id: str) -> Sequence[Pause]:
    rows = await db.execute(select(pauses).where(pauses.c.appointment_id == appointment_id).order_by(pauses.c.id))
    return [Pause(row.asked_at, row.asked_by, row.began_at, row.ended_at) for row in rows]


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


async def insert_alert(db: Connection, alert: Alert) -> None:
    await db.execute(insert(alerts).values(**vars(alert)))


async def find_alert(db: Connection, alert_id: str) -> Alert | None:
    row = (await db.execute(select(alerts).where(alerts.c.id == alert_id))).first()
    return _alert(row) if row else None


async def dismiss_alert(db: Connection, alert_id: str, *, by: str, now: datetime) -> bool:
    done = await db.execute(
        update(alerts)
        .where(alerts.c.id == alert_id, alerts.c.dismissed_at.is_(None))
        .values(dismissed_at=now, dismissed_by=by)
    )
    return done.rowcount == 1


async def list_alerts(db: Connection, appointment_ids: Collection[str]) -> Sequence[Alert]:
    rows = await db.execute(
        select(alerts).where(alerts.c.appointment_id.in_(appointment_ids)).order_by(alerts.c.at, alerts.c.id)
    )
    return [_alert(row) for row in rows]


def _alert(row: Row[Any]) -> Alert:
    return Alert(**{**row._mapping, "kind": AlertKind(row.kind)})


async def find_note(db: Connection, appointment_id: str) -> Note:
    row = (await db.execute(select(notes).where(notes.c.appointment_id == appointment_id))).first()
    return Note(row.text, row.version, row.saved_at) if row else Note("", 0, None)


async def save_note(db: Connection, appointment_id: str, *, text: str, version: int, by: str, now: datetime) -> bool:
    """Write version + 1 over `version`; False when another version stands there."""
    values = {"text": text, "saved_at": now, "saved_by": by, "version": version + 1}
    if version == 0:
        try:
            async with db.begin_nested():
                await db.execute(insert(notes).values(appointment_id=appointment_id, **values))
        except IntegrityError:
            return False
        return True
    saved = await db.execute(
        update(notes).where(notes.c.appointment_id == appointment_id, notes.c.version == version).values(**values)
    )
    return saved.rowcount == 1


async def set_sending(db: Connection, appointment_id: str, said: Sending) -> bool:
    """Note what a page sends; False when that is no news."""
    values = {"muted": said.muted, "camera_off": said.camera_off, "audio_only": said.audio_only}
    try:
        async with db.begin_nested():
            await db.execute(
                insert(sending).values(appointment_id=appointment_id, participant_id=said.participant_id, **values)
            )
            return True
    except IntegrityError:
        pass
    differs = or_(*(sending.c[name] != value for name, value in values.items()))
    changed = await db.execute(
        update(sending).where(sending.c.participant_id == said.participant_id, differs).values(**values)
    )
    return changed.rowcount == 1


async def list_sending(db: Connection, appointment_id: str) -> Sequence[Sending]:
    rows = await db.execute(
        select(sending).where(sending.c.appointment_id == appointment_id).order_by(sending.c.participant_id)
    )
    return [_sending(row) for row in rows]


def _sending(row: Row[Any]) -> Sending:
    return Sending(row.participant_id, row.muted, row.camera_off, row.audio_only)


async def insert_stretch(db: Connection, appointment_id: str, stretch: Stretch) -> None:
    """Keep a stretch of a call's figures; the same one a second time changes nothing."""
    with suppress(IntegrityError):
        async with db.begin_nested():
            await db.execute(insert(quality).values(appointment_id=appointment_id, **vars(stretch)))


async def list_stretches(db: Connection, appointment_id: str) -> Sequence[Stretch]:
    rows = await db.execute(
        select(*(column for column in quality.c if column.name != "appointment_id"))
        .where(quality.c.appointment_id == appointment_id)
        .order_by(quality.c.began_at, quality.c.participant_id)
    )
    return [Stretch(**row._mapping) for row in rows]
