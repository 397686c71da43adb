"""The ledger: an append-only Merkle log (RFC 9162) of everything that happened, its head signed at every append.

An entry is one line of JSON as RFC 8785 writes it; these exact bytes are the leaf of the tree and what is stored. The
nodes of the tree are stored as they become complete (see `merkle`), so that appending and every proof reads and writes
O(log n). The head row holds the size, the tree's right edge and a checkpoint signed with the ledger key.

Before anything is appended the head must be what a holder of the ledger key signed: who can write the database and
lacks the key can break the ledger, and cannot make this program sign what it broke. Triggers refuse UPDATE and DELETE,
which stops accidents; against intent there are the signatures, and the checkpoints kept elsewhere.

Lines are numbered from 1 (`sequence`); the leaf's index in the tree is one less.
"""

import contextlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, Row, String, Table, Text, func, insert, select, update

from evidence_store import merkle
from evidence_store.database import METADATA, Connection, IntegrityError
from evidence_store.errors import Damaged
from evidence_store.model import Action, Entry
from evidence_store.sealing.notes import Checkpoint, LedgerKey
from evidence_store.sealing.signing import NotGenuine

FORMAT = 1
_PROOFS = 100  # lines proved by one question: at most 100 · 4 · log2(size) nodes are asked for
_PAGE = 1000
_TEXTS = ("actor", "purpose", "action", "object", "digest")
_FIELDS = {"v", "sequence", "at", "actor", "purpose", "action", "object", "digest", "details"}
_NUMBER = BigInteger().with_variant(Integer(), "sqlite")  # there INTEGER is 64 bits, and the row's own place

_LEDGER = Table(
    "ledger",
    METADATA,
    Column("sequence", _NUMBER, primary_key=True, autoincrement=False),
    Column("object", String(32), nullable=False, index=True),
    Column("leaf", Text, nullable=False),
)
_NODES = Table(
    "ledger_nodes",
    METADATA,
    Column("position", _NUMBER, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary(32), nullable=False),
)
_HEAD = Table(
    "ledger_head",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("edge", LargeBinary, nullable=False),
    Column("note", Text, nullable=False),
)
_CHECKPOINTS = Table(
    "ledger_checkpoints",
    METADATA,
    Column("size", _NUMBER, primary_key=True, autoincrement=False),
    Column("note", Text, nullable=False),
)


@dataclass(frozen=True)
class Draft:
    """What is to be written as one line. `object_id` may be empty when no single object is meant."""

    at: datetime
    actor: str
    action: Action
    object_id: str = ""
    digest: str = ""
    purpose: str = ""
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Head:
    """Where the ledger stands, as the database says; `note` is the signed checkpoint."""

    size: int
    edge: bytes
    note: str


@dataclass(frozen=True)
class Proof:
    """Hashes that lead from one thing to another (RFC 9162), and the roots of the trees they speak of."""

    path: list[bytes]
    first_root: bytes
    root: bytes


class HeadForged(Damaged):
    """The head is not what a holder of the ledger key signed; nothing is appended to it."""


def canonical_json(value: dict[str, Any]) -> str:
    """Return JSON with sorted keys, no spaces and characters as they are: one way only to write a value (RFC 8785)."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def render_leaf(draft: Draft, sequence: int) -> str:
    """Return the text of a line, which is what the tree hashes (as UTF-8)."""
    return canonical_json(
        {
            "v": FORMAT,
            "sequence": sequence,
            "at": written(draft.at),
            "actor": _storable(draft.actor),
            "purpose": _storable(draft.purpose),
            "action": draft.action.value,
            "object": draft.object_id,
            "digest": draft.digest,
            "details": draft.details,
        }
    )


def written(at: datetime) -> str:
    """Return an instant as lines say it: UTC, to the microsecond."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _storable(text: str) -> str:
    """Return text without what UTF-8 cannot write (a header may hold such)."""
    return text.encode("utf-8", "replace").decode()


def parse_leaf(leaf: str) -> Entry:
    """Return what a line says. Raises ValueError when it is not a line as this program writes them."""
    try:
        said = json.loads(leaf)
        if not isinstance(said, dict) or said.keys() != _FIELDS or said["v"] != FORMAT:
            raise ValueError("not a line of this format")
        "".join(said[name] for name in _TEXTS).encode()  # fails, as the next does, for what no database can be asked
        if "\0" in said["object"] or type(said["sequence"]) is not int or type(said["details"]) is not dict:
            raise ValueError("not a line of this format")
        return Entry(
            sequence=said["sequence"],
            at=datetime.fromisoformat(said["at"]),
            actor=said["actor"],
            purpose=said["purpose"],
            action=said["action"],
            object=said["object"],
            digest=said["digest"],
            details=said["details"],
            leaf=leaf,
        )
    except (TypeError, RecursionError) as problem:
        raise ValueError(str(problem)) from None


