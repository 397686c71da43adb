"""What an officer does with a statement: begin, write, show, offer, take back, ask the back page.

Offering prints in between and opens its own transactions; every other deed works in the caller's. Each leaves an event
on topic "room", so that both pages look again, and an entry in the audit that holds numbers and codes only, never a
word of the text.
"""

import asyncio
from datetime import datetime
from typing import Any

from video_server.appointments.model import Appointment
from video_server.appointments.model import State as AppointmentState
from video_server.core import keys
from video_server.core.database import Connection, Database
from video_server.core.errors import N_, Conflict
from video_server.incidents import service as incidents
from video_server.statements import exhibits, model, rules, shown, storage
from video_server.statements.back_page import BackPage
from video_server.statements.exhibits import Exhibit
from video_server.statements.model import Deed, Heading, NotNow, State, Statement
from video_server.statements.printing import Printer, Taken
from video_server.statements.typed import NAME_CHARACTERS, check_text, clean
from video_server.web import i18n


class OneIsOpen(Conflict):
    code = "statement_open"
    public = N_("A statement is being written already. Finish that one first.")


class DraftChanged(Conflict):
    """The draft was saved elsewhere in between; `current` is what stands there."""

    code = "statement_draft_changed"
    public = N_("The statement was changed in another window. Compare both before you save.")

    def __init__(self, current: Statement) -> None:
        super().__init__()
        self.current = current


async def begin(db: Connection, appointment: Appointment, *, by: str, now: datetime) -> Statement:
    """Begin a statement in the witness's name and language; the next number of this appointment.

    Raises   OneIsOpen, NotNow when the appointment is over
    """
    if appointment.state is not AppointmentState.BOOKED:
        raise NotNow("appointment")
    person = await incidents.get_person(db, appointment.person_id)
    statement = Statement(
        id=keys.new_id(),
        appointment_id=appointment.id,
        number=await storage.statements.next_number(db, appointment.id),
        state=State.DRAFT,
        version=0,
        text_version=0,
        text="",
        heading=Heading(person.name[:NAME_CHARACTERS]),
        exhibits=(),
        language=person.language,
        live=False,
        taken_by=by,
        begun_at=now,
        saved_at=None,
        offered_at=None,
        signed_at=None,
        sealed_at=None,
    )
    if not await storage.statements.insert_statement(db, statement):
        raise OneIsOpen
    await shown.tell(db, statement, "begun", actor=f"staff:{by}", now=now)
    return statement


async def save_text(
    db: Connection,
    appointment_id: str,
    statement_id: str,
    *,
    text: str,
    text_version: int,
    by: str,
    now: datetime,
    which: str = "text",
    actor: str = "",
) -> Statement:
    """Save a text as typed, over the version the page holds. Saving the same text again changes nothing.

    While the witness reads, this changes what they see; changed paragraphs must be confirmed anew.
    which    "text", or "original": the one in the language of a witness who speaks through an interpreter
    actor    for the audit, when it is not the staff member `by`
    Raises   DraftChanged (with what stands there), NotNow once it is signed, TextTooLong
    """
    statement = await shown.lock(db, appointment_id, statement_id)
    model.move(statement.state, Deed.EDIT)
    text = clean(text)
    check_text(text)
    if getattr(statement, which) == text:
        return statement  # a retry after a lost answer
    saved = await storage.statements.save_text(
        db, statement.id, content=text, text_version=text_version, by=by, now=now, which=which
    )
    if not saved:
        raise DraftChanged(statement)
    statement = await shown.get(db, appointment_id, statement_id)
    await shown.tell(
        db, statement, "drafted", actor=actor or f"staff:{by}", now=now, changed=[which], characters=len(text)
    )
    return statement


async def set_heading(
    db: Connection, appointment_id: str, statement_id: str, *, heading: Heading, language: str, by: str, now: datetime
) -> Statement:
    """Set name, age, who reads it aloud, who interprets, and the language of the declaration. Raises NotNow."""
    statement = await shown.lock(db, appointment_id, statement_id)
    model.move(statement.state, Deed.EDIT)
    language = language if language in i18n.LANGUAGES else "en"
    if (statement.heading, statement.language) == (heading, language):
        return statement
    if statement.language != language:
        await storage.statements.set_language(db, statement.id, language=language, version=statement.version)
        statement = await shown.get(db, appointment_id, statement_id)
    await _change(db, statement, by=by, now=now, heading=heading)
    return await shown.get(db, appointment_id, statement_id)


