"""What a page tells of its own side: muted, camera off, why it could not be heard; and how the call was in figures.

Everything comes from outside: what is not understood changes nothing. Every function works in the caller's transaction.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from video_server.audit import service as audit
from video_server.calls import service, storage
from video_server.calls.model import HEARD_BY_RELAY, TOLD_BY_PAGE, Gap, Participant, Sending, State
from video_server.calls.quality import Stretch, Summary, summarise
from video_server.core import events
from video_server.core.database import Connection

KINDS = frozenset({"sending", "broke", "pause"})
"""The `type` of the messages of a page that belong here."""

LONGEST = timedelta(hours=6)
SHORTEST = timedelta(seconds=1)
"""A break shorter than this is no gap of its own."""
PAUSES = ("interrupted", "device_lost")
MOST_GAPS = 300
"""In one participant's record a page adds nothing to so many: everybody's page reads them at every look."""


async def hear(db: Connection, person: Participant, message: Mapping[str, Any], *, now: datetime) -> None:
    """Take one message of a page, of one of KINDS."""
    kind = message["type"]
    if kind == "sending":
        await _note_sending(db, person, message, now=now)
    elif kind == "broke":
        await _note_break(db, person, message, now=now)
    elif kind == "pause":
        await _note_pause(db, person, message, now=now)


async def note_ring(db: Connection, participant_id: str, *, on: bool, now: datetime) -> None:
    """Note that not even sound gets through, so that somebody must telephone; or that it does again.

    Several processes may say the same.
    """
    person = await service.get_participant(db, participant_id)
    if not on:
        if await storage.gaps.close_gap(db, person.id, why=["ring"], now=now):
            await events.record(db, "room", person.appointment_id, now=now)
        return
    if person.state is State.ADMITTED and await storage.gaps.open_gap(db, person, why="ring", now=now):
        await audit.record(
            db,
            actor="system:relay",
            action="calls.telephone_needed",
            subject=f"appointment:{person.appointment_id}",
            details={"participant": person.id},
            now=now,
        )
        await events.record(db, "room", person.appointment_id, now=now)


async def keep_stretch(db: Connection, appointment_id: str, stretch: Stretch) -> None:
    """Keep half a minute of a participant's figures."""
    await storage.told_by_pages.insert_stretch(db, appointment_id, stretch)


async def quality_of(db: Connection, appointment_id: str) -> list[Summary]:
    """Return how the call was for each participant, in figures."""
    return summarise(await storage.told_by_pages.list_stretches(db, appointment_id))


async def _note_sending(db: Connection, person: Participant, message: Mapping[str, Any], *, now: datetime) -> None:
    muted, camera_off, audio_only = (message.get(name) for name in ("muted", "camera_off", "audio_only"))
    if not (isinstance(muted, bool) and isinstance(camera_off, bool) and isinstance(audio_only, bool)):
        return
    if await storage.told_by_pages.set_sending(
        db, person.appointment_id, Sending(person.id, muted, camera_off, audio_only)
    ):
        await events.record(db, "room", person.appointment_id, now=now)


async def _note_break(db: Connection, person: Participant, message: Mapping[str, Any], *, now: datetime) -> None:
    """A break is over, and the page knows why: explain the gap that the relay noticed, or record one it did not."""
    why, ago, lasted = message.get("why"), _span(message.get("ago_ms")), _span(message.get("lasted_ms"))
    if ago is None or lasted is None or lasted > ago or why not in (*HEARD_BY_RELAY, *TOLD_BY_PAGE):
        return
    if person.state is not State.ADMITTED:
        return
    began_at = max(now - ago, person.admitted_at or now)
    noticed = await storage.gaps.find_gap_since(db, person.id, why=HEARD_BY_RELAY, since=began_at)
    if noticed is not None:
        told = why in TOLD_BY_PAGE and await storage.gaps.explain_gap(db, noticed, why=str(why))
    else:
        told = lasted >= SHORTEST and await storage.gaps.count_gaps(db, person.id) < MOST_GAPS
        if told:
            await storage.gaps.insert_gap(db, person, Gap(person.id, began_at, min(now, began_at + lasted), str(why)))
    if told:
        await events.record(db, "room", person.appointment_id, now=now)


async def _note_pause(db: Connection, person: Participant, message: Mapping[str, Any], *, now: datetime) -> None:
    why, on = message.get("why"), message.get("on")
    if why not in PAUSES or not isinstance(on, bool):
        return
    if on and person.state is State.ADMITTED:
        has_room = await storage.gaps.count_gaps(db, person.id) < MOST_GAPS
        changed = has_room and await storage.gaps.open_gap(db, person, why=str(why), now=now)
    else:
        changed = await storage.gaps.close_gap(db, person.id, why=[str(why)], now=now)
    if changed:
        await events.record(db, "room", person.appointment_id, now=now)


def _span(value: Any) -> timedelta | None:
    """Read milliseconds; None when they cannot be true."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 <= value <= LONGEST.total_seconds() * 1000
    ):
        return None
    return timedelta(milliseconds=float(value))
