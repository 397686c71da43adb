"""What people do with a statement: begin, write, show, offer, answer, sign, fetch a copy.

Offering and signing print in between and open their own transactions; every other deed works in the caller's. Each
leaves an event on topic "room", so that both pages look again, and an entry in the audit that holds numbers and codes
only, never a word of the text.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from video_server.accounts import service as accounts
from video_server.appointments import service as appointments
from video_server.appointments.model import Appointment
from video_server.appointments.model import State as AppointmentState
from video_server.audit import service as audit
from video_server.calls import roles
from video_server.calls import service as calls
from video_server.calls.model import Participant
from video_server.calls.model import Role as RoomRole
from video_server.calls.model import State as RoomState
from video_server.core import events, keys
from video_server.core.database import Connection, Database, IntegrityError
from video_server.core.errors import N_, Conflict, Forbidden, NotFound
from video_server.core.force import Force
from video_server.incidents import service as incidents
from video_server.statements import model, storage
from video_server.statements.back_page import BackPage
from video_server.statements.declaration import Declaration, get_declaration
from video_server.statements.model import (
    OPEN,
    Answer,
    Deed,
    Exhibit,
    Heading,
    NotNow,
    Reading,
    State,
    Statement,
    TextChanged,
)
from video_server.statements.printing import Printer, Signing, Taken
from video_server.statements.signature import Signature
from video_server.web import i18n, pages

SEALS = "seals"
"""Topic of "a PDF waits to be sealed", for the worker."""


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


class NotInCall(Forbidden):
    """Only the session that the officer let in reads and signs."""

    code = "statement_not_in_call"
    public = N_("You can read and sign the statement while you are in the call.")


class NeededAbsent(Conflict):
    """Guardian, appropriate adult, interpreter, intermediary or supporter: booked as needed, and not in the call."""

    code = "statement_needed_absent"
    public = N_("Somebody who must be there for the statement is not in the call. Wait until they are.")


class NotSealedYet(Conflict):
    code = "statement_not_sealed"
    public = N_("The statement is being sealed. A copy is here in a moment.")


@dataclass(frozen=True)
class View:
    """A statement as it would be shown and signed now.

    digest   SHA-256 of `shown`, the canonical form of all that the witness is shown
    answers  by paragraph key
    reading  the reader's certificate for exactly this, when the witness cannot read
    """

    statement: Statement
    declaration: Declaration
    reference: str
    officer: str
    answers: Mapping[str, Answer]
    reading: Reading | None
    shown: str
    digest: str

    @property
    def confirmed(self) -> int:
        """Return how many paragraphs the witness has confirmed as they stand."""
        return sum(self.answers.get(one.key) is Answer.RIGHT for one in self.statement.paragraphs)

    @property
    def waits_for_reader(self) -> bool:
        """Say whether somebody must still certify that they read it aloud."""
        return bool(self.statement.heading.reader_name) and self.reading is None


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
        number=await storage.next_number(db, appointment.id),
        state=State.DRAFT,
        version=0,
        text_version=0,
        text="",
        heading=Heading(person.name[: model.NAME_CHARACTERS]),
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
    if not await storage.insert_statement(db, statement):
        raise OneIsOpen
    await _tell(db, statement, "begun", actor=f"staff:{by}", now=now)
    return statement


async def get(db: Connection, appointment_id: str, statement_id: str) -> Statement:
    """Return a statement of this appointment. Raises NotFound."""
    found = await storage.find_statement(db, statement_id)
    if found is None or found.appointment_id != appointment_id:
        raise NotFound
    return found


async def list_for(db: Connection, appointment_id: str) -> Sequence[Statement]:
    """Return the statements of an appointment by number."""
    return await storage.list_statements(db, appointment_id)


async def list_drafts(db: Connection, statement: Statement) -> Sequence[tuple[int, str, datetime, str]]:
    """Return each kept version: number, text, when, by whom (CPIA Code 5.4)."""
    return await storage.list_versions(db, statement.id)


async def view(db: Connection, statement: Statement, *, printer: Printer, session_id: str | None = None) -> View:
    """Return a statement with all that is shown around it.

    session_id   whose answers count; unless given, those of the session that is in the call now. What another device
                 of the same link confirmed before it was replaced never counts for this one.
    """
    session_id = session_id or await find_session_in_call(db, statement.appointment_id)
    appointment = await appointments.get(db, statement.appointment_id)
    incident = await incidents.get_incident(db, appointment.incident_id)
    declaration = get_declaration(statement.language, printer.declarations)
    shown = model.write_shown(statement, declaration, reference=incident.reference)
    digest = keys.digest_text(shown)
    reading = (await storage.list_readings(db, statement.id)).get(digest)
    return View(
        statement=statement,
        declaration=declaration,
        reference=incident.reference,
        officer=await _say_officer(db, statement.taken_by),
        answers=await storage.list_answers(db, statement.id, session_id=session_id),
        reading=reading and replace(reading, officer=await _say_officer(db, reading.declared_by)),
        shown=shown,
        digest=digest,
    )


async def _say_officer(db: Connection, staff_id: str) -> str:
    officer = await accounts.find_staff(db, staff_id)
    return " ".join(filter(None, (officer.name, officer.collar_number))) if officer else ""


async def find_session_in_call(db: Connection, appointment_id: str) -> str | None:
    """Return the witness's session that is in the call now."""
    room = await calls.view(db, appointment_id)
    return room.admitted.session_id if room.admitted is not None else None


