"""Uploads by tus: one writer at a time, acknowledged bytes never lost, everything bounded.

The lock is a flock, so it holds across the processes of one machine and dies with its holder. Who wants it leaves a
mark; the holder looks every quarter of a second, makes durable what it has and lets go. The lock file keeps the last
writer's nonce: an upload kept in memory between two requests goes on only when nobody else wrote in between.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from aiohttp import StreamReader

from evidence_store import clock, kinds, objects, storage, tus
from evidence_store.backend import Busy, Lock, write_whole
from evidence_store.errors import (
    Arrived,
    ChecksumMismatch,
    Conflict,
    Damaged,
    DamagedHere,
    Locked,
    NoSpace,
    NotFound,
    StillArriving,
    TooLarge,
    TooMany,
    UploadClosed,
    WrongKind,
    WrongOffset,
)
from evidence_store.grants import Grant
from evidence_store.intake import End, take
from evidence_store.log import get_logger
from evidence_store.model import (
    CLOSED,
    Action,
    ClientDigest,
    ObjectState,
    StoredObject,
    Upload,
    UploadState,
    clean_filename,
)
from evidence_store.sealing import floe, signing
from evidence_store.sealing.files import create_secret, destroy_secret
from evidence_store.sealing.incoming import Incoming, find_offset
from evidence_store.sealing.wrapping import PRIVATE_BYTES, PrivateKey
from evidence_store.store import Store

log = get_logger(__name__)
T = TypeVar("T")

_LOCK_PATIENCE_SECONDS = 5.0
_IDLE_SESSION_SECONDS = 120.0
_MAX_IDLE_SESSIONS = 64
_INGEST_KEY = "ingest.json"
_CROWDED_SECONDS = 60
_NO_SPACE_ERRNOS = {28, 122}  # ENOSPC, EDQUOT


@dataclass
class _Session:
    """An upload kept in memory between requests: its running hash and cipher, and the nonce it signed with."""

    incoming: Incoming
    nonce: str
    used_at: float
    busy: bool = False


class Uploads:
    """The uploads that this process takes part in."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sessions: dict[str, _Session] = {}

    async def create(self, grant: Grant, *, length: int, metadata: dict[str, str]) -> Upload:
        """Open the upload a grant is for; asked again before the first byte came, return the same one.

        Raises TooLarge, WrongKind, TooMany; Conflict when the grant was used already.
        """
        store = self._store
        if length > min(grant.max_bytes, store.settings.max_bytes):
            raise TooLarge(f"At most {min(grant.max_bytes, store.settings.max_bytes)} bytes are allowed.")
        filename = metadata.get("filename", "")
        kind = kinds.declared_kind(metadata.get("filetype", ""), filename, grant.kinds)
        given = metadata.get("filetype", "").partition(";")[0].strip().lower()
        now = store.clock()
        upload = Upload(
            id=grant.upload, incident=grant.incident, reference=grant.reference, officer=grant.officer,
            filename=clean_filename(filename), media_type=given if given in kind.media_types else kind.media_types[0],
            kinds=grant.kinds, length=length, offset=0, sha256=None, state=UploadState.OPEN,
            created_at=now, touched_at=now, completed_at=None,
        )  # fmt: skip
        lock = await self._lock(upload.id)
        try:
            async with store.database.read() as db:
                known = await storage.find_upload(db, upload.id)
                taken = await storage.find_object(db, upload.id)
                open_ones = await storage.count_open_uploads(db)
            if known is not None or taken is not None:
                return _same_upload(known, upload)
            if open_ones >= store.settings.max_open_uploads:
                raise TooMany(retry_after_seconds=_CROWDED_SECONDS)
            await store.run(self._begin, upload.id)
            async with store.database.begin() as db:
                await storage.insert_upload(db, upload)
                await store.record(
                    db, actor=f"upload:{upload.reference}", action=Action.UPLOAD_OPENED, object_id=upload.id,
                    incident=upload.incident, length=length, media_type=upload.media_type,
                )  # fmt: skip
        finally:
            lock.release()
        return upload

    def _begin(self, upload_id: str) -> None:
        """Lay folder, key and header, flushed, before the upload is known to anybody."""
        store = self._store
        folder = store.backend.create_incoming(upload_id)
        key_path = store.keys.ingest / f"{upload_id}.key"
        destroy_secret(key_path)  # left by a crash before the upload was known
        ingest, key = PrivateKey.generate(), signing.new_key()
        create_secret(key_path, ingest.raw)
        write_whole(folder / _INGEST_KEY, ingest.public.wrap(upload_id, "ingest", key))
        Incoming.create(folder, upload_id, key).close()

    async def get(self, upload_id: str) -> Upload:
        """Return the upload. Raises NotFound."""
        async with self._store.database.read() as db:
            upload = await storage.find_upload(db, upload_id)
        if upload is None:
            raise NotFound
        return upload

    async def stand(self, upload_id: str) -> Upload:
        """Return the upload with the offset that is durable now, asking a stale writer to let go. Raises Locked."""
        upload = await self.get(upload_id)
        if upload.state in CLOSED:
            raise UploadClosed
        if upload.state is UploadState.SEALED or upload.offset == upload.length:
            return replace(upload, offset=upload.length)
        lock = await self._lock(upload_id)
        try:
            upload = await self.get(upload_id)
            if upload.state is not UploadState.OPEN:
                return upload
            offset = await self._guarded(upload, self._store.run(self._find_offset, upload))
            return await self._advance(upload, offset) if offset > upload.offset else upload
        finally:
            lock.release()

    def _find_offset(self, upload: Upload) -> int:
        folder, key = self._store.backend.incoming(upload.id), self._open_key(upload.id)
        found = find_offset(folder, upload.id, key, length=upload.length, acknowledged=upload.offset)
        if found < upload.offset:
            raise Damaged(f"open upload: only {found} of {upload.offset} acknowledged bytes are sound")
        return found

    async def append(
        self,
        upload_id: str,
        *,
        offset: int,
        body_bytes: int | None,
        stream: StreamReader,
        checksum: tus.Checksum | None = None,
        whole: bool = False,
    ) -> Upload:
        """Take one PATCH. What came in before a broken connection is kept and acknowledged by the next HEAD.

        checksum   what the sender says these bytes come to: all of them are kept, or none
        whole      keep all or none also without a checksum (a creation's bytes: their sender knows no address yet)
        Raises     WrongOffset, TooLarge, UploadClosed, WrongKind, ChecksumMismatch, Locked (also for the writer that
                   was asked to let go)
        """
        async with self._writing(upload_id) as (upload, session):
            incoming = session.incoming
            tus.check_patch(upload, offset=offset, stands_at=incoming.offset, body_bytes=body_bytes)
            on_trial = (whole or checksum is not None) and not incoming.finished
            media_type, heads = upload.media_type, list[bytes]()

            def check_head(head: bytes) -> None:
                nonlocal media_type
                media_type = kinds.recognise(head, upload.media_type, upload.kinds)

            async def on_checkpoint(durable: int) -> None:
                await self._advance(upload, durable, media_type=media_type)

            try:
                if on_trial:
                    await self._store.run(incoming.start_trial, checksum.algorithm if checksum is not None else None)
                end = await take(
                    self._store, stream, incoming, length=upload.length, exact=True,
                    check_head=heads.append if on_trial else check_head,  # garbled bytes are no reason to refuse a file
                    is_wanted=lambda: self._store.backend.is_wanted(upload_id),
                    on_checkpoint=None if on_trial else on_checkpoint,
                )  # fmt: skip
                kept = not on_trial or await self._end_trial(incoming, end, checksum)
                for head in heads if kept else []:
                    check_head(head)
            except WrongKind as refusal:
                self._forget(upload_id)
                await self._refuse(upload, refusal)
                raise
            if kept:
                upload = await self._make_durable(upload, incoming, media_type)
        if end is End.BEYOND:
            raise TooLarge(f"The upload was announced with {upload.length} bytes.")
        if end is End.WANTED:
            raise Locked
        if checksum is not None and not kept:
            raise ChecksumMismatch
        return upload

    async def _end_trial(self, incoming: Incoming, end: End, checksum: tus.Checksum | None) -> bool:
        expected = checksum.digest if checksum is not None else b""
        return await self._store.run(incoming.end_trial, whole=end is End.DONE, expected=expected)

    async def _make_durable(self, upload: Upload, incoming: Incoming, media_type: str) -> Upload:
        if incoming.offset == upload.length:
            sha256 = await self._store.run(incoming.finish)
            self._forget(upload.id)
            return await self._advance(upload, upload.length, sha256=sha256, media_type=media_type)
        offset = await self._store.run(incoming.checkpoint)
        return await self._advance(upload, offset, media_type=media_type)

    async def _advance(
        self, upload: Upload, offset: int, *, sha256: str | None = None, media_type: str | None = None
    ) -> Upload:
        now = self._store.clock()
        async with self._store.database.begin() as db:
            await storage.advance_upload(db, upload.id, offset=offset, sha256=sha256, media_type=media_type, now=now)
        return replace(
            upload, offset=offset, sha256=sha256 or upload.sha256, media_type=media_type or upload.media_type,
            touched_at=now,
        )  # fmt: skip

    async def terminate(self, upload_id: str) -> None:
        """Give up an upload at its sender's wish, asking a running writer to let go; its bytes and key are destroyed.

        Raises UploadClosed, Locked; Arrived when every byte is there: from then on only a disposal removes it.
        """
        if (await self.get(upload_id)).state in CLOSED:
            raise UploadClosed
        lock = await self._lock(upload_id)
        try:
            upload = await self.get(upload_id)
            if upload.state is UploadState.SEALED or upload.offset == upload.length:
                raise Arrived
            if not await self._end(
                upload, UploadState.TERMINATED, Action.UPLOAD_TERMINATED, f"upload:{upload.reference}"
            ):
                raise UploadClosed
        finally:
            lock.release()

    async def give_digest(self, upload_id: str, sha256: str | None) -> StoredObject:
        """Compare with the sender's digest (None: it gave none) and seal; a difference quarantines, never drops.

        Asked again with the same digest, return the same answer. Raises StillArriving, Conflict.
        """
        upload = await self.get(upload_id)
        if upload.state is UploadState.OPEN:
            await self._seal(upload_id, sha256)
        async with self._store.database.read() as db:
            stored = await storage.find_object(db, upload_id)
        if stored is None:
            raise UploadClosed
        stored = await objects.settle(self._store, stored, actor=f"upload:{upload.reference}")
        if sha256 is not None and stored.verdict is ObjectState.RECEIVED and stored.sha256 != sha256:
            raise Conflict("The object was sealed with another digest.")
        return stored

    async def _seal(self, upload_id: str, given: str | None) -> None:
        lock = await self._lock(upload_id)
        try:
            upload = await self.get(upload_id)
            if upload.state is not UploadState.OPEN:
                return
            if upload.sha256 is None:  # not complete, or a crash came between the last byte and its row
                incoming = (await self._guarded(upload, self._session(upload, lock))).incoming
                if incoming.offset != upload.length:
                    raise StillArriving(f"{incoming.offset} of {upload.length} bytes are here.")
                upload = await self._make_durable(upload, incoming, upload.media_type)
            key = await self._guarded(upload, self._store.run(self._open_key, upload_id))
            await self._store.run(objects.seal_key, self._store, upload_id, upload_id, key)
            now = self._store.clock()
            async with self._store.database.begin() as db:
                if await storage.close_upload(db, upload_id, UploadState.SEALED, now=now):
                    await storage.insert_object(db, _sealing(upload, given, now=now))
        finally:
            lock.release()

    async def sweep(self) -> None:
        """Seal what waited long enough for its digest, drop what was abandoned and what a crash left; close idle."""
        now, settings = self._store.clock(), self._store.settings
        waited = now - timedelta(minutes=settings.digest_minutes)
        abandoned = now - timedelta(days=settings.abandoned_days)
        async with self._store.database.read() as db:
            due = await storage.list_due_uploads(db, complete_before=waited, idle_before=abandoned)
        for upload in due:
            with contextlib.suppress(Locked):
                if upload.offset == upload.length:
                    await self.give_digest(upload.id, None)
                else:
                    await self._expire(upload)
        idle_since = clock.monotonic() - _IDLE_SESSION_SECONDS
        for upload_id in [i for i, s in self._sessions.items() if not s.busy and s.used_at < idle_since]:
            self._forget(upload_id)
        await self._clear_leftovers()

    async def _expire(self, upload: Upload) -> None:
        lock = await self._lock(upload.id)
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
        await self._drop(upload.id)
        return True

    async def _refuse(self, upload: Upload, refusal: WrongKind) -> None:
        async with self._store.database.begin() as db:
            if await storage.close_upload(db, upload.id, UploadState.REFUSED, now=self._store.clock()):
                await self._store.record(
                    db, actor=f"upload:{upload.reference}", action=Action.REFUSED, object_id=upload.id,
                    incident=upload.incident, why=refusal.code, declared=upload.media_type,
                )  # fmt: skip
                await self._store.tell(db, "refused", upload.id, upload.incident)
        self._store.news.set()
        await self._drop(upload.id)

    async def _drop(self, upload_id: str) -> None:
        self._forget(upload_id)
        await self._store.run(destroy_secret, self._store.keys.ingest / f"{upload_id}.key")
        await self._store.run(self._store.backend.drop_incoming, upload_id)

    async def _clear_leftovers(self) -> None:
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
                    known = await storage.list_uploads_in(db, [name])
                    needed = known.get(name) is UploadState.OPEN or name in await storage.list_stagings(db)
                if not needed:
                    await self._drop(name)
            finally:
                lock.release()

    # --- one writer

    @asynccontextmanager
    async def _writing(self, upload_id: str) -> AsyncIterator[tuple[Upload, _Session]]:
        """Hold the lock with the upload as it stands. A fault inside forgets what is in memory: disk is the truth."""
        upload = await self.get(upload_id)
        if upload.state is not UploadState.OPEN:
            raise UploadClosed
        lock = await self._lock(upload_id)
        try:
            upload = await self.get(upload_id)
            if upload.state is not UploadState.OPEN:
                raise UploadClosed
            session = await self._guarded(upload, self._session(upload, lock))
            session.busy = True
            try:
                yield upload, session
            except OSError as problem:
                self._forget(upload_id)
                if problem.errno in _NO_SPACE_ERRNOS:
                    raise NoSpace from None
                raise
            except (WrongOffset, TooLarge, StillArriving):
                raise  # decided before a byte was taken
            except BaseException:
                self._forget(upload_id)
                raise
            finally:
                session.busy, session.used_at = False, clock.monotonic()
        finally:
            lock.release()

    async def _session(self, upload: Upload, lock: Lock) -> _Session:
        known = self._sessions.get(upload.id)
        if known is not None and known.nonce == lock.nonce:
            return known
        self._forget(upload.id)
        incoming = await self._store.run(self._resume, upload)
        session = _Session(incoming, signing.new_id(), clock.monotonic())
        lock.sign(session.nonce)
        idle = sorted((s.used_at, i) for i, s in self._sessions.items() if not s.busy)
        for _, upload_id in idle[: max(0, len(idle) - _MAX_IDLE_SESSIONS + 1)]:
            self._forget(upload_id)
        self._sessions[upload.id] = session
        return session

    def _resume(self, upload: Upload) -> Incoming:
        folder, key = self._store.backend.incoming(upload.id), self._open_key(upload.id)
        return Incoming.resume(folder, upload.id, key, length=upload.length, acknowledged=upload.offset)

    def _open_key(self, upload_id: str) -> bytes:
        try:
            private = (self._store.keys.ingest / f"{upload_id}.key").read_bytes()
            wrapped = (self._store.backend.incoming(upload_id) / _INGEST_KEY).read_bytes()
            if len(private) != PRIVATE_BYTES:
                raise Damaged("open upload: its ingest key is damaged")
            return PrivateKey(private).unwrap(upload_id, "ingest", wrapped)
        except (OSError, floe.Forged) as problem:
            raise Damaged(f"open upload: its key cannot be opened ({problem})") from None

    async def _guarded(self, upload: Upload, work: Awaitable[T]) -> T:
        try:
            return await work
        except Damaged as problem:
            log.error("upload_damaged", upload=upload.id, problem=str(problem))
            async with self._store.database.begin() as db:
                await self._store.record(
                    db, actor="system:store", action=Action.DAMAGED, object_id=upload.id, what=str(problem)
                )
            raise DamagedHere from problem

    async def _lock(self, upload_id: str) -> Lock:
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

    def _forget(self, upload_id: str) -> None:
        session = self._sessions.pop(upload_id, None)
        if session is not None:
            session.incoming.close()


