"""One writer at a time for each upload, and what is kept in memory of it between two requests.

The lock is a flock, so it holds across the processes of one machine and dies with its holder. Who wants it leaves a
mark; the holder looks every quarter of a second, makes durable what it has and lets go. The lock file keeps the last
writer's nonce: an upload kept in memory between two requests goes on only when nobody else wrote in between.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from evidence_store import clock, seals, storage
from evidence_store.backend import Busy, Lock, write_whole
from evidence_store.errors import (
    Damaged,
    DamagedHere,
    Locked,
    NoSpace,
    NotFound,
    StillArriving,
    TooLarge,
    UploadClosed,
    WrongOffset,
)  # fmt: skip
from evidence_store.log import get_logger
from evidence_store.model import Upload, UploadState
from evidence_store.sealing import floe, signing
from evidence_store.sealing.files import create_secret, destroy_secret
from evidence_store.sealing.incoming import Incoming, find_offset
from evidence_store.sealing.wrapping import PRIVATE_BYTES, PrivateKey
from evidence_store.store import Store
from evidence_store.waiting import refuse

log = get_logger(__name__)
T = TypeVar("T")

_LOCK_PATIENCE_SECONDS = 5.0
_IDLE_SECONDS = 120.0
_MAX_IDLE = 64
_INGEST_KEY = "ingest.json"
_NO_SPACE_ERRNOS = {28, 122}  # ENOSPC, EDQUOT


@dataclass
class Session:
    """An upload kept in memory between requests: its running hash and cipher, and the nonce it signed with."""

    incoming: Incoming
    nonce: str
    used_at: float
    busy: bool = False


class Sessions:
    """The uploads that this process writes, or wrote last."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, Session] = {}

    async def get(self, upload_id: str) -> Upload:
        """Return the upload. Raises NotFound; DamagedHere when it is open and its row not as this store wrote it."""
        async with self._store.database.read() as db:
            upload = await storage.find_upload(db, upload_id)
        if upload is None:
            raise NotFound
        await self.check_own(upload)
        return upload

    async def check_own(self, upload: Upload) -> None:
        """Pass when an upload is closed, or its row is as this store wrote it. Raises DamagedHere."""
        if upload.state is UploadState.OPEN and not seals.is_own(self._store.keys.bearer, upload):
            await refuse(self._store, upload)
            raise DamagedHere

    async def _get_open(self, upload_id: str) -> Upload:
        """Return an open upload that lies here. Raises NotFound, UploadClosed, Elsewhere."""
        upload = await self.get(upload_id)
        if upload.state is not UploadState.OPEN:
            raise UploadClosed
        self._store.check_holds(upload.node)
        return upload

    def begin(self, upload_id: str) -> None:
        """Lay folder, key and header, flushed, before the upload is known to anybody."""
        store = self._store
        folder = store.backend.create_incoming(upload_id)
        key_path = store.keys.ingest_key(upload_id)
        destroy_secret(key_path)  # left by a crash before the upload was known
        ingest, key = PrivateKey.generate(), signing.new_key()
        create_secret(key_path, ingest.raw)
        write_whole(folder / _INGEST_KEY, ingest.public.wrap(upload_id, "ingest", key))
        Incoming.create(folder, upload_id, key).close()

    async def lock(self, upload_id: str) -> Lock:
        """Take the lock, asking its holder to let go. Raises Locked after a few seconds."""
        backend, deadline = self._store.backend, clock.monotonic() + _LOCK_PATIENCE_SECONDS
        while True:
            try:
                lock = backend.lock(upload_id)
            except Busy:
                if clock.monotonic() > deadline:
                    raise Locked from None
                backend.ask_to_let_go(upload_id)
                await asyncio.sleep(0.05)
                continue
            backend.clear_wanted(upload_id)
            return lock

    @asynccontextmanager
    async def writing(self, upload_id: str) -> AsyncIterator[tuple[Upload, Session]]:
        """Hold the lock with the upload as it stands. A fault inside forgets what is in memory: disk is the truth."""
        await self._get_open(upload_id)
        lock = await self.lock(upload_id)
        try:
            upload = await self._get_open(upload_id)
            session = await self.guarded(upload, self.session(upload, lock))
            session.busy = True
            try:
                yield upload, session
            except OSError as problem:
                self.forget(upload_id)
                if problem.errno in _NO_SPACE_ERRNOS:
                    raise NoSpace from None
                raise
            except (WrongOffset, TooLarge, StillArriving):
                raise  # decided before a byte was taken
            except BaseException:
                self.forget(upload_id)
                raise
            finally:
                session.busy, session.used_at = False, clock.monotonic()
        finally:
            lock.release()

    async def session(self, upload: Upload, lock: Lock) -> Session:
        """Return what is kept of an upload, or read it again from disk; hold its lock. Raises Damaged."""
        known = self._known.get(upload.id)
        if known is not None and known.nonce == lock.nonce:
            return known
        self.forget(upload.id)
        incoming = await self._store.run(self._resume, upload)
        session = Session(incoming, signing.new_id(), clock.monotonic())
        lock.sign(session.nonce)
        idle = sorted((s.used_at, i) for i, s in self._known.items() if not s.busy)
        for _, upload_id in idle[: max(0, len(idle) - _MAX_IDLE + 1)]:
            self.forget(upload_id)
        self._known[upload.id] = session
        return session

    def _resume(self, upload: Upload) -> Incoming:
        folder, key = self._store.backend.incoming(upload.id), self.open_key(upload.id)
        return Incoming.resume(folder, upload.id, key, length=upload.length, acknowledged=upload.offset)

    def open_key(self, upload_id: str) -> bytes:
        """Return the key of an open upload. Raises Damaged."""
        try:
            private = self._store.keys.ingest_key(upload_id).read_bytes()
            wrapped = (self._store.backend.incoming(upload_id) / _INGEST_KEY).read_bytes()
            if len(private) != PRIVATE_BYTES:
                raise Damaged("open upload: its ingest key is damaged")
            return PrivateKey(private).unwrap(upload_id, "ingest", wrapped)
        except (OSError, floe.Forged) as problem:
            raise Damaged(f"open upload: its key cannot be opened ({problem})") from None

    def find_offset(self, upload: Upload) -> int:
        """Return the offset up to which an upload that nobody writes is durable. Raises Damaged."""
        folder, key = self._store.backend.incoming(upload.id), self.open_key(upload.id)
        found = find_offset(folder, upload.id, key, length=upload.length, acknowledged=upload.offset)
        if found < upload.offset:
            raise Damaged(f"open upload: only {found} of {upload.offset} acknowledged bytes are sound")
        return found

    async def guarded(self, upload: Upload, work: Awaitable[T]) -> T:
        """Do work on an upload; damage found is noted in the ledger and raised as DamagedHere."""
        try:
            return await work
        except Damaged as problem:
            log.error("upload_damaged", upload=upload.id, problem=str(problem))
            await self._store.record_damage(upload.id, actor="system:store", what=str(problem))
            raise DamagedHere from problem

    async def drop(self, upload_id: str) -> None:
        """Destroy key and bytes of an upload that is closed; hold its lock."""
        self.forget(upload_id)
        await self._store.run(destroy_secret, self._store.keys.ingest_key(upload_id))
        await self._store.run(self._store.backend.drop_incoming, upload_id)

    def forget(self, upload_id: str) -> None:
        """Let go of what is in memory of an upload: what is on disk is what counts then."""
        session = self._known.pop(upload_id, None)
        if session is not None:
            session.incoming.close()

    def forget_idle(self) -> None:
        """Drop from memory what nobody has written for a while."""
        idle_since = clock.monotonic() - _IDLE_SECONDS
        for upload_id in [i for i, s in self._known.items() if not s.busy and s.used_at < idle_since]:
            self.forget(upload_id)
