"""The officer's running notes of a call: saved as typed, over the version the page holds."""

from datetime import datetime

from video_server.audit import service as audit
from video_server.calls import storage
from video_server.calls.model import Note
from video_server.core.database import Connection
from video_server.core.errors import N_, Conflict, Refusal

NOTE_CHARACTERS = 20_000


class NoteChanged(Conflict):
    """The note was saved elsewhere in between; `current` is what stands there."""

    code = "note_changed"
    public = N_("The notes were changed in another window. Compare both before you save.")

    def __init__(self, current: Note) -> None:
        super().__init__()
        self.current = current


class NoteTooLong(Refusal):
    code = "note_too_long"
    status = 422
    public = N_("The notes are too long to be saved. Shorten them.")


async def get_note(db: Connection, appointment_id: str) -> Note:
    """Return the officer's note; version 0 when there is none."""
    return await storage.notes.find_note(db, appointment_id)


async def save_note(db: Connection, appointment_id: str, *, text: str, version: int, by: str, now: datetime) -> Note:
    """Save the note as typed, over the version the page holds. Saving the same text again changes nothing.

    Raises   NoteChanged (with what stands there) when another window saved in between, NoteTooLong
    """
    if len(text) > NOTE_CHARACTERS:
        raise NoteTooLong
    current = await storage.notes.find_note(db, appointment_id)
    if current.version and current.text == text:
        return current  # a retry after a lost answer
    if not await storage.notes.save_note(db, appointment_id, text=text, version=version, by=by, now=now):
        raise NoteChanged(await storage.notes.find_note(db, appointment_id))
    if current.saved_at is None or _minute(current.saved_at) != _minute(now):
        await audit.record(  # once a minute: saving as one types must not bury the other deeds
            db,
            actor=f"staff:{by}",
            action="calls.note_saved",
            subject=f"appointment:{appointment_id}",
            details={"version": version + 1, "characters": len(text)},
            now=now,
        )
    return await storage.notes.find_note(db, appointment_id)


def _minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)