async def add_exhibit(
    db: Connection, appointment_id: str, statement_id: str, exhibit: Exhibit, *, by: str, now: datetime
) -> Statement:
    """Add an exhibit, or describe the one with this mark anew. Raises NotNow, BadExhibit."""
    statement = await shown.lock(db, appointment_id, statement_id)
    await _change(db, statement, by=by, now=now, exhibits=exhibits.add_exhibit(statement.exhibits, exhibit))
    return await shown.get(db, appointment_id, statement_id)


async def remove_exhibit(
    db: Connection, appointment_id: str, statement_id: str, mark: str, *, by: str, now: datetime
) -> Statement:
    """Remove an exhibit; one that is not there changes nothing. Raises NotNow."""
    statement = await shown.lock(db, appointment_id, statement_id)
    kept = [one for one in statement.exhibits if one.mark != mark]
    if len(kept) != len(statement.exhibits):
        await _change(db, statement, by=by, now=now, exhibits=kept)
    return await shown.get(db, appointment_id, statement_id)


async def _change(db: Connection, statement: Statement, *, by: str, now: datetime, **what: Any) -> None:
    model.move(statement.state, Deed.EDIT)
    if not await storage.statements.change(db, statement.id, version=statement.version, by=by, now=now, **what):
        raise NotNow("version")
    await shown.tell(db, statement, "drafted", actor=f"staff:{by}", now=now, changed=sorted(what))


async def show_live(
    db: Connection, appointment_id: str, statement_id: str, *, live: bool, by: str, now: datetime
) -> Statement:
    """Let the witness see the draft as it is written, or not. Raises NotNow."""
    statement = await shown.lock(db, appointment_id, statement_id)
    model.move(statement.state, Deed.EDIT)
    if await storage.statements.set_live(db, statement.id, live=live):
        await shown.tell(db, statement, "shown_live" if live else "hidden", actor=f"staff:{by}", now=now)
    return await shown.get(db, appointment_id, statement_id)


async def offer(
    database: Database, appointment_id: str, statement_id: str, *, printer: Printer, by: str, now: datetime
) -> Statement:
    """Ask the witness to read and sign. Whether it can be printed is found out now, not when they have signed.

    Raises   NotNow, NothingWritten, NoName, NoInterpreter, TextsDiffer, CannotPrint, SigningNotSetUp
    """
    async with database.read() as db:
        seen = await shown.view(db, await shown.get(db, appointment_id, statement_id), printer=printer)
    statement = seen.statement
    rules.check_offer(statement)
    async with database.read() as db:
        await shown.check_needed(db, appointment_id, now=now)
    taken = Taken(seen.officer, seen.reference)
    await asyncio.to_thread(printer.try_out, statement, seen.declaration, taken, seen.interpreters, now=now)
    async with database.begin() as db:
        offered = await storage.statements.change_state(
            db, statement.id, Deed.OFFER, to=State.READ, version=statement.version, offered_at=now
        )
        if not offered:
            raise NotNow("version")
        await shown.tell(db, statement, "offered", actor=f"staff:{by}", now=now, version=statement.version)
        return await shown.get(db, appointment_id, statement_id)


async def take_back(db: Connection, appointment_id: str, statement_id: str, *, by: str, now: datetime) -> Statement:
    """Take the statement back to go on writing. Raises NotNow once it is signed."""
    statement = await shown.lock(db, appointment_id, statement_id)
    to = model.move(statement.state, Deed.TAKE_BACK)
    await storage.statements.change_state(db, statement.id, Deed.TAKE_BACK, to=to)
    await shown.tell(db, statement, "taken_back", actor=f"staff:{by}", now=now)
    return await shown.get(db, appointment_id, statement_id)


async def save_back_page(
    db: Connection, appointment_id: str, statement_id: str, page: BackPage, *, by: str, now: datetime
) -> None:
    """Keep the answers of the back page, apart from the statement; they may be completed after it is signed."""
    statement = await shown.lock(db, appointment_id, statement_id)
    await storage.back_pages.save_back_page(db, statement.id, answers=page.model_dump(mode="json"), by=by, now=now)
    await shown.tell(
        db,
        statement,
        "back_page_saved",
        actor=f"staff:{by}",
        now=now,
        unanswered=list(page.unanswered),
        personal_statement=page.personal_statement.value,
    )


async def get_back_page(db: Connection, statement_id: str) -> BackPage:
    """Return the back page; an empty one when nothing was asked yet."""
    found = await storage.back_pages.find_back_page(db, statement_id)
    return BackPage() if found is None else BackPage.model_validate(found)
