"""Making a court package: choose, say so in the ledger, prove, print, and give out the originals piece by piece.

That an exhibit is given out is a line of the ledger before the first byte leaves, and stands in the package itself
(`shared`). When the last byte has gone a second line says so, with the manifest's digest (`exported`): what was cut
short has only the first.
"""

import zlib
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NoReturn

from evidence_store import ledger, storage, vouching
from evidence_store.court.manifest import (
    MANIFEST,
    SIGNATURE,
    Earlier,
    File,
    Order,
    exhibit_path,
    render_manifest,
    sign_manifest,
)
from evidence_store.court.printing import print_trails
from evidence_store.court.trail import Trail, read_trail
from evidence_store.court.words import say_actor, say_time
from evidence_store.custody.service import acting
from evidence_store.database import Connection
from evidence_store.errors import (
    BadRequest,
    Damaged,
    DamagedHere,
    Disposed,
    NoOpeningKey,
    NotFound,
    NotScreened,
    OtherIncident,
    Quarantined,
)
from evidence_store.mirrors.service import states_of
from evidence_store.model import Action, ObjectState, StoredObject
from evidence_store.objects import service as objects
from evidence_store.screening.clamd import Verdict
from evidence_store.sealing import signing
from evidence_store.sealing.reading import SealedObject
from evidence_store.store import Store

MOST_EXHIBITS = 500
MOST_CHECKPOINTS = 20
_HERE = Path(__file__).parent
_VERIFIER = "verify.py"


@dataclass(frozen=True)
class Member:
    """One file of a package: small ones as they are, an exhibit by its object."""

    path: str
    size_bytes: int
    data: bytes = b""
    stored: StoredObject | None = None


@dataclass(frozen=True)
class Package:
    """What is to be given out, in order; `manifest` is the manifest's SHA-256."""

    order: Order
    members: list[Member]
    manifest: str

    @property
    def exhibits(self) -> list[StoredObject]:
        """Return the objects that are given out."""
        return [member.stored for member in self.members if member.stored is not None]


@dataclass(frozen=True)
class Choice:
    """What is wanted: ids in order, whose incidents may be seen, and whether quarantined ones too are meant."""

    ids: Sequence[str]
    sees: Callable[[str], bool]
    quarantined: bool


async def prepare_package(store: Store, order: Order, wanted: Choice, checkpoints: Sequence[str] = ()) -> Package:
    """Say in the ledger that these objects are given out, and return the package.

    checkpoints  signed notes that whoever receives it holds, so that the package can be held against them
    Raises NotFound, Disposed, NotScreened, Quarantined, NoOpeningKey, DamagedHere, BadRequest; then nothing was said
    of them (but of damage)
    """
    if store.keys.opening is None:
        raise NoOpeningKey
    kept = {open_kept(store, note): note for note in checkpoints}
    async with acting(store) as db:  # nothing is disposed of between the look and the line
        chosen = await _choose(db, wanted)
        faults = await vouching.find_faults(db, store, chosen)
        head = None if faults else await _record(store, db, order, chosen, kept)
    if head is None:
        await _refuse(store, chosen, faults, actor=order.actor)
    mirrored = {state.size for state in (await states_of(store)).values() if state is not None}
    async with store.database.read() as db:
        trails = [await read_trail(db, stored, head=head, vouched=True) for stored in chosen]
        earlier = await _earlier(db, chosen, kept, mirrored, head)
    return await store.run(_put_together, store, order, trails, earlier)


async def _refuse(store: Store, chosen: Sequence[StoredObject], faults: Mapping[str, str], *, actor: str) -> NoReturn:
    """Tell which exhibits the ledger does not vouch for: nothing that is signed here says what their rows say."""
    await vouching.tell(store, faults, actor=actor)
    first = next(one.id for one in chosen if one.id in faults)
    raise DamagedHere(f"What stands here of object {first} is not what the ledger recorded when it came.")


