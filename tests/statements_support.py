"""What the tests of statements share: an appointment in a call, a signature, a store on a disk."""

import math
import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from evidence_store.errors import Conflict, Unreachable
from tests.cases import FORCE, book_now
from video_server.accounts.model import Staff
from video_server.appointments.model import Appointment
from video_server.calls import arriving, presence, safety
from video_server.calls import service as calls
from video_server.calls.model import Participant, Role, Watched
from video_server.config import Settings
from video_server.core import keys
from video_server.core.database import Database
from video_server.core.keys import KeyRing, load_demo_signing_identity
from video_server.statements import certifying, service, shown, signing
from video_server.statements.model import Answer, Heading, State, Statement
from video_server.statements.printing import Printer
from video_server.statements.signature import Signature
from video_server.web import sessions

TEXT = "I live at 1 The Street.\n\nOn Monday my bicycle was taken.\n\nI took the photo JB/1."

NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)
DRAFT = Statement(
    id="a" * 32,
    appointment_id="b" * 32,
    number=1,
    state=State.DRAFT,
    version=1,
    text_version=1,
    text="One.\n\nTwo.",
    heading=Heading("Jo Bloggs"),
    exhibits=(),
    language="en",
    live=False,
    taken_by="c" * 32,
    begun_at=NOW,
    saved_at=NOW,
    offered_at=None,
    signed_at=None,
    sealed_at=None,
)


def drawn(points: int = 60) -> Signature:
    """Return a wave of one stroke."""
    return Signature(300, 120, (tuple((20 + i * 4.0, 60 + 30 * math.sin(i / 5), i * 16, 0.5) for i in range(points)),))


def drawn_json() -> dict[str, Any]:
    """Return the same as a page posts it."""
    signature = drawn()
    strokes = [[list(point) for point in stroke] for stroke in signature.strokes]
    return {"width": signature.width, "height": signature.height, "strokes": strokes}


async def let_in(database: Database, appointment: Appointment, *, now: Any) -> tuple[Participant, str]:
    """Let one session of the link arrive, wait and be admitted; return its participant and its cookie's secret."""
    async with database.begin() as db:
        session, secret = await sessions.open_session(db, "phone", appointment.id, now=now)
        person = await arriving.arrive(
            db, appointment, session_id=session.id, role=Role.VICTIM, device="iPhone, Safari", now=now
        )
        await safety.answer_safety(db, appointment, session_id=session.id, safe_place=True, watched=Watched.NO, now=now)
        await presence.take_socket(db, person, socket="p" * 32, now=now)
        await calls.start_waiting(db, person.id, now=now)
        await presence.take_socket(db, person, socket=session.id, now=now)
        return await calls.admit(db, appointment, person.id, by=appointment.officer_id, now=now), secret


async def open_desk(database: Database, settings: Settings, key_ring: KeyRing, clock: Any, officer: Staff) -> "Desk":
    """Return this officer in a call with Jo Bloggs."""
    appointment = await book_now(database, key_ring, officer_id=officer.id, now=clock())
    witness, _ = await let_in(database, appointment, now=clock())
    printer = Printer(FORCE.name, load_demo_signing_identity(settings.keys_folder, now=clock()))
    return Desk(database, appointment, witness, printer, clock)


@dataclass
class Desk:
    """An officer and a witness in a call, and what they do."""

    database: Database
    appointment: Appointment
    witness: Participant
    printer: Printer
    clock: Any

    async def begin(self) -> Statement:
        async with self.database.begin() as db:
            return await service.begin(db, self.appointment, by=self.appointment.officer_id, now=self.clock())

    async def write(self, statement: Statement, text: str) -> Statement:
        async with self.database.begin() as db:
            return await service.save_text(
                db,
                self.appointment.id,
                statement.id,
                text=text,
                text_version=statement.text_version,
                by=self.appointment.officer_id,
                now=self.clock(),
            )

    async def offer(self, statement: Statement) -> Statement:
        return await service.offer(
            self.database,
            self.appointment.id,
            statement.id,
            printer=self.printer,
            by=self.appointment.officer_id,
            now=self.clock(),
        )

    async def view(self, statement: Statement) -> shown.View:
        async with self.database.read() as db:
            current = await shown.get(db, self.appointment.id, statement.id)
            return await shown.view(db, current, printer=self.printer, session_id=self.witness.session_id)

    async def confirm_all(self, statement: Statement) -> shown.View:
        seen = await self.view(statement)
        for paragraph in seen.statement.paragraphs:
            async with self.database.begin() as db:
                seen = await signing.answer(
                    db,
                    self.witness,
                    statement.id,
                    paragraph=paragraph.key,
                    said=Answer.RIGHT,
                    printer=self.printer,
                    now=self.clock(),
                )
        return seen

    async def certify_reading(self, seen: shown.View, typed: str) -> shown.View:
        async with self.database.begin() as db:
            return await certifying.certify_reading(
                db,
                self.appointment.id,
                seen.statement.id,
                typed=typed,
                shown_digest=seen.digest,
                printer=self.printer,
                by=self.appointment.officer_id,
                now=self.clock(),
            )

    async def interpret(self, statement: Statement, original: str, **heading: str) -> Statement:
        """Say who interprets, and write the text in the witness's language."""
        at = {"by": self.appointment.officer_id, "now": self.clock()}
        ids = (self.appointment.id, statement.id)
        async with self.database.begin() as db:
            said = replace(statement.heading, **{"interpreter_name": "Ana Kowalska", "spoken": "pl", **heading})
            statement = await service.set_heading(db, *ids, heading=said, language="en", **at)
            version = statement.original_version
            return await service.save_text(db, *ids, text=original, text_version=version, which="original", **at)

    async def declare_interpretation(self, seen: shown.View, typed: str, by: Any = None) -> shown.View:
        async with self.database.begin() as db:
            return await certifying.declare_interpretation(
                db,
                self.appointment.id,
                seen.statement.id,
                typed=typed,
                shown_digest=seen.digest,
                printer=self.printer,
                by=by or self.appointment.officer_id,
                now=self.clock(),
            )

    async def ready(self, text: str = TEXT) -> shown.View:
        """Return a statement that only lacks the signature."""
        return await self.confirm_all(await self.offer(await self.write(await self.begin(), text)))

    async def sign(
        self, seen: shown.View, *, database: Database | None = None, signature: Signature | None = None, **other: Any
    ) -> Statement:
        given = {"shown_digest": seen.digest, "declared": True, **other}
        return await signing.sign(
            database or self.database,
            self.witness,
            seen.statement.id,
            signature=signature or drawn(),
            printer=self.printer,
            force=FORCE,
            now=self.clock(),
            **given,
        )


class FolderStore:
    """A store on a disk: create-once under an id, durable before it answers. `down` makes it unreachable."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.down = False
        self.puts = 0
        folder.mkdir(parents=True, exist_ok=True)

    async def put_object(
        self,
        object_id: str,
        content: bytes,
        *,
        incident: str,
        kind: str,
        media_type: str,
        filename: str = "",
        officer: str = "",
    ) -> SimpleNamespace:
        self.puts += 1
        if self.down:
            raise Unreachable
        path, part = self.folder / object_id, self.folder / f"{object_id}.{os.getpid()}.{self.puts}.part"
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(part, path)
        except FileExistsError:
            if path.read_bytes() != content:
                raise Conflict from None
        finally:
            part.unlink()
        return SimpleNamespace(id=object_id, sha256=keys.digest_bytes(content))

    @property
    def objects(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.folder.iterdir() if path.suffix != ".part"}
