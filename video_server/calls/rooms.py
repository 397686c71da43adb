"""Rooms and the relays that hold them."""

from collections.abc import Collection
from datetime import datetime

from video_server.calls import storage
from video_server.calls.model import Room
from video_server.calls.service import CannotJoin, get_standing
from video_server.core import events
from video_server.core.database import Connection


async def find_room(db: Connection, appointment_id: str) -> Room | None:
    """Return the room of an appointment, None when nobody has come yet."""
    return await storage.rooms.find_room(db, appointment_id)


async def place(
    db: Connection, appointment_id: str, *, living: Collection[str], best: str | None, now: datetime
) -> Room | None:
    """Return the room, held by one of the living relays, or None when there is none to hold it.

    A room whose relay does not live gets a new epoch on the best one, and every page of it is woken to follow.
    Raises   CannotJoin
    """
    await get_standing(db, appointment_id)
    room = await storage.rooms.find_room(db, appointment_id)
    if room is not None and room.relay not in living and best is not None:
        if await storage.rooms.place_room(db, appointment_id, relay=best, epoch=room.epoch + 1):
            await events.record(db, "room", appointment_id, now=now)
        room = await storage.rooms.find_room(db, appointment_id)
    if room is None or room.ended_at is not None:
        raise CannotJoin
    return room if room.relay in living else None
