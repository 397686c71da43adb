"""Put signed statements into the evidence store, whatever dies when; only its acknowledgement makes them `signed`.

A worker claims one PDF at a time. The object's id follows from statement and version and the store takes the same id
with the same bytes twice without a second object, so a worker that died after the PUT is simply followed by another.
The bytes are those that committed with the signature; nothing is ever printed again.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Any, Protocol

from evidence_store.errors import Conflict as ObjectDiffers
from evidence_store.errors import StoreError
from video_server.accounts import service as accounts
from video_server.core import keys
from video_server.core.clock import Clock
from video_server.core.database import Connection, Database
from video_server.core.errors import N_
from video_server.core.log import get_logger
from video_server.evidence.link import StoreDown, StoreLink
from video_server.statements import signing, storage
from video_server.statements.storage.seals import Seal
from video_server.tasks import service as tasks

log = get_logger(__name__)

KIND = "statement"
MEDIA_TYPE = "application/pdf"
PUT_SECONDS = 20.0
LEASE = timedelta(seconds=45)
"""How long a claim holds: longer than a PUT may take, so that two workers rarely meet; if they do, it does no harm."""

LONGEST_WAIT = timedelta(minutes=1)
TOLD_AFTER = timedelta(minutes=10)
NOT_SEALED = N_("A signed statement could not be sealed in the evidence store for some time. Check the evidence store.")


class Store(Protocol):
    """What is needed of `evidence_store.client.StoreClient`."""

    async def put_object(
        self,
        object_id: str,
        data: bytes,
        *,
        incident: str,
        kind: str,
        media_type: str,
        filename: str = "",
        officer: str = "",
    ) -> Any:
        """Store an object once and return what the store says of it (its `sha256`); raise StoreError otherwise."""


class LinkedStore:
    """The store at the end of a link, whose token may still be missing on a first start."""

    def __init__(self, link: StoreLink) -> None:
        self._link = link

    async def put_object(
        self,
        object_id: str,
        data: bytes,
        *,
        incident: str,
        kind: str,
        media_type: str,
        filename: str = "",
        officer: str = "",
    ) -> Any:
        """Put an object; raises StoreError, or StoreDown while the token is missing."""
        return await self._link.client.put_object(
            object_id, data, incident=incident, kind=kind, media_type=media_type, filename=filename, officer=officer
        )


async def seal_due(database: Database, store: Store, *, clock: Clock, lease: timedelta = LEASE) -> int:
    """Seal every statement that waits; return how many were. Run it anywhere, as often as you like."""
    async with database.read() as db:
        if not await storage.seals.has_due(db, now=clock()):
            return 0
    count = 0
    while (seal := await _claim(database, clock, lease)) is not None:
        count += await _seal(database, store, seal, clock=clock)
    return count


async def _claim(database: Database, clock: Clock, lease: timedelta) -> Seal | None:
    now = clock()
    async with database.begin() as db:
        return await storage.seals.claim_next(db, claim_id=keys.new_id(), now=now, until=now + lease)


async def _seal(database: Database, store: Store, seal: Seal, *, clock: Clock) -> bool:
    """Put one PDF and write the acknowledgement down; put it back for later when there was none."""
    async with database.read() as db:
        officer = await _find_officer(db, seal)
    try:
        async with asyncio.timeout(PUT_SECONDS):
            stored = await store.put_object(
                seal.object_id,
                seal.pdf,
                incident=seal.incident,
                kind=KIND,
                media_type=MEDIA_TYPE,
                filename=f"statement-{seal.incident}.pdf",
                officer=officer,
            )
            if stored.sha256 != seal.sha256:
                raise ObjectDiffers
    except ObjectDiffers:
        log.error("statement_object_differs", statement=seal.statement_id, object=seal.object_id)
        await _put_back(database, seal, "object_differs", now=clock())
        return False
    except (StoreError, StoreDown, OSError, TimeoutError) as problem:
        fault = type(problem).__name__
        log.warning("statement_not_sealed", statement=seal.statement_id, fault=fault, why=str(problem)[:80])
        await _put_back(database, seal, fault, now=clock())
        return False
    except Exception:
        log.exception("statement_not_sealed", statement=seal.statement_id)
        await _put_back(database, seal, "fault", now=clock())
        return False
    async with database.begin() as db:
        return await signing.record_sealed(db, seal.statement_id, object_id=seal.object_id, now=clock())


async def _find_officer(db: Connection, seal: Seal) -> str:
    """Return the collar number of who took the statement, by which evidence staff find it; may be empty."""
    statement = await storage.statements.find_statement(db, seal.statement_id)
    officer = await accounts.find_staff(db, statement.taken_by) if statement else None
    return officer.collar_number if officer else ""


async def _put_back(database: Database, seal: Seal, fault: str, *, now: datetime) -> None:
    """Try again later, and tell a person when it takes long or will not mend by itself."""
    async with database.begin() as db:
        await storage.seals.put_back(db, seal, next_try_at=now + wait_before_try(seal.attempts), fault=fault[:40])
        if fault == "object_differs" or now - seal.made_at >= TOLD_AFTER:
            statement = await storage.statements.find_statement(db, seal.statement_id)
            subject = f"appointment:{statement.appointment_id}" if statement else f"statement:{seal.statement_id}"
            await tasks.open_task(
                db, kind="statement_not_sealed", subject=subject, note=NOT_SEALED, due_at=now, now=now
            )


def wait_before_try(attempts: int) -> timedelta:
    """Return the wait after so many tries: 1, 2, 4 … seconds, at most LONGEST_WAIT."""
    return min(timedelta(seconds=2 ** min(max(attempts - 1, 0), 10)), LONGEST_WAIT)