async def _choose(db: Connection, wanted: Choice) -> list[StoredObject]:
    chosen = []
    for object_id in wanted.ids:
        stored = await storage.find_object(db, object_id)
        if stored is None or stored.state is ObjectState.SEALING:
            raise NotFound(f"There is no sealed object {object_id}.")
        if not wanted.sees(stored.incident):
            raise OtherIncident(f"There is no sealed object {object_id}.", about=object_id)
        if stored.state in {ObjectState.DISPOSING, ObjectState.DISPOSED}:
            raise Disposed(f"Object {object_id} was disposed of.", about=object_id)
        if stored.state is ObjectState.SCREENING and not wanted.quarantined:
            raise NotScreened(
                f"Object {object_id} is being screened for malware. Try again in a moment.", about=object_id
            )
        if stored.state is ObjectState.QUARANTINED and not wanted.quarantined:
            raise Quarantined(
                f"Object {object_id} is in quarantine: say that it is wanted all the same.", about=object_id
            )
        chosen.append(stored)
    return chosen


def open_kept(store: Store, note: str) -> int:
    """Return the size that a checkpoint of this ledger, kept elsewhere, is of. Raises BadRequest when it is none."""
    try:
        return store.keys.ledger.public.open(note).size
    except signing.NotGenuine:
        raise BadRequest("A checkpoint was not signed by this ledger's key, or was changed.") from None


async def _record(
    store: Store, db: Connection, order: Order, chosen: Sequence[StoredObject], kept: Collection[int]
) -> ledger.Head:
    """Write one line for each object; return the head, whose checkpoint is kept for good."""
    before = await ledger.read_head(db)
    if any(size > before.size for size in kept):
        raise BadRequest("A checkpoint knows of more lines than the ledger has: run 'evidence-store verify'.")
    said = {"package": order.package, "recipient": order.recipient}
    drafts = [
        ledger.Draft(order.made_at, order.actor, Action.SHARED, one.id, one.sha256, order.reason, said)
        for one in chosen
    ]
    await ledger.append(db, store.keys.ledger, drafts)
    await ledger.keep_checkpoint(db, store.keys.ledger)
    return await ledger.read_head(db)


async def _earlier(
    db: Connection, chosen: Sequence[StoredObject], kept: dict[int, str], mirrored: set[int], head: ledger.Head
) -> list[Earlier]:
    """Return earlier states of the ledger that others may hold: those named, the mirrors', and each object's first."""
    notes: dict[int, str | None] = dict.fromkeys(mirrored)
    for stored in chosen:
        notes |= await ledger.list_checkpoints(db, after=(stored.sequence or 0) - 1, limit=1)
    notes |= kept
    sizes = [size for size in sorted(notes) if 0 < size < head.size]
    return [Earlier(one, notes[one], (await ledger.prove_consistency(db, one, head.size)).path) for one in sizes]


def _put_together(store: Store, order: Order, trails: list[Trail], earlier: list[Earlier]) -> Package:
    """Return the package; blocking."""
    key = store.keys.ledger
    exhibits = [
        Member(exhibit_path(number, trail), trail.stored.size_bytes, stored=trail.stored)
        for number, trail in enumerate(trails, start=1)
    ]
    audit = print_trails(trails, key.public, at=order.made_at, package=order.package)
    small = [
        Member(name, len(data), data)
        for name, data in (
            ("README.txt", _read_me(order, trails, exhibits)), (_VERIFIER, _verifier()), ("audit.pdf", audit),
        )
    ]  # fmt: skip
    files = [File(one.path, one.size_bytes, one.stored.sha256) for one in exhibits if one.stored is not None]
    files += [File(one.path, one.size_bytes, signing.sha256_hex(one.data)) for one in small]
    manifest = render_manifest(order, key.public, trails, earlier, files)
    signature = sign_manifest(key, order, manifest)
    signed = [Member(MANIFEST, len(manifest), manifest), Member(SIGNATURE, len(signature), signature)]
    return Package(order, [*small, *signed, *exhibits], signing.sha256_hex(manifest))


