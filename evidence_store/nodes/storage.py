"""The table of nodes, and who runs: advisory locks of PostgreSQL, which end with the connection that holds them.

A process holds, shared, the lock (node, place). A place is one folder on one running machine, so all processes on a
folder hold the same lock, and those on a copy of it another one with the same node.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Column, String, Table, Text, column, delete, func, insert, select, table, update

from evidence_store.database import METADATA, Connection, UtcDateTime
from evidence_store.nodes.model import Node

_NODES = Table(
    "nodes",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("address", Text, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
)
_LOCKS = table("pg_locks", column("locktype"), column("database"), column("classid"), column("objid"))
_DATABASES = table("pg_database", column("oid"), column("datname"))
_TURN = 7_401_104  # any constant: nodes enter one after the other


async def take_turn(db: Connection) -> None:
    """Wait until no other node is entering, until the end of the transaction."""
    if db.dialect.name == "postgresql":
        await db.execute(select(func.pg_advisory_xact_lock(_TURN)))


async def list_nodes(db: Connection) -> Sequence[Node]:
    """Return every node that is known, by its id."""
    return [Node(**row._asdict()) for row in await db.execute(select(_NODES).order_by(_NODES.c.id))]


async def find_node(db: Connection, node_id: str) -> Node | None:
    """Return a node, or None."""
    row = (await db.execute(select(_NODES).where(_NODES.c.id == node_id))).first()
    return Node(**row._asdict()) if row else None


async def put_node(db: Connection, node: Node) -> None:
    """Note that a node runs from now on, in place of what was known of it; in turn."""
    values = asdict(node)
    if (await db.execute(update(_NODES).where(_NODES.c.id == node.id).values(values))).rowcount == 0:
        await db.execute(insert(_NODES).values(values))


async def touch_node(db: Connection, node_id: str, *, now: datetime) -> bool:
    """Note that a node still runs; False when it is not known any more."""
    mine = _NODES.c.id == node_id
    return (await db.execute(update(_NODES).where(mine).values(seen_at=now))).rowcount == 1


async def delete_node(db: Connection, node_id: str) -> None:
    """Forget a node."""
    await db.execute(delete(_NODES).where(_NODES.c.id == node_id))


async def delete_nodes(db: Connection) -> None:
    """Forget every node: those of a backup are not those it is restored to."""
    await db.execute(delete(_NODES))


async def be_present(db: Connection, node: int, place: int) -> bool:
    """Hold from now on that a node runs at a place; False when it runs at another as well. PostgreSQL only.

    db           a connection of its own, kept open as long as the process is this node
    node, place  numbers of 31 bits
    """
    await db.execute(select(func.pg_advisory_lock_shared(node, place)))
    return not [other for other in await _list_places(db, node) if other != place]


async def is_present(db: Connection, node: int) -> bool:
    """Say whether any process is this node now. PostgreSQL only."""
    return bool(await _list_places(db, node))


async def _list_places(db: Connection, node: int) -> Sequence[int]:
    ours = select(_DATABASES.c.oid).where(_DATABASES.c.datname == func.current_database()).scalar_subquery()
    held = (_LOCKS.c.locktype == "advisory") & (_LOCKS.c.database == ours) & (_LOCKS.c.classid == node)
    return [int(row.objid) for row in await db.execute(select(_LOCKS.c.objid).where(held))]
