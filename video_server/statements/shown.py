"""A statement as it stands, and as it would be shown and signed now: what every deed on one begins and ends with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from video_server.accounts import service as accounts
from video_server.appointments import service as appointments
from video_server.audit import service as audit
from video_server.calls import roles
from video_server.calls import service as calls
from video_server.core import events, keys
from video_server.core.database import Connection
from video_server.core.errors import N_, Conflict, NotFound
from video_server.incidents import service as incidents
from video_server.statements import model, storage
from video_server.statements.certificates import Interpretation, Reading, SignedAt
from video_server.statements.declaration import Declaration, get_declaration, get_interpreters_declaration
from video_server.statements.model import OPEN, Answer, State, Statement
from video_server.statements.printing import Printer


class NeededAbsent(Conflict):
    """Guardian, appropriate adult, interpreter, intermediary or supporter: booked as needed, and not in the call."""

    code = "statement_needed_absent"
    public = N_("Somebody who must be there for the statement is not in the call. Wait until they are.")


@dataclass(frozen=True)
class View:
    """A statement as it would be shown and signed now.

    digest   SHA-256 of `shown`, the canonical form of all that the witness is shown
    answers  by paragraph key
    reading  the reader's certificate for exactly this, when the witness cannot read
    interpreters    the declaration an interpreter makes, None when nobody interprets
    interpretation  that declaration as it was signed for exactly this
    """

    statement: Statement
    declaration: Declaration
    reference: str
    officer: str
    answers: Mapping[str, Answer]
    reading: Reading | None
    shown: str
    digest: str
    interpreters: Declaration | None = None
    interpretation: Interpretation | None = None

    @property
    def confirmed(self) -> int:
        """Return how many paragraphs the witness has confirmed as they stand."""
        return sum(self.answers.get(one.key) is Answer.RIGHT for one in self.statement.paragraphs)

    @property
    def waits_for_reader(self) -> bool:
        """Say whether somebody must still certify that they read it aloud."""
        return bool(self.statement.heading.reader_name) and self.reading is None

    @property
    def waits_for_interpreter(self) -> bool:
        """Say whether the interpreter must still sign for both texts."""
        return self.statement.heading.is_interpreted and self.interpretation is None


async def get(db: Connection, appointment_id: str, statement_id: str) -> Statement:
    """Return a statement of this appointment. Raises NotFound."""
    found = await storage.statements.find_statement(db, statement_id)
    if found is None or found.appointment_id != appointment_id:
        raise NotFound
    return found


async def list_for(db: Connection, appointment_id: str) -> Sequence[Statement]:
    """Return the statements of an appointment by number."""
    return await storage.statements.list_statements(db, appointment_id)


async def list_drafts(db: Connection, statement: Statement) -> Sequence[tuple[int, str, datetime, str]]:
    """Return each kept version: number, text, when, by whom (CPIA Code 5.4)."""
    return await storage.statements.list_versions(db, statement.id)


async def find_shown(db: Connection, appointment_id: str) -> Statement | None:
    """Return the statement that the witness's page shows now, the newest; None while there is nothing to show."""
    visible = [
        one
        for one in await storage.statements.list_statements(db, appointment_id)
        if one.state is not State.DRAFT or one.live
    ]
    return visible[-1] if visible else None


async def find_interpreted(db: Connection, appointment_id: str) -> Statement | None:
    """Return the statement that is being taken through an interpreter; None when there is none, or it is signed."""
    listed = await storage.statements.list_statements(db, appointment_id)
    if not listed or listed[-1].state not in OPEN or not listed[-1].heading.is_interpreted:
        return None
    return listed[-1]


async def get_interpreted(db: Connection, appointment_id: str, statement_id: str) -> Statement:
    """Return it by its id. Raises NotFound."""
    found = await find_interpreted(db, appointment_id)
    if found is None or found.id != statement_id:
        raise NotFound
    return found


async def view(db: Connection, statement: Statement, *, printer: Printer, session_id: str | None = None) -> View:
    """Return a statement with all that is shown around it.

    session_id   whose answers count; unless given, those of the session that is in the call now. What another device
                 of the same link confirmed before it was replaced never counts for this one.
    """
    session_id = session_id or await find_session_in_call(db, statement.appointment_id)
    appointment = await appointments.get(db, statement.appointment_id)
    incident = await incidents.get_incident(db, appointment.incident_id)
    declaration = get_declaration(statement.language, printer.declarations)
    interpreters = None
    if statement.heading.is_interpreted:
        interpreters = get_interpreters_declaration(statement.language, printer.declarations)
    shown = model.write_shown(statement, declaration, reference=incident.reference, interpreters=interpreters)
    digest = keys.digest_text(shown)
    reading = (await storage.certificates.list_readings(db, statement.id)).get(digest)
    interpretation = (await storage.certificates.list_interpretations(db, statement.id)).get(digest)
    if interpretation is not None and interpretation.where is SignedAt.BOOTH:
        interpretation = replace(interpretation, officer=await _say_officer(db, interpretation.declared_by))
    return View(
        statement=statement,
        declaration=declaration,
        reference=incident.reference,
        officer=await _say_officer(db, statement.taken_by),
        answers=await storage.answers.list_answers(db, statement.id, session_id=session_id),
        reading=reading and replace(reading, officer=await _say_officer(db, reading.declared_by)),
        shown=shown,
        digest=digest,
        interpreters=interpreters,
        interpretation=interpretation,
    )


async def _say_officer(db: Connection, staff_id: str) -> str:
    officer = await accounts.find_staff(db, staff_id)
    return " ".join(filter(None, (officer.name, officer.collar_number))) if officer else ""


async def find_session_in_call(db: Connection, appointment_id: str) -> str | None:
    """Return the witness's session that is in the call now."""
    room = await calls.view(db, appointment_id)
    return room.admitted.session_id if room.admitted is not None else None


async def check_needed(db: Connection, appointment_id: str, *, now: datetime) -> None:
    """Keep a statement locked until everybody who must be present is in the call. Raises NeededAbsent."""
    needs = (await appointments.get(db, appointment_id)).needs
    if needs and roles.list_missing(await calls.list_participants(db, [appointment_id]), needs, now=now):
        raise NeededAbsent


async def lock(db: Connection, appointment_id: str, statement_id: str) -> Statement:
    """Return a statement that nobody else changes until this transaction ends. Raises NotFound."""
    await storage.statements.lock(db, statement_id)
    return await get(db, appointment_id, statement_id)


async def tell(
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
