"""What whoever reads or interprets to a witness does: sign that they did, over the text as it stands."""

from datetime import datetime

from video_server.calls import service as calls
from video_server.calls.model import Participant
from video_server.calls.model import Role as RoomRole
from video_server.calls.model import State as RoomState
from video_server.core.database import Connection
from video_server.statements import certificates, shown, storage
from video_server.statements.certificates import Interpretation, SignedAt
from video_server.statements.printing import Printer
from video_server.statements.signing import NotInCall
from video_server.statements.typed import clean_name


async def access_interpreter(db: Connection, appointment_id: str, session_id: str) -> Participant:
    """Return the interpreter who came by a link of their own and is in the call. Raises NotInCall."""
    person = await calls.find_by_session(db, appointment_id, session_id)
    if person is None or person.role is not RoomRole.INTERPRETER or person.state is not RoomState.ADMITTED:
        raise NotInCall
    return person


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
) -> shown.View:
    """Sign, as the reader, that the text as it stands was read aloud to the witness. Twice changes nothing.

    Raises   NotNow, TextChanged, ReaderNameDiffers
    """
    statement = await shown.lock(db, appointment_id, statement_id)
    seen = await shown.view(db, statement, printer=printer)
    typed = clean_name(typed)
    certificates.check_reading(statement, typed=typed, shown_digest=shown_digest, digest=seen.digest)
    if await storage.certificates.insert_reading(
        db, statement.id, shown_sha256=seen.digest, typed=typed, by=by, now=now
    ):
        await shown.tell(db, statement, "read_aloud", actor=f"staff:{by}", now=now, shown_sha256=seen.digest)
    return await shown.view(db, statement, printer=printer)


async def declare_interpretation(
    db: Connection,
    appointment_id: str,
    statement_id: str,
    *,
    typed: str,
    shown_digest: str,
    printer: Printer,
    by: str | Participant,
    now: datetime,
) -> shown.View:
    """Sign, as the interpreter, for both texts as they stand. Twice changes nothing.

    by       staff id of the officer in whose booth they sign, or the interpreter's own participant in the call
    Raises   NotNow, TextChanged, InterpreterNameDiffers, NoInterpreter, TextsDiffer
    """
    statement = await shown.lock(db, appointment_id, statement_id)
    seen = await shown.view(db, statement, printer=printer)
    typed = clean_name(typed)
    certificates.check_interpretation(statement, typed=typed, shown_digest=shown_digest, digest=seen.digest)
    if isinstance(by, Participant):
        given = Interpretation(typed, now, SignedAt.CALL, by.id, by.device)
        actor = f"guest-session:{by.session_id}"
    else:
        given, actor = Interpretation(typed, now, SignedAt.BOOTH, by), f"staff:{by}"
    if await storage.certificates.insert_interpretation(db, statement.id, given, shown_sha256=seen.digest):
        await shown.tell(
            db, statement, "interpreted", actor=actor, now=now, shown_sha256=seen.digest, kind=given.where.value
        )
    return await shown.view(db, statement, printer=printer)
