"""What the witness does with a statement: confirm, sign, keep a copy.

Signing prints in between and opens its own transactions; every other deed works in the caller's.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from video_server.calls import service as calls
from video_server.calls.model import Participant
from video_server.core import events, keys
from video_server.core.database import Connection, Database, IntegrityError
from video_server.core.errors import N_, Conflict, Forbidden
from video_server.core.force import Force
from video_server.statements import model, rules, shown, storage
from video_server.statements.model import OPEN, Answer, Deed, State, Statement, TextChanged
from video_server.statements.printing import Printer, Signing, Taken
from video_server.statements.signature import Signature
from video_server.web import i18n, pages

SEALS = "seals"
"""Topic of "a PDF waits to be sealed", for the worker."""


class NotInCall(Forbidden):
    """Only the session that the officer let in reads and signs."""

    code = "statement_not_in_call"
    public = N_("You can read and sign the statement while you are in the call.")


class NotSealedYet(Conflict):
    code = "statement_not_sealed"
    public = N_("The statement is being sealed. A copy is here in a moment.")


async def access_witness(
    db: Connection, appointment_id: str, session_id: str, *, for_copy: bool = False
) -> Participant:
    """Return the participant whose statement this is: the session the officer let in. Raises NotInCall.

    for_copy   also after the call, for the session that was in it
    """
    person = await calls.find_let_in(db, appointment_id, session_id, after_call=for_copy)
    if person is None:
        raise NotInCall
    return person


async def answer(
    db: Connection,
    witness: Participant,
    statement_id: str,
    *,
    paragraph: str,
    said: Answer,
    printer: Printer,
    now: datetime,
) -> shown.View:
    """Note what the witness says of one paragraph. Raises NotNow, TextChanged when that paragraph is no more."""
    statement = await shown.lock(db, witness.appointment_id, statement_id)
    model.move(statement.state, Deed.ANSWER)
    await shown.check_needed(db, witness.appointment_id, now=now)
    number = next((one.number for one in statement.paragraphs if one.key == paragraph), None)
    if number is None:
        raise TextChanged
    if await storage.answers.save_answer(db, statement.id, paragraph, said, session_id=witness.session_id, now=now):
        action = "paragraph_confirmed" if said is Answer.RIGHT else "paragraph_questioned"
        await shown.tell(db, statement, action, actor=f"phone-session:{witness.session_id}", now=now, paragraph=number)
    return await shown.view(db, statement, printer=printer, session_id=witness.session_id)


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
    Raises   NotNow, TextChanged, NotConfirmed, NotReadAloud, NotInterpreted, NotDeclared, CannotPrint, SigningNotSetUp
    """
    async with database.read() as db:
        statement = await shown.get(db, witness.appointment_id, statement_id)
        if statement.state not in OPEN:
            return await _signed_before(db, statement, shown_digest)
        await shown.check_needed(db, witness.appointment_id, now=now)
        seen = await shown.view(db, statement, printer=printer, session_id=witness.session_id)
    _check(seen, shown_digest=shown_digest, declared=declared)
    with i18n.use(statement.language):
        signed_on = pages.say_day_and_clock(now, force)
        read_on = pages.say_day_and_clock(seen.reading.declared_at, force) if seen.reading else ""
        interpreted = seen.interpretation
        interpreted_on = pages.say_day_and_clock(interpreted.declared_at, force) if interpreted else ""
    taken = Taken(seen.officer, seen.reference)
    signing = Signing(
        signature,
        now,
        signed_on,
        witness.device,
        witness.word.value,
        seen.digest,
        seen.reading,
        read_on,
        seen.interpreters,
        interpreted,
        interpreted_on,
        seen.shown,
    )
    signed = replace(statement, signed_at=now)
    pdf = await asyncio.to_thread(printer.print, signed, seen.declaration, taken, signing)
    async with database.begin() as db:
        try:
            async with db.begin_nested():
                await _write_signed(db, witness, seen, signature, pdf, printer=printer, now=now)
        except IntegrityError:
            statement = await shown.get(db, witness.appointment_id, statement_id)
            return await _signed_before(db, statement, shown_digest)
        return await shown.get(db, witness.appointment_id, statement_id)


def _check(seen: shown.View, *, shown_digest: str, declared: bool) -> None:
    rules.check_sign(
        seen.statement,
        shown_digest=shown_digest,
        digest=seen.digest,
        answers=seen.answers,
        reading=seen.reading,
        declared=declared,
        interpretation=seen.interpretation,
    )


async def _signed_before(db: Connection, statement: Statement, shown_digest: str) -> Statement:
    """Return a statement that is signed already, when it was over the same text (a second press, a lost answer)."""
    if await storage.signatures.find_signed_digest(db, statement.id) != shown_digest:
        raise TextChanged
    return statement


async def _write_signed(
    db: Connection,
    witness: Participant,
    seen: shown.View,
    signature: Signature,
    pdf: bytes,
    *,
    printer: Printer,
    now: datetime,
) -> None:
    """Write all of it or nothing. An IntegrityError means that it was signed a moment ago."""
    current = await shown.lock(db, witness.appointment_id, seen.statement.id)
    await access_witness(db, witness.appointment_id, witness.session_id)  # not let in any more meanwhile?
    if current.state in OPEN:
        await shown.check_needed(db, witness.appointment_id, now=now)
        if current.version != seen.statement.version:
            raise TextChanged
        now_seen = await shown.view(db, current, printer=printer, session_id=witness.session_id)
        _check(now_seen, shown_digest=seen.digest, declared=True)
    statement = seen.statement
    await storage.signatures.insert_signature(
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
    await storage.seals.insert_seal(
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
    moved = await storage.statements.change_state(
        db, statement.id, Deed.SIGN, to=State.SEALING, version=statement.version, signed_at=now
    )
    if not moved:
        raise TextChanged
    await shown.tell(
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
    pdf = await storage.seals.find_pdf(db, statement.id) if statement.state is State.SIGNED else None
    if pdf is None:
        raise NotSealedYet
    return f"statement-{statement.number}.pdf", pdf


async def list_copies(db: Connection, appointment_id: str, session_id: str) -> Sequence[Statement]:
    """Return what the person may keep: statements that are sealed, and those still on their way there."""
    try:
        await access_witness(db, appointment_id, session_id, for_copy=True)
    except NotInCall:
        return []
    return [one for one in await storage.statements.list_statements(db, appointment_id) if one.state not in OPEN]


async def record_copy(db: Connection, statement: Statement, *, actor: str, now: datetime) -> None:
    """Note who fetched a copy."""
    await shown.tell(db, statement, "copy_fetched", actor=actor, now=now, wake=False)


async def record_sealed(db: Connection, statement_id: str, *, object_id: str, now: datetime) -> bool:
    """Note the store's acknowledgement: only now is the statement `signed`. False when that was noted before."""
    statement = await storage.statements.find_statement(db, statement_id)
    if statement is None or not await storage.seals.mark_sealed(db, statement_id, now=now):
        return False
    await storage.statements.change_state(db, statement_id, Deed.SEAL, to=State.SIGNED, sealed_at=now)
    await shown.tell(db, statement, "sealed", actor="system:sealing", now=now, object=object_id)
    return True
