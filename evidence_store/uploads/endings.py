"""How an upload ends without becoming an object: refused, given up, expired; and what a crash left behind."""

from datetime import datetime

from evidence_store import ledger, storage
from evidence_store.backend import Busy
from evidence_store.errors import Arrived, DamagedHere, UploadClosed, WrongKind
from evidence_store.ledger import Draft
from evidence_store.model import CLOSED, Action, Upload, UploadState
from evidence_store.store import Store
from evidence_store.uploads.sessions import Sessions
from evidence_store.waiting import refuse


def draft_expired(upload: Upload, *, actor: str, now: datetime) -> Draft:
    """Return the ledger's line for an upload that `actor` closes because nothing more can come of it."""
    said = {"incident": upload.incident, "received_bytes": upload.offset, "length": upload.length}
    return Draft(now, actor, Action.UPLOAD_EXPIRED, upload.id, details=said)


_ENDS = {Action.UPLOAD_EXPIRED, Action.UPLOAD_TERMINATED, Action.RECEIVED, Action.QUARANTINED}


class Endings:
    """Closes uploads, each with its line in the ledger, and destroys what came of them."""

    def __init__(self, store: Store, sessions: Sessions) -> None:
        self._store, self._sessions = store, sessions

    async def terminate(self, upload_id: str) -> None:
        """Give up an upload at its sender's wish, asking a running writer to let go; its bytes and key are destroyed.

        Raises UploadClosed, Locked; Arrived when every byte is there: from then on only a disposal removes it.
        """
        upload = await self._sessions.get(upload_id)
        if upload.state in CLOSED:
            raise UploadClosed
        self._store.check_holds(upload.node)
        lock = await self._sessions.lock(upload_id)
        try:
            upload = await self._sessions.get(upload_id)
            if upload.state is UploadState.SEALED or upload.offset == upload.length:
                raise Arrived(actor=f"upload:{upload.reference}")
            if not await self._end(
                upload, UploadState.TERMINATED, Action.UPLOAD_TERMINATED, f"upload:{upload.reference}"
            ):
                raise UploadClosed
        finally:
            lock.release()

    async def refuse(self, upload: Upload, refusal: WrongKind) -> None:
        """Close an upload whose bytes are of a kind that is not allowed, and tell the web server."""
        async with self._store.database.begin() as db:
            if await storage.close_upload(db, upload.id, UploadState.REFUSED, now=self._store.clock()):
                await self._store.record(
                    db, actor=f"upload:{upload.reference}", action=Action.REFUSED, object_id=upload.id,
                    incident=upload.incident, why=refusal.code, declared=upload.media_type,
                )  # fmt: skip
                await self._store.tell(db, "refused", upload.id, upload.incident)
        self._store.news.set()
        await self._sessions.drop(upload.id)

    async def expire(self, upload: Upload) -> None:
        """Drop an upload that was abandoned. Raises Locked, DamagedHere: also of one that the ledger knows as ended,
        whose row, seal and all, was put back.
        """
        await self._sessions.check_own(upload)
        async with self._store.database.read() as db:
            is_over = await ledger.knows_any(db, upload.id, _ENDS)
        if is_over:
            await refuse(self._store, upload)
            raise DamagedHere
        lock = await self._sessions.lock(upload.id)
        try:
            await self._end(upload, UploadState.EXPIRED, Action.UPLOAD_EXPIRED, "system:sweeper")
        finally:
            lock.release()

    async def _end(self, upload: Upload, state: UploadState, action: Action, actor: str) -> bool:
        """Close an unfinished upload, with its line in the ledger, and drop it; False when it was not open any more."""
        async with self._store.database.begin() as db:
            if not await storage.close_upload(db, upload.id, state, now=self._store.clock()):
                return False
            await self._store.record(
                db, actor=actor, action=action, object_id=upload.id, incident=upload.incident,
                received_bytes=upload.offset, length=upload.length,
            )  # fmt: skip
        await self._sessions.drop(upload.id)
        return True

    async def clear_leftovers(self) -> None:
        """Remove folders that no row stands for: their makers died before anybody heard of them."""
        store = self._store
        names = await store.run(store.backend.list_incoming)
        for name in names:
            try:
                lock = await store.run(store.backend.lock, name)
            except Busy:
                continue
            try:
                async with store.database.read() as db:
                    upload = await storage.find_upload(db, name)
                    is_open = upload is not None and upload.state is UploadState.OPEN  # on any node: better too much
                    needed = is_open or name in await storage.list_stagings(db)
                if not needed:
                    await self._sessions.drop(name)
            finally:
                lock.release()
