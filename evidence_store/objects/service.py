"""Sealed objects: taken in one piece, put in their place, found, opened."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from aiohttp import web

from evidence_store import clock, kinds, seals, storage, vouching
from evidence_store.backend import DATA, KEY, Busy, Lock, write_whole
from evidence_store.errors import (
    BadRequest,
    Conflict,
    Damaged,
    DamagedHere,
    DigestMismatch,
    NoOpeningKey,
    TooLarge,
    Unavailable,
)
from evidence_store.intake.pieces import End
from evidence_store.intake.taking import take
from evidence_store.log import get_logger
from evidence_store.media import storage as media_storage
from evidence_store.media.model import can_be_looked_at
from evidence_store.model import ClientDigest, ObjectState, StoredObject
from evidence_store.screening import storage as screening_storage
from evidence_store.sealing import floe, signing
from evidence_store.sealing.files import destroy_secret
from evidence_store.sealing.incoming import Incoming, object_aad
from evidence_store.sealing.reading import SealedObject
from evidence_store.store import Store, description_of, verdict_of
from evidence_store.waiting import refuse
from evidence_store.webhooks.service import announce

log = get_logger(__name__)
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Offer:
    """What a system says about the object it is about to send in one piece."""

    id: str
    incident: str
    kind: str
    media_type: str
    filename: str
    sha256: str
    actor: str
    size_bytes: int | None
    officer: str = ""


async def put(store: Store, offer: Offer, request: web.Request) -> tuple[StoredObject, bool]:
    """Take, seal and keep an object; return it and whether it is new. Durable when this returns.

    The same id with the same digest is the same object, however often it is sent. Raises Conflict when the id stands
    for other bytes, DigestMismatch, WrongKind, TooLarge; then nothing is stored.
    """
    store.check_holds(store.node)
    declared = kinds.declared_kind(offer.media_type, "", kinds.CODES)
    known = await _find_same(store, offer)
    if known is not None:
        return known, False
    if offer.size_bytes is not None and offer.size_bytes > store.settings.max_bytes:
        raise TooLarge(f"At most {store.settings.max_bytes} bytes are allowed.")
    name = f"put-{signing.new_id()}"
    async with _staged(store, name):
        taken = await _take_in(store, offer, request, name, declared.media_types[0])
        stored = seals.sealed(store.keys.bearer, taken)
        async with store.database.begin() as db:
            won = await storage.insert_object(db, stored)
        if won:
            return await settle(store, stored, actor=offer.actor, is_new=True), True
    known = await _find_same(store, offer)
    if known is None:
        raise Unavailable
    return known, False


async def _take_in(store: Store, offer: Offer, request: web.Request, name: str, media_type: str) -> StoredObject:
    """Take an object's bytes into the folder `name` under incoming/, its wrapped key beside them; all of it flushed."""

    def check_head(head: bytes) -> None:
        nonlocal media_type
        media_type = kinds.recognise(head, media_type, kinds.CODES)

    key = signing.new_key()
    incoming = await store.run(_create, store, name, offer.id, key)
    try:
        end = await take(store, request, incoming, length=store.settings.max_bytes, exact=False, check_head=check_head)
        if end is End.BEYOND:
            raise TooLarge(f"At most {store.settings.max_bytes} bytes are allowed.")
        if end is not End.DONE or offer.size_bytes not in {None, incoming.offset}:
            raise BadRequest(f"The body was not complete: {end.value}.")
        sha256, size_bytes = await store.run(incoming.finish), incoming.offset
    finally:
        await store.run(incoming.close)
    if sha256 != offer.sha256:
        raise DigestMismatch
    header_sha256 = await store.run(seal_key, store, name, offer.id, key)
    return StoredObject(
        id=offer.id, incident=offer.incident, kind=offer.kind, media_type=media_type, filename=offer.filename,
        reference=offer.actor[:64], officer=offer.officer, size_bytes=size_bytes,
        sha256=sha256, client_digest=ClientDigest.EQUAL,
        state=ObjectState.SEALING, verdict=ObjectState.RECEIVED, source="put", staging=name, sequence=None,
        received_at=store.clock(), sealed_at=None, header_sha256=header_sha256, node=store.node,
    )  # fmt: skip


async def _find_same(store: Store, offer: Offer) -> StoredObject | None:
    async with store.database.read() as db:
        known = await storage.find_object(db, offer.id)
        if known is None and await storage.find_upload(db, offer.id) is not None:
            raise Conflict("This id belongs to an upload.")
    if known is None:
        return None
    if known.sha256 != offer.sha256 or known.incident != offer.incident:
        raise Conflict("This id stands for another object.")
    return await settle(store, known, actor=offer.actor)


@asynccontextmanager
async def _staged(store: Store, name: str) -> AsyncIterator[None]:
    """Hold the lock of a folder under incoming/, so that no sweeper takes it for a leftover; clear it afterwards."""
    lock: Lock = await store.run(store.backend.lock, name)
    try:
        yield
    finally:
        try:
            async with store.database.read() as db:
                needed = name in await storage.list_stagings(db)
            if not needed:
                await store.run(store.backend.drop_incoming, name)
        finally:  # whatever the database says: else no sweeper of this process ever clears it
            lock.release()


def _create(store: Store, name: str, object_id: str, key: bytes) -> Incoming:
    return Incoming.create(store.backend.create_incoming(name), object_id, key)