def _same_upload(known: Upload | None, asked: Upload) -> Upload:
    same = known is not None and (known.incident, known.length) == (asked.incident, asked.length)
    if known is None or not same or known.offset > 0 or known.state is not UploadState.OPEN:
        raise Conflict("This grant was used already. Ask for a new one.")
    return known


def _sealing(upload: Upload, given: str | None, *, now: datetime) -> StoredObject:
    """Return the object that a complete upload becomes; a sender's digest that differs sends it to quarantine."""
    sha256 = upload.sha256 or ""
    client_digest, verdict = ClientDigest.NOT_GIVEN, ObjectState.RECEIVED
    if given is not None:
        client_digest = ClientDigest.EQUAL if signing.same(given, sha256) else ClientDigest.DIFFERENT
    if client_digest is ClientDigest.DIFFERENT:
        verdict = ObjectState.QUARANTINED
    return StoredObject(
        id=upload.id,
        incident=upload.incident,
        kind="upload",
        media_type=upload.media_type,
        filename=upload.filename,
        reference=upload.reference,
        officer=upload.officer,
        size_bytes=upload.length,
        sha256=sha256,
        client_digest=client_digest,
        state=ObjectState.SEALING,
        verdict=verdict,
        source="upload",
        staging=upload.id,
        sequence=None,
        received_at=upload.completed_at or now,
        sealed_at=None,
    )
