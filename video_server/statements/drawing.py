"""What the pages are told of statements: a mark in the room's snapshot, and the whole when they ask for it."""

from collections.abc import Sequence
from typing import Any

from video_server.core.database import Connection
from video_server.statements import exhibits, shown, storage
from video_server.statements.back_page import BackPage
from video_server.statements.declaration import get_words
from video_server.statements.languages import find_language
from video_server.statements.model import State, Statement
from video_server.statements.shown import View


async def mark_for_person(db: Connection, appointment_id: str) -> dict[str, Any] | None:
    """Return what changes whenever the person's page must ask for the statement again; None: nothing to show."""
    statement = await shown.find_shown(db, appointment_id)
    return None if statement is None else await _mark(db, statement)


async def mark_for_officer(db: Connection, appointment_id: str) -> dict[str, Any] | None:
    """Return what changes whenever the officer's page must ask again; None: no statement was begun."""
    statements = await shown.list_for(db, appointment_id)
    return None if not statements else await _mark(db, statements[-1])


async def mark_for_interpreter(db: Connection, appointment_id: str) -> dict[str, Any] | None:
    """Return what changes whenever the interpreter's page must ask again; None: nothing is taken through them."""
    statement = await shown.find_interpreted(db, appointment_id)
    return None if statement is None else await _mark(db, statement)


async def _mark(db: Connection, statement: Statement) -> dict[str, Any]:
    session_id = await shown.find_session_in_call(db, statement.appointment_id)
    answers = await storage.answers.list_answers(db, statement.id, session_id=session_id)
    readings = await storage.certificates.list_readings(db, statement.id)
    return {
        "id": statement.id,
        "state": statement.state.value,
        "version": statement.version,
        "live": statement.live,
        "session": session_id[:8] if session_id else None,
        "read_aloud": len(readings),
        "interpreted": len(await storage.certificates.list_interpretations(db, statement.id)),
        "answers": sorted(f"{key[:8]}:{said}" for key, said in answers.items()),
    }


def for_person(view: View, statements: Sequence[Statement]) -> dict[str, Any]:
    """Return all that the person reads. `digest` names exactly this and comes back with the signature."""
    return {**_both(view), "copies": [one.number for one in statements if one.state is State.SIGNED]}


def for_officer(view: View, statements: Sequence[Statement], back: BackPage | None) -> dict[str, Any]:
    """Return the officer's side: the draft as typed, what was confirmed, the back page unless it is kept from them."""
    statement = view.statement
    return {
        **_both(view),
        "text": statement.text,
        "text_version": statement.text_version,
        "original": statement.original,
        "original_version": statement.original_version,
        "live": statement.live,
        "certificate": get_words(statement.language)["reader"],
        "unlisted": list(exhibits.unlisted_marks(statement.text, statement.exhibits)),
        "back_page": back and {**back.model_dump(mode="json"), "unanswered": list(back.unanswered)},
        "all": [{"id": one.id, "number": one.number, "state": one.state.value} for one in statements],
    }


def for_interpreter(view: View) -> dict[str, Any]:
    """Return both texts as the witness is shown them, with the one that the interpreter may write."""
    statement = view.statement
    return {**_both(view), "original": statement.original, "original_version": statement.original_version}


def text_of(statement: Statement, which: str) -> dict[str, Any]:
    """Return what a page that writes a text is told of it: "text", or "original" in the witness's language."""
    saved_at = statement.saved_at.isoformat() if statement.saved_at else None
    version = {"text": statement.text_version, "original": statement.original_version}[which]
    return {"text": getattr(statement, which), "version": version, "saved_at": saved_at}


def _interpreting(view: View) -> dict[str, Any] | None:
    """Return who interprets from which language, what they declare, whether they signed for exactly this."""
    if view.interpreters is None:
        return None
    heading, language = view.statement.heading, view.statement.language
    spoken = find_language(heading.spoken, named_in=language)
    return {
        "name": heading.interpreter_name,
        "spoken": heading.spoken,
        "language": spoken.name if spoken else "",
        "own_name": spoken.own_name if spoken else "",
        "direction": spoken.direction if spoken else "auto",
        "declaration": view.interpreters.text,
        "provision": view.interpreters.provision,
        "waits": view.waits_for_interpreter,
    }


def _both(view: View) -> dict[str, Any]:
    statement = view.statement
    return {
        "id": statement.id,
        "number": statement.number,
        "state": statement.state.value,
        "version": statement.version,
        "digest": view.digest,
        "reference": view.reference,
        "name": statement.heading.name,
        "age": statement.heading.age,
        "reader": statement.heading.reader_name,
        "waits_for_reader": view.waits_for_reader,
        "interpreting": _interpreting(view),
        "language": statement.language,
        "paragraphs": [
            {
                "number": one.number,
                "text": one.text,
                "original": one.original,
                "key": one.key,
                "answer": view.answers[one.key].value if one.key in view.answers else None,
            }
            for one in statement.paragraphs
        ],
        "confirmed": view.confirmed,
        "exhibits": [{"mark": one.mark, "description": one.description} for one in statement.exhibits],
        "declaration": {"text": view.declaration.text, "provision": view.declaration.provision},
        "signed_at": statement.signed_at.isoformat() if statement.signed_at else None,
        "sealed_at": statement.sealed_at.isoformat() if statement.sealed_at else None,
    }