def seal_key(store: Store, name: str, object_id: str, key: bytes) -> str:
    """Lay the key, wrapped to the sealing key, beside the object's bytes; flushed. Return the header's SHA-256.

    The header is bound to this very key, and whoever can write files can neither learn it nor make another that fits;
    but with the public sealing key they could seal other bytes under a key of their own. Raises Damaged.
    """
    folder = store.backend.incoming(name) / "object"
    with (folder / DATA).open("rb") as file:
        header = file.read(floe.HEADER_BYTES)
    try:
        floe.start_decryption(key, object_aad(object_id), header)
    except floe.Forged as problem:
        raise Damaged(f"object {object_id}: {problem}") from None
    write_whole(folder / KEY, store.keys.sealing.wrap(object_id, "sealed", key))
    return signing.sha256_hex(header)


async def settle(
    store: Store, stored: StoredObject, *, actor: str, waits: bool = True, is_new: bool = False
) -> StoredObject:
    """Put a durable object in its place and in the ledger, tell the web server, destroy the ingest key.

    Each step may have been done before a crash, or by another process; doing it twice is harmless. While somebody else
    is at it this waits, and raises Unavailable in the end; or comes back at once, with the object as it was. Raises
    Elsewhere when its bytes lie on another node, DamagedHere when its row is not as this store wrote it, or was put
    back, seal and all, after the ledger had its line.

    is_new   the caller wrote its row just now
    """
    if stored.state is not ObjectState.SEALING:
        return stored
    store.check_holds(stored.node)
    if not await _is_ours(store, stored, is_new=is_new):
        await refuse(store, stored)
        raise DamagedHere
    until = clock.monotonic() + (_PATIENCE_SECONDS if waits else 0)
    while True:
        try:
            lock = store.backend.lock(stored.id)
            break
        except Busy:
            if not waits:
                return stored
            if clock.monotonic() > until:
                raise Unavailable("The object is on its way to its place.") from None
        await asyncio.sleep(0.05)
    try:
        return await _settle(store, stored, actor=actor)
    finally:
        lock.finish()


async def _is_ours(store: Store, stored: StoredObject, *, is_new: bool) -> bool:
    if is_new:
        return seals.is_own(store.keys.bearer, stored)
    async with store.database.read() as db:
        return await vouching.is_awaited(db, store, stored)


async def _settle(store: Store, stored: StoredObject, *, actor: str) -> StoredObject:
    try:
        await store.send(store.backend.publish, stored.staging, stored.id)
    except (FileNotFoundError, FileExistsError) as problem:
        async with store.database.read() as db:
            current = await storage.find_object(db, stored.id)
        if current is not None and current.state is not ObjectState.SEALING:
            return current
        raise Damaged(f"object {stored.id} cannot be put in its place ({type(problem).__name__})") from None
    async with store.database.begin() as db:
        screened = bool(store.settings.clamd)
        waits = screened and stored.verdict is ObjectState.RECEIVED
        state = ObjectState.SCREENING if waits else stored.verdict
        if await storage.claim_sealed(db, stored, state, now=store.clock()):
            if screened:
                await screening_storage.enqueue(db, stored.id, now=store.clock())
            if can_be_looked_at(stored.media_type):
                await media_storage.enqueue(db, stored.id, now=store.clock())
            sequence = await store.record(
                db,
                actor=actor,
                action=verdict_of(stored),
                object_id=stored.id,
                digest=stored.sha256,
                **description_of(stored),
            )
            await storage.set_sequence(db, stored.id, sequence)
            await store.tell(db, verdict_of(stored), stored.id, stored.incident)
            await announce(
                store, db, verdict_of(stored), sequence=sequence, object_id=stored.id, incident=stored.incident,
                digest=stored.sha256,
            )  # fmt: skip
        current = await storage.find_object(db, stored.id)
    store.news.set()
    await store.run(destroy_secret, store.keys.ingest_key(stored.id))
    await store.run(store.backend.drop_incoming, stored.staging)
    return current or replace(stored, state=stored.verdict)


@asynccontextmanager
async def opened(store: Store, stored: StoredObject, *, actor: str) -> AsyncIterator[SealedObject]:
    """Open an object for reading. Raises NoOpeningKey; DamagedHere (and says so in the ledger) when it was touched."""
    if store.keys.opening is None:
        raise NoOpeningKey
    header_sha256 = await find_header(store, stored, actor=actor)
    try:
        sealed = await store.run(
            SealedObject,
            store.backend,
            stored.id,
            store.keys.opening,
            size_bytes=stored.size_bytes,
            header_sha256=header_sha256,
        )
    except Damaged as problem:
        await record_damage(store, stored, actor=actor, what=str(problem))
        raise DamagedHere from problem
    try:
        yield sealed
    finally:
        with contextlib.suppress(OSError):
            sealed.close()


async def find_header(store: Store, stored: StoredObject, *, actor: str) -> str:
    """Return the digest of an object's header, by the ledger; it may know none of what an earlier version sealed.

    Raises DamagedHere (and says so in the ledger) where the signed ledger does not say of it what its row says.
    """
    try:
        return await vouching.find_header(store, stored)
    except Damaged as problem:
        await vouching.tell(store, {stored.id: str(problem)}, actor=actor)
        raise DamagedHere from problem


async def is_still_there(store: Store, stored: StoredObject) -> bool:
    """Say whether an object should have files now: it may have been disposed of since its row was read."""
    async with store.database.read() as db:
        now = await storage.find_object(db, stored.id)
    return now is not None and now.state not in {ObjectState.DISPOSING, ObjectState.DISPOSED}


async def record_damage(store: Store, stored: StoredObject, *, actor: str, what: str) -> None:
    """Note in the ledger that an object is not what was written."""
    await store.record_damage(stored.id, actor=actor, what=what, digest=stored.sha256)