async def save_text(
    db: Connection, appointment_id: str, statement_id: str, *, text: str, text_version: int, by: str, now: datetime
) -> Statement:
    """Save the text as typed, over the version the page holds. Saving the same text again changes nothing.

    While the witness reads, this changes what they see; changed paragraphs must be confirmed anew.
    Raises   DraftChanged (with what stands there), NotNow once it is signed, TextTooLong
    """
    statement = await _lock(db, appointment_id, statement_id)
    model.move(statement.state, Deed.EDIT)
    text = model.clean(text)
    model.check_text(text)
    if statement.text == text:
        return statement  # a retry after a lost answer
    saved = await storage.save_text(db, statement.id, content=text, text_version=text_version, by=by, now=now)
    if not saved:
        raise DraftChanged(statement)
    statement = await get(db, appointment_id, statement_id)
    await _tell(db, statement, "drafted", actor=f"staff:{by}", now=now, characters=len(text))
    return statement


async def set_heading(
    db: Connection, appointment_id: str, statement_id: str, *, heading: Heading, language: str, by: str, now: datetime
) -> Statement:
    """Set name, age, who reads it aloud, and the language of the declaration. Raises NotNow."""
    statement = await _lock(db, appointment_id, statement_id)
    model.move(statement.state, Deed.EDIT)
    language = language if language in i18n.LANGUAGES else "en"
    if (statement.heading, statement.language) == (heading, language):
        return statement
    if statement.language != language:
        await storage.set_language(db, statement.id, language=language, version=statement.version)
        statement = await get(db, appointment_id, statement_id)
    await _change(db, statement, by=by, now=now, heading=heading)
    return await get(db, appointment_id, statement_id)


async def add_exhibit(
    db: Connection, appointment_id: str, statement_id: str, exhibit: Exhibit, *, by: str, now: datetime
) -> Statement:
    """Add an exhibit, or describe the one with this mark anew. Raises NotNow, BadExhibit."""
    statement = await _lock(db, appointment_id, statement_id)
    await _change(db, statement, by=by, now=now, exhibits=model.add_exhibit(statement.exhibits, exhibit))
    return await get(db, appointment_id, statement_id)


async def remove_exhibit(
    db: Connection, appointment_id: str, statement_id: str, mark: str, *, by: str, now: datetime
) -> Statement:
    """Remove an exhibit; one that is not there changes nothing. Raises NotNow."""
    statement = await _lock(db, appointment_id, statement_id)
    kept = [one for one in statement.exhibits if one.mark != mark]
    if len(kept) != len(statement.exhibits):
        await _change(db, statement, by=by, now=now, exhibits=kept)
    return await get(db, appointment_id, statement_id)


async def _change(db: Connection, statement: Statement, *, by: str, now: datetime, **what: Any) -> None:
    model.move(statement.state, Deed.EDIT)
    if not await storage.change(db, statement.id, version=statement.version, by=by, now=now, **what):
        raise NotNow("version")
    await _tell(db, statement, "drafted", actor=f"staff:{by}", now=now, changed=sorted(what))