def leaf_hash(leaf: str) -> bytes:
    """Return the hash of a line in the tree."""
    return merkle.leaf_hash(leaf.encode())


# --- appending


async def prepare(db: Connection, key: LedgerKey) -> None:
    """Begin an empty ledger, unless there is one, or what is left of one."""
    known = (await db.execute(select(_HEAD.c.id))).first() or (await db.execute(select(_LEDGER.c.sequence))).first()
    if known is None:
        try:
            async with db.begin_nested():
                note = key.sign(0, merkle.EMPTY_ROOT)
                await db.execute(insert(_HEAD).values(id=1, size=0, edge=b"", note=note))
        except IntegrityError:
            return  # another process began it


async def append(db: Connection, key: LedgerKey, drafts: Sequence[Draft]) -> int:
    """Append lines in the caller's transaction, sign the new head and return the sequence of the last.

    Writers of one database queue here, so it is best done last in a transaction. Raises HeadForged.
    """
    head = await read_head(db, lock=True)
    tree, _ = open_head(key, head)
    rows, hashes = [], []
    for draft in drafts:
        sequence = tree.size + 1
        leaf = render_leaf(draft, sequence)
        rows.append({"sequence": sequence, "object": draft.object_id, "leaf": leaf})
        hashes += tree.append(leaf_hash(leaf))
    first = merkle.count_nodes(head.size)
    await db.execute(insert(_LEDGER), rows)
    await db.execute(insert(_NODES), [{"position": first + n, "hash": found} for n, found in enumerate(hashes)])
    note = key.sign(tree.size, tree.root())
    await db.execute(update(_HEAD).values(size=tree.size, edge=b"".join(tree.edge), note=note))
    return tree.size


def open_head(key: LedgerKey, head: Head) -> tuple[merkle.Tree, Checkpoint]:
    """Return the tree to go on from and its checkpoint. Raises HeadForged unless the ledger key signed exactly this."""
    edge = [head.edge[at : at + merkle.HASH_BYTES] for at in range(0, len(head.edge), merkle.HASH_BYTES)]
    try:
        checkpoint = key.open(head.note)
        tree = merkle.Tree(head.size, edge)
    except (NotGenuine, ValueError):
        raise HeadForged("the ledger's head was not signed by this ledger's key, or was changed") from None
    if checkpoint.size != tree.size or checkpoint.root != tree.root():
        raise HeadForged("the ledger's head is not the one that was signed")
    return tree, checkpoint


# --- reading


async def read_head(db: Connection, *, lock: bool = False) -> Head:
    """Return the head; `lock` holds it until the transaction ends. Raises HeadForged when it is gone."""
    chosen = select(_HEAD.c.size, _HEAD.c.edge, _HEAD.c.note).where(_HEAD.c.id == 1)
    row = (await db.execute(chosen.with_for_update() if lock else chosen)).one_or_none()
    if row is None:
        raise HeadForged("the ledger's head is gone")
    return Head(row.size, row.edge, row.note)


async def list_rows(db: Connection, *, after: int, limit: int) -> Sequence[Row[Any, Any, Any]]:
    """Return sequence, object and leaf of the lines behind `after`, in order, as they stand and unparsed."""
    chosen = select(_LEDGER.c.sequence, _LEDGER.c.object, _LEDGER.c.leaf)
    return (await db.execute(chosen.where(_LEDGER.c.sequence > after).order_by(_LEDGER.c.sequence).limit(limit))).all()


async def list_entries(
    db: Connection, *, after: int, limit: int, object_id: str | None = None, newest: bool = False
) -> list[Entry]:
    """Return lines behind `after`, in order; of one object when it is named. Raises Damaged for what is no line.

    newest  where there are more than `limit`, the last of them, not the first
    """
    chosen = select(_LEDGER.c.sequence, _LEDGER.c.leaf).where(_LEDGER.c.sequence > after)
    if object_id is not None:
        chosen = chosen.where(_LEDGER.c.object == object_id)
    by = _LEDGER.c.sequence.desc() if newest else _LEDGER.c.sequence
    rows = (await db.execute(chosen.order_by(by).limit(limit))).all()
    try:
        found = [parse_leaf(row.leaf) for row in rows]
        if [entry.sequence for entry in found] != [row.sequence for row in rows]:  # who goes on behind the last one
            raise ValueError("it says another number than its own")  # must get on
        return found[::-1] if newest else found
    except ValueError as problem:
        raise Damaged(f"the ledger holds a line that is none ({problem})") from None


