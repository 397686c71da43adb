"""Uploads by tus, as their senders see them: opened, appended to, given their digest, sealed.

Acknowledged bytes are never lost, everything is bounded. Who may write is `sessions.py`'s, how an upload ends without
becoming an object `endings.py`'s.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from aiohttp import web

from evidence_store import kinds, seals, storage
from evidence_store.errors import (
    ChecksumMismatch,
    Conflict,
    Locked,
    StillArriving,
    StoreError,
    TooLarge,
    TooMany,
    UploadClosed,
    WrongKind,
)
from evidence_store.grants import Grant
from evidence_store.intake.pieces import End
from evidence_store.intake.taking import take
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
from evidence_store.objects import service as objects
from evidence_store.sealing import signing
from evidence_store.sealing.incoming import Incoming
from evidence_store.store import Store
from evidence_store.uploads import tus
from evidence_store.uploads.endings import Endings
from evidence_store.uploads.sessions import Sessions

log = get_logger(__name__)
_CROWDED_SECONDS = 60


class Uploads:
    """The uploads that this process takes part in."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sessions = Sessions(store)
        self._endings = Endings(store, self._sessions)

    async def create(self, grant: Grant, *, length: int, metadata: dict[str, str], told: str = "") -> Upload:
        """Open the upload a grant is for; asked again before the first byte came, return the same one.

        metadata  what the sender says of the file; `told` is the same word for word, as HEAD gives it back
        Raises TooLarge, WrongKind, TooMany; Conflict when the grant was used already.
        """
        store = self._store
        if length > min(grant.max_bytes, store.settings.max_bytes):
            raise TooLarge(f"At most {min(grant.max_bytes, store.settings.max_bytes)} bytes are allowed.")
        filename = metadata.get("filename", "")
        kind = kinds.declared_kind(metadata.get("filetype", ""), filename, grant.kinds)
        given = metadata.get("filetype", "").partition(";")[0].strip().lower()
        now = store.clock()
        arriving = Upload(
            id=grant.upload, incident=grant.incident, reference=grant.reference, officer=grant.officer,
            filename=clean_filename(filename), media_type=given if given in kind.media_types else kind.media_types[0],
            kinds=grant.kinds, length=length, offset=0, sha256=None, state=UploadState.OPEN,
            created_at=now, touched_at=now, completed_at=None, metadata=told, node=store.node,
        )  # fmt: skip
        upload = seals.sealed(store.keys.bearer, arriving)
        store.check_holds(store.node)
        lock = await self._sessions.lock(upload.id)
        try:
            async with store.database.read() as db:
                known = await storage.find_upload(db, upload.id)
                taken = await storage.find_object(db, upload.id)
                open_ones = await storage.count_open_uploads(db)
            if known is not None and not store.is_own(known.node):
                await store.run(store.backend.drop_incoming, upload.id)  # the lock's file alone, as a rule
            if known is not None or taken is not None:
                return _same_upload(known, upload)
            if open_ones >= store.settings.max_open_uploads:
                raise TooMany(retry_after_seconds=_CROWDED_SECONDS)
            await store.run(self._sessions.begin, upload.id)
            async with store.database.begin() as db:
                if is_first := await storage.insert_upload(db, upload):
                    await store.record(
                        db, actor=f"upload:{upload.reference}", action=Action.UPLOAD_OPENED, object_id=upload.id,
                        incident=upload.incident, length=length, media_type=upload.media_type,
                    )  # fmt: skip
            if not is_first:  # another node was asked at the same moment
                await self._sessions.drop(upload.id)
                return _same_upload(await self.get(upload.id), upload)
        finally:
            lock.release()
        return upload

    async def get(self, upload_id: str) -> Upload:
        """Return the upload. Raises NotFound."""
        return await self._sessions.get(upload_id)

    async def terminate(self, upload_id: str) -> None:
        """Give up an unfinished upload at its sender's wish. Raises UploadClosed, Locked, Arrived."""
        await self._endings.terminate(upload_id)

    async def stand(self, upload_id: str) -> Upload:
        """Return the upload with the offset that is durable now, asking a stale writer to let go. Raises Locked."""
        upload = await self._sessions.get(upload_id)
        if upload.state in CLOSED:
            raise UploadClosed
        if upload.state is UploadState.SEALED or upload.offset == upload.length:
            return replace(upload, offset=upload.length)
        self._store.check_holds(upload.node)
        lock = await self._sessions.lock(upload_id)
        try:
            upload = await self._sessions.get(upload_id)
            if upload.state is not UploadState.OPEN:
                return upload
            offset = await self._sessions.guarded(upload, self._store.run(self._sessions.find_offset, upload))
            return await self._advance(upload, offset) if offset > upload.offset else upload
        finally:
            lock.release()

    async def append(
        self,
        upload_id: str,
        *,
        offset: int,
        body_bytes: int | None,
        request: web.Request,
        checksum: tus.Checksum | None = None,
        whole: bool = False,
    ) -> Upload:
        """Take one PATCH. What came in before a broken connection is kept and acknowledged by the next HEAD.

        checksum   what the sender says these bytes come to: all of them are kept, or none
        whole      keep all or none also without a checksum (a creation's bytes: their sender knows no address yet)
        Raises     WrongOffset, TooLarge, UploadClosed, WrongKind, ChecksumMismatch, Locked (also for the writer that
                   was asked to let go)
        """
        async with self._sessions.writing(upload_id) as (upload, session):
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
                    self._store, request, incoming, length=upload.length, exact=True,
                    check_head=heads.append if on_trial else check_head,  # garbled bytes are no reason to refuse a file
                    is_wanted=lambda: self._store.backend.is_wanted(upload_id),
                    on_checkpoint=None if on_trial else on_checkpoint,
                )  # fmt: skip
                kept = not on_trial or await self._end_trial(incoming, end, checksum)
                for head in heads if kept else []:
                    check_head(head)
            except WrongKind as refusal:
                self._sessions.forget(upload_id)
                await self._endings.refuse(upload, refusal)
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
            self._sessions.forget(upload.id)
            return await self._advance(upload, upload.length, sha256=sha256, media_type=media_type)
        offset = await self._store.run(incoming.checkpoint)
        return await self._advance(upload, offset, media_type=media_type)

    async def _advance(
        self, upload: Upload, offset: int, *, sha256: str | None = None, media_type: str | None = None
    ) -> Upload:
        """Write how far an upload is; hold its lock. With `sha256` every byte is there."""
        now = self._store.clock()
        moved = replace(
            upload, offset=offset, sha256=sha256 or upload.sha256, media_type=media_type or upload.media_type,
            touched_at=now, completed_at=upload.completed_at or (now if sha256 else None),
        )  # fmt: skip
        moved = seals.sealed(self._store.keys.bearer, moved)
        async with self._store.database.begin() as db:
            if not await storage.advance_upload(db, moved):
                raise UploadClosed
        return moved

    async def give_digest(self, upload_id: str, sha256: str | None) -> StoredObject:
        """Compare with the sender's digest (None: it gave none) and seal; a difference quarantines, never drops.

        Asked again with the same digest, return the same answer. Raises StillArriving, Conflict.
        """
        upload, is_new = await self._sessions.get(upload_id), False
        if upload.state is UploadState.OPEN:
            self._store.check_holds(upload.node)
            is_new = await self._seal(upload_id, sha256)
        async with self._store.database.read() as db:
            stored = await storage.find_object(db, upload_id)
        if stored is None:
            raise UploadClosed
        stored = await objects.settle(self._store, stored, actor=f"upload:{stored.reference}", is_new=is_new)
        if sha256 is not None and stored.verdict is ObjectState.RECEIVED and stored.sha256 != sha256:
            raise Conflict("The object was sealed with another digest.")
        return stored

    async def _seal(self, upload_id: str, given: str | None) -> bool:
        """Make an upload's row an object's; False when another did."""
        lock = await self._sessions.lock(upload_id)
        try:
            upload = await self._sessions.get(upload_id)
            if upload.state is not UploadState.OPEN:
                return False
            if upload.sha256 is None:  # not complete, or a crash came between the last byte and its row
                incoming = (await self._sessions.guarded(upload, self._sessions.session(upload, lock))).incoming
                if incoming.offset != upload.length:
                    raise StillArriving(f"{incoming.offset} of {upload.length} bytes are here.")
                upload = await self._make_durable(upload, incoming, upload.media_type)
            key = await self._sessions.guarded(upload, self._store.run(self._sessions.open_key, upload_id))
            sealing = self._store.run(objects.seal_key, self._store, upload_id, upload_id, key)
            header_sha256 = await self._sessions.guarded(upload, sealing)
            now = self._store.clock()
            async with self._store.database.begin() as db:
                if not await storage.close_upload(db, upload_id, UploadState.SEALED, now=now):
                    return False
                stored = replace(_sealing(upload, given, now=now), header_sha256=header_sha256)
                return await storage.insert_object(db, seals.sealed(self._store.keys.bearer, stored))
        finally:
            lock.release()

    async def sweep(self) -> None:
        """Seal what waited long enough for its digest, drop what was abandoned and what a crash left; close idle."""
        now, settings = self._store.clock(), self._store.settings
        waited = now - timedelta(minutes=settings.digest_minutes)
        abandoned = now - timedelta(days=settings.abandoned_days)
        async with self._store.database.read() as db:
            due = await storage.list_due_uploads(db, self._store.node, complete_before=waited, idle_before=abandoned)
        for upload in due:
            try:
                if upload.offset == upload.length:
                    await self.give_digest(upload.id, None)
                else:
                    await self._endings.expire(upload)
            except Locked:
                continue
            except (StoreError, OSError) as problem:  # one broken upload must not keep the others
                log.error("upload_not_ended", upload=upload.id, problem=type(problem).__name__)
        self._sessions.forget_idle()
        await self._endings.clear_leftovers()


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
        node=upload.node,
    )