async def show_live(
    db: Connection, appointment_id: str, statement_id: str, *, live: bool, by: str, now: datetime
) -> Statement:
    """Let the witness see the draft as it is written, or not. Raises NotNow."""
    statement = await _lock(db, appointment_id, statement_id)
    model.move(statement.state, Deed.EDIT)
    if await storage.set_live(db, statement.id, live=live):
        await _tell(db, statement, "shown_live" if live else "hidden", actor=f"staff:{by}", now=now)
    return await get(db, appointment_id, statement_id)


async def offer(
    database: Database, appointment_id: str, statement_id: str, *, printer: Printer, by: str, now: datetime
) -> Statement:
    """Ask the witness to read and sign. Whether it can be printed is found out now, not when they have signed.

    Raises   NotNow, NothingWritten, NoName, CannotPrint, SigningNotSetUp
    """
    async with database.read() as db:
        seen = await view(db, await get(db, appointment_id, statement_id), printer=printer)
    statement = seen.statement
    model.check_offer(statement)
    async with database.read() as db:
        await _check_needed(db, appointment_id, now=now)
    taken = Taken(seen.officer, seen.reference)
    await asyncio.to_thread(printer.try_out, statement, seen.declaration, taken, now=now)
    async with database.begin() as db:
        offered = await storage.change_state(
            db, statement.id, Deed.OFFER, to=State.READ, version=statement.version, offered_at=now
        )
        if not offered:
            raise NotNow("version")
        await _tell(db, statement, "offered", actor=f"staff:{by}", now=now, version=statement.version)
        return await get(db, appointment_id, statement_id)


async def certify_reading(
    db: Connection,
    appointment_id: str,
    statement_id: str,
    *,
    typed: str,
    shown_digest: str,
    printer: Printer,
    by: str,
    now: datetime,
) -> View:
    """Sign, as the reader, that the text as it stands was read aloud to the witness. Twice changes nothing.

    Raises   NotNow, TextChanged, ReaderNameDiffers
    """
    statement = await _lock(db, appointment_id, statement_id)
    seen = await view(db, statement, printer=printer)
    typed = " ".join(model.clean(typed).split())
    model.check_reading(statement, typed=typed, shown_digest=shown_digest, digest=seen.digest)
    if await storage.insert_reading(db, statement.id, shown_sha256=seen.digest, typed=typed, by=by, now=now):
        await _tell(db, statement, "read_aloud", actor=f"staff:{by}", now=now, shown_sha256=seen.digest)
    return await view(db, statement, printer=printer)


async def take_back(db: Connection, appointment_id: str, statement_id: str, *, by: str, now: datetime) -> Statement:
    """Take the statement back to go on writing. Raises NotNow once it is signed."""
    statement = await _lock(db, appointment_id, statement_id)
    to = model.move(statement.state, Deed.TAKE_BACK)
    await storage.change_state(db, statement.id, Deed.TAKE_BACK, to=to)
    await _tell(db, statement, "taken_back", actor=f"staff:{by}", now=now)
    return await get(db, appointment_id, statement_id)