async def list_newest_on(db: Connection, objects: Collection[str], *, limit: int) -> list[Entry]:
    """Return the newest lines filed under any of these objects, in order. Raises Damaged for what is no line."""
    chosen = select(_LEDGER.c.leaf).where(_LEDGER.c.object.in_(objects)).order_by(_LEDGER.c.sequence.desc())
    leaves = list((await db.execute(chosen.limit(limit))).scalars())
    try:
        return [parse_leaf(leaf) for leaf in reversed(leaves)]
    except ValueError as problem:
        raise Damaged(f"the ledger holds a line that is none ({problem})") from None


async def list_all_of(db: Connection, object_id: str) -> list[Entry]:
    """Return every line filed under an object, in order. Raises Damaged for what is no line."""
    found: list[Entry] = []
    while page := await list_entries(
        db, after=found[-1].sequence if found else 0, limit=_PAGE, object_id=object_id
    ):  # fmt: skip
        found += page
    return found


async def knows_any(db: Connection, object_id: str, actions: Collection[Action]) -> bool:
    """Say whether a line filed under an object, or under an upload, says one of these. Raises Damaged."""
    return any(entry.action in actions for entry in await list_all_of(db, object_id))


async def list_entries_about(db: Connection, object_id: str, incident: str, *, size: int) -> list[Entry]:
    """Return every line up to `size` that speaks of an object, in order: those filed under it, and of those filed
    under none the ones that name it, or the whole of its incident. Raises Damaged for what is no line.
    """
    named = _LEDGER.c.leaf.contains(f'"{object_id}"') | _LEDGER.c.leaf.contains(
        f'"incident":"{incident}"', autoescape=True
    )
    chosen = select(_LEDGER.c.leaf).where(_LEDGER.c.sequence <= size)
    own = chosen.where(_LEDGER.c.object == object_id)
    among = chosen.where((_LEDGER.c.object == "") & named)
    leaves = [*(await db.execute(own)).scalars(), *(await db.execute(among)).scalars()]
    try:
        found = [parse_leaf(leaf) for leaf in leaves]
    except ValueError as problem:
        raise Damaged(f"the ledger holds a line that is none ({problem})") from None
    about = [entry for entry in found if entry.object or _names(entry, object_id, incident)]
    return sorted(about, key=lambda entry: entry.sequence)


def _names(entry: Entry, object_id: str, incident: str) -> bool:
    listed = (value for value in entry.details.values() if isinstance(value, list))
    return entry.details.get("incident") == incident or any(object_id in value for value in listed)


async def list_nodes(db: Connection, start: int, stop: int) -> list[bytes | None]:
    """Return the hashes of nodes `start` up to `stop`; None where one is missing."""
    within = (_NODES.c.position >= start) & (_NODES.c.position < stop)
    found = {row.position: row.hash for row in await db.execute(select(_NODES).where(within))}
    return [found.get(position) for position in range(start, stop)]


async def measure(db: Connection) -> tuple[int, int, bool]:
    """Return the last line, how far the nodes reach, and whether no kept checkpoint lies beyond the lines."""
    lines = (await db.execute(select(func.max(_LEDGER.c.sequence)))).scalar_one() or 0
    nodes = (await db.execute(select(func.max(_NODES.c.position)))).scalar_one()
    kept = (await db.execute(select(func.max(_CHECKPOINTS.c.size)))).scalar_one() or 0
    return lines, 0 if nodes is None else nodes + 1, kept <= lines


async def list_entries_at(db: Connection, sequences: Collection[int]) -> dict[int, Entry]:
    """Return those of these lines that exist and are lines."""
    chosen = select(_LEDGER.c.sequence, _LEDGER.c.leaf).where(_LEDGER.c.sequence.in_(sequences))
    found = {}
    for row in await db.execute(chosen):
        with contextlib.suppress(ValueError):
            found[row.sequence] = parse_leaf(row.leaf)
    return found


# --- proofs


async def prove_inclusion(db: Connection, sequence: int, size: int) -> Proof:
    """Return the proof that line `sequence` is in the ledger of `size`; its `first_root` is the hash of the line.

    Raises ValueError when there is no such line, Damaged when a node is missing.
    """
    ranges = merkle.inclusion_ranges(sequence - 1, size)
    return await _prove(db, ranges, (sequence - 1, sequence), (0, size))


