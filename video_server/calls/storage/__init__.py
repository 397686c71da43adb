"""The tables of a call and all SQL about them, by what each module keeps."""

from video_server.calls.storage import alerts, gaps, notes, participants, pauses, rooms, told_by_pages

__all__ = ["alerts", "gaps", "notes", "participants", "pauses", "rooms", "told_by_pages"]