async def save_back_page(
    db: Connection, appointment_id: str, statement_id: str, page: BackPage, *, by: str, now: datetime
) -> None:
    """Keep the answers of the back page, apart from the statement; they may be completed after it is signed."""
    statement = await _lock(db, appointment_id, statement_id)
    await storage.save_back_page(db, statement.id, answers=page.model_dump(mode="json"), by=by, now=now)
    await _tell(
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
    found = await storage.find_back_page(db, statement_id)
    return BackPage() if found is None else BackPage.model_validate(found)


async def access_witness(
    db: Connection, appointment_id: str, session_id: str, *, for_copy: bool = False
) -> Participant:
    """Return the participant whose statement this is: the session the officer let in. Raises NotInCall.

    for_copy   also after the call, for the session that was in it
    """
    person = await calls.find_by_session(db, appointment_id, session_id)
    if person is None or person.role is not RoomRole.VICTIM or person.admitted_at is None:
        raise NotInCall
    may = {RoomState.ADMITTED, RoomState.LEFT, RoomState.ENDED} if for_copy else {RoomState.ADMITTED}
    if person.state not in may:
        raise NotInCall
    return person


async def _check_needed(db: Connection, appointment_id: str, *, now: datetime) -> None:
    """Keep a statement locked until everybody who must be present is in the call. Raises NeededAbsent."""
    needs = (await appointments.get(db, appointment_id)).needs
    if needs and roles.list_missing(await calls.list_participants(db, [appointment_id]), needs, now=now):
        raise NeededAbsent


async def find_shown(db: Connection, appointment_id: str) -> Statement | None:
    """Return the statement that the witness's page shows now, the newest; None while there is nothing to show."""
    visible = [
        one for one in await storage.list_statements(db, appointment_id) if one.state is not State.DRAFT or one.live
    ]
    return visible[-1] if visible else None


async def answer(
    db: Connection,
    witness: Participant,
    statement_id: str,
    *,
    paragraph: str,
    said: Answer,
    printer: Printer,
    now: datetime,
) -> View:
    """Note what the witness says of one paragraph. Raises NotNow, TextChanged when that paragraph is no more."""
    statement = await _lock(db, witness.appointment_id, statement_id)
    model.move(statement.state, Deed.ANSWER)
    await _check_needed(db, witness.appointment_id, now=now)
    number = next((one.number for one in statement.paragraphs if one.key == paragraph), None)
    if number is None:
        raise TextChanged
    if await storage.save_answer(db, statement.id, paragraph, said, session_id=witness.session_id, now=now):
        action = "paragraph_confirmed" if said is Answer.RIGHT else "paragraph_questioned"
        await _tell(db, statement, action, actor=f"phone-session:{witness.session_id}", now=now, paragraph=number)
    return await view(db, statement, printer=printer, session_id=witness.session_id)


async def sign(
    database: Database,
    witness: Participant,
    statement_id: str,
    *,
    shown_digest: str,
    declared: bool,
    signature: Signature,
    printer: Printer,
    force: Force,
    now: datetime,
) -> Statement:
    """Sign what was shown: text, signature and PDF commit together as `sealing`. The same once more changes nothing.

    The PDF is made outside any transaction; if anything changed meanwhile nothing is written.
    Raises   NotNow, TextChanged, NotConfirmed, NotReadAloud, NotDeclared, CannotPrint, SigningNotSetUp
    """
    async with database.read() as db:
        statement = await get(db, witness.appointment_id, statement_id)
        if statement.state not in OPEN:
            return await _signed_before(db, statement, shown_digest)
        await _check_needed(db, witness.appointment_id, now=now)
        seen = await view(db, statement, printer=printer, session_id=witness.session_id)
    _check(seen, shown_digest=shown_digest, declared=declared)
    with i18n.use(statement.language):
        signed_on = pages.say_day_and_clock(now, force)
        read_on = pages.say_day_and_clock(seen.reading.declared_at, force) if seen.reading else ""
    taken = Taken(seen.officer, seen.reference)
    signing = Signing(signature, now, signed_on, witness.device, witness.word.value, seen.digest, seen.reading, read_on)
    signed = replace(statement, signed_at=now)
    pdf = await asyncio.to_thread(printer.print, signed, seen.declaration, taken, signing)
    async with database.begin() as db:
        try:
            async with db.begin_nested():
                await _write_signed(db, witness, seen, signature, pdf, printer=printer, now=now)
        except IntegrityError:
            statement = await get(db, witness.appointment_id, statement_id)
            return await _signed_before(db, statement, shown_digest)
        return await get(db, witness.appointment_id, statement_id)


def _check(seen: View, *, shown_digest: str, declared: bool) -> None:
    model.check_sign(
        seen.statement,
        shown_digest=shown_digest,
        digest=seen.digest,
        answers=seen.answers,
        reading=seen.reading,
        declared=declared,
    )


async def _signed_before(db: Connection, statement: Statement, shown_digest: str) -> Statement:
    """Return a statement that is signed already, when it was over the same text (a second press, a lost answer)."""
    if await storage.find_signed_digest(db, statement.id) != shown_digest:
        raise TextChanged
    return statement


async def _write_signed(
    db: Connection,
    witness: Participant,
    seen: View,
    signature: Signature,
    pdf: bytes,
    *,
    printer: Printer,
    now: datetime,
) -> None:
    """Write all of it or nothing. An IntegrityError means that it was signed a moment ago."""
    current = await _lock(db, witness.appointment_id, seen.statement.id)
    await access_witness(db, witness.appointment_id, witness.session_id)  # not let in any more meanwhile?
    if current.state in OPEN:
        await _check_needed(db, witness.appointment_id, now=now)
        if current.version != seen.statement.version:
            raise TextChanged
        now_seen = await view(db, current, printer=printer, session_id=witness.session_id)
        _check(now_seen, shown_digest=seen.digest, declared=True)
    statement = seen.statement
    await storage.insert_signature(
        db,
        {
            "statement_id": statement.id,
            "version": statement.version,
            "shown": seen.shown,
            "shown_sha256": seen.digest,
            "width": int(signature.width),
            "height": int(signature.height),
            "strokes": [[list(point) for point in stroke] for stroke in signature.strokes],
            "typed": signature.typed,
            "signed_at": now,
            "session_id": witness.session_id,
            "participant_id": witness.id,
            "device": witness.device,
            "word": witness.word.value,
        },
    )
    await storage.insert_seal(
        db,
        {
            "statement_id": statement.id,
            "object_id": keys.derive_id("statement", statement.id, statement.version),
            "incident": seen.reference,
            "pdf": pdf,
            "sha256": keys.digest_bytes(pdf),
            "made_at": now,
            "next_try_at": now,
        },
    )
    moved = await storage.change_state(
        db, statement.id, Deed.SIGN, to=State.SEALING, version=statement.version, signed_at=now
    )
    if not moved:
        raise TextChanged
    await _tell(
        db,
        statement,
        "signed",
        actor=f"phone-session:{witness.session_id}",
        now=now,
        version=statement.version,
        shown_sha256=seen.digest,
        how="typed" if signature.typed else "drawn",
    )
    await events.record(db, SEALS, statement.id, now=now)


async def get_copy(db: Connection, statement: Statement) -> tuple[str, bytes]:
    """Return file name and bytes of the sealed PDF. Raises NotSealedYet."""
    pdf = await storage.find_pdf(db, statement.id) if statement.state is State.SIGNED else None
    if pdf is None:
        raise NotSealedYet
    return f"statement-{statement.number}.pdf", pdf


async def list_copies(db: Connection, appointment_id: str, session_id: str) -> Sequence[Statement]:
    """Return what the person may keep: statements that are sealed, and those still on their way there."""
    try:
        await access_witness(db, appointment_id, session_id, for_copy=True)
    except NotInCall:
        return []
    return [one for one in await storage.list_statements(db, appointment_id) if one.state not in OPEN]


async def record_copy(db: Connection, statement: Statement, *, actor: str, now: datetime) -> None:
    """Note who fetched a copy."""
    await _tell(db, statement, "copy_fetched", actor=actor, now=now, wake=False)


async def record_sealed(db: Connection, statement_id: str, *, object_id: str, now: datetime) -> bool:
    """Note the store's acknowledgement: only now is the statement `signed`. False when that was noted before."""
    statement = await storage.find_statement(db, statement_id)
    if statement is None or not await storage.mark_sealed(db, statement_id, now=now):
        return False
    await storage.change_state(db, statement_id, Deed.SEAL, to=State.SIGNED, sealed_at=now)
    await _tell(db, statement, "sealed", actor="system:sealing", now=now, object=object_id)
    return True


async def _lock(db: Connection, appointment_id: str, statement_id: str) -> Statement:
    """Return a statement that nobody else changes until this transaction ends. Raises NotFound."""
    await storage.lock(db, statement_id)
    return await get(db, appointment_id, statement_id)


async def _tell(
    db: Connection, statement: Statement, what: str, *, actor: str, now: datetime, wake: bool = True, **details: object
) -> None:
    """Audit a deed and wake both pages."""
    await audit.record(
        db,
        actor=actor,
        action=f"statements.{what}",
        subject=f"appointment:{statement.appointment_id}",
        details={"statement": statement.id, "number": statement.number, **details},
        now=now,
    )
    if wake:
        await events.record(db, "room", statement.appointment_id, now=now)