@cache
def _verifier() -> bytes:
    return (_HERE / _VERIFIER).read_bytes()


def _read_me(order: Order, trails: Sequence[Trail], exhibits: Sequence[Member]) -> bytes:
    """Return the page for a court user. What people wrote is put on one line each."""
    made, made_utc = say_time(order.made_at)
    told = [
        f"  {trail.label.mark if trail.label else 'no mark':10}  {member.path}  ({member.size_bytes:,} bytes)"
        + _caution(trail)
        for trail, member in zip(trails, exhibits, strict=True)
    ]
    text = (_HERE / "package.txt").read_text(encoding="utf-8").format(
        package=order.package, made=made, made_utc=made_utc, made_by=_one_line(" ".join(say_actor(order.actor))),
        recipient=_one_line(order.recipient), reason=_one_line(order.reason),
        count="one exhibit" if len(trails) == 1 else f"{len(trails)} exhibits", exhibits="\n".join(told),
        verifier=signing.sha256_hex(_verifier()),
    )  # fmt: skip
    return text.replace("\n", "\r\n").encode()  # as every editor on every system shows it


def _caution(trail: Trail) -> str:
    """Return what whoever opens an exhibit must know before: that its last screening found malware in it."""
    screened = [line.entry.details for line in trail.lines if line.entry.action == Action.SCREENED]
    if not screened or screened[-1].get("verdict") != Verdict.INFECTED.value:
        return ""
    found = _one_line(str(screened[-1].get("reason", "")))
    said = (f"MALWARE WAS FOUND IN IT: {found}", "Open it only on a machine that is meant for that.")
    return "".join(f"\n              {line}" for line in said)


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


async def finish_package(store: Store, package: Package) -> None:
    """Say in the ledger that all of it was given out."""
    order, said = package.order, {"package": package.order.package, "manifest": package.manifest}
    now = store.clock()
    drafts = [
        ledger.Draft(now, order.actor, Action.EXPORTED, one.id, one.sha256, order.reason, said)
        for one in package.exhibits
    ]
    async with store.database.begin() as db:
        await ledger.append(db, store.keys.ledger, drafts)


# --- contents


class Contents:
    """The bytes of one member, which may be gone through more than once; never wrong ones."""

    def __init__(self, store: Store, member: Member, sealed: SealedObject | None) -> None:
        self._store, self._member, self._sealed = store, member, sealed

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield all of them, in order. Raises Damaged when they are not those that were received."""
        if self._sealed is None:
            yield self._member.data
            return
        digest, at, size = signing.new_sha256(), 0, self._member.size_bytes
        while at < size:
            piece = await self._store.run(_read, self._sealed, at, size, digest.update)
            at += len(piece)
            yield piece
        if self._member.stored is None or digest.hexdigest() != self._member.stored.sha256:
            raise Damaged(f"object {self._member.path}: its bytes do not have the digest they were received with")

    async def crc(self, told: Callable[[int], None]) -> int:
        """Return their CRC-32, having read all of them. Raises Damaged."""
        found = 0
        async for piece in self.pieces():
            found = await self._store.run(zlib.crc32, piece, found)
            told(len(piece))
        return found


def _read(sealed: SealedObject, start: int, stop: int, told: Callable[[bytes], None]) -> bytes:
    piece = sealed.read(start, stop)
    told(piece)
    return piece


@asynccontextmanager
async def contents_of(store: Store, package: Package, member: Member) -> AsyncIterator[Contents]:
    """Open a member. Raises DamagedHere, and says so in the ledger, when an exhibit was touched."""
    stored, actor = member.stored, package.order.actor
    if stored is None:
        yield Contents(store, member, None)
        return
    async with objects.opened(store, stored, actor=actor) as sealed:
        try:
            yield Contents(store, member, sealed)
        except Damaged as problem:
            await objects.record_damage(store, stored, actor=actor, what=str(problem))
            raise DamagedHere from problem