async def is_signed(db: Connection, key: LedgerKey, entry: Entry) -> bool:
    """Say whether a line, as it stands, is in the ledger that was signed last; False for what cannot be shown."""
    return bool(await find_signed(db, key, [entry]))


async def find_signed(db: Connection, key: LedgerKey, entries: Collection[Entry]) -> set[str]:
    """Return the text of those of these lines that are, as they stand, in the ledger that was signed last.

    What cannot be shown is left out. Not their numbers: a line that was changed can claim the number of another.
    """
    try:
        head = await read_head(db)
        _, checkpoint = open_head(key, head)
    except HeadForged:
        return set()
    paths = await _find_paths(db, [one.sequence for one in entries if 0 < one.sequence <= head.size], head.size)
    return {
        one.leaf
        for one in entries
        if one.sequence in paths
        and merkle.is_included(leaf_hash(one.leaf), one.sequence - 1, head.size, paths[one.sequence], checkpoint.root)
    }


async def prove_inclusions(db: Connection, sequences: Sequence[int], size: int) -> dict[int, list[bytes]]:
    """Return the proof of each of these lines to the ledger of `size`. Raises ValueError, Damaged."""
    found = await _find_paths(db, sequences, size)
    if not found.keys() >= set(sequences):
        raise Damaged("a node of the ledger's tree is missing")
    return found


async def _find_paths(db: Connection, sequences: Sequence[int], size: int) -> dict[int, list[bytes]]:
    """Return the proofs for which no node is missing. Raises ValueError for a line that is not there."""
    found: dict[int, list[bytes]] = {}
    for start in range(0, len(sequences), _PROOFS):
        some = sequences[start : start + _PROOFS]
        ranges = {sequence: merkle.inclusion_ranges(sequence - 1, size) for sequence in some}
        positions = {node for path in ranges.values() for node in merkle.needed_positions(path)}
        rows = await db.execute(select(_NODES).where(_NODES.c.position.in_(positions)))
        nodes = {row.position: row.hash for row in rows}
        for sequence, path in ranges.items():
            with contextlib.suppress(KeyError):
                found[sequence] = merkle.hashes_of(path, nodes)
    return found


async def prove_consistency(db: Connection, first: int, second: int) -> Proof:
    """Return the proof that the ledger of `second` lines begins with that of `first`.

    Raises ValueError when the sizes do not fit, Damaged when a node is missing.
    """
    return await _prove(db, merkle.consistency_ranges(first, second), (0, first), (0, second))


async def root_at(db: Connection, size: int) -> bytes:
    """Return the root of the first `size` lines, from the stored nodes. Raises Damaged when one is missing."""
    rows = await db.execute(select(_NODES).where(_NODES.c.position.in_(list(merkle.complete_parts((0, size))))))
    try:
        return merkle.root_of(size, {row.position: row.hash for row in rows})
    except KeyError:
        raise Damaged("a node of the ledger's tree is missing") from None


async def _prove(db: Connection, path: list[merkle.Range], first: merkle.Range, whole: merkle.Range) -> Proof:
    positions = merkle.needed_positions([*path, first, whole])
    rows = await db.execute(select(_NODES).where(_NODES.c.position.in_(positions)))
    nodes = {row.position: row.hash for row in rows}
    try:
        *steps, first_root, root = merkle.hashes_of([*path, first, whole], nodes)
    except KeyError:
        raise Damaged("a node of the ledger's tree is missing") from None
    return Proof(steps, first_root, root)


# --- checkpoints


async def keep_checkpoint(db: Connection, key: LedgerKey) -> int:
    """Keep the head's checkpoint for good, unless it is kept; return its size. Raises HeadForged."""
    head = await read_head(db)
    open_head(key, head)
    try:
        async with db.begin_nested():
            await db.execute(insert(_CHECKPOINTS).values(size=head.size, note=head.note))
    except IntegrityError:
        return head.size
    return head.size


async def list_checkpoints(db: Connection, *, after: int, limit: int) -> dict[int, str]:
    """Return kept checkpoints of a size beyond `after`, smallest first: size and signed note."""
    chosen = select(_CHECKPOINTS).where(_CHECKPOINTS.c.size > after).order_by(_CHECKPOINTS.c.size).limit(limit)
    return {row.size: row.note for row in await db.execute(chosen)}


async def find_checkpoint(db: Connection, size: int) -> str | None:
    """Return the signed note kept at a size, or None."""
    return (await db.execute(select(_CHECKPOINTS.c.note).where(_CHECKPOINTS.c.size == size))).scalar_one_or_none()
