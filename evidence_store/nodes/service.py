"""Which node this is, that nobody else is the same one, and what becomes of one that is gone for good.

A node is a data folder: its id lies there, made at the first start. An upload lies on one node's disk alone, and its
row says on which. While a process runs it holds a lock in PostgreSQL on node and place (nodes/storage.py), so that a
copy of the folder, started elsewhere under the same id, is told so and ends; whoever loses the connection that holds
the lock takes it again, and where a copy came in between stops writing.

SQLite belongs to one node, and what is sealed into a folder is read by its node alone: two nodes share PostgreSQL and
a bucket, and others are refused.
"""

import asyncio
import re
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path

from evidence_store import ledger, seals, storage
from evidence_store.errors import CannotStart
from evidence_store.log import get_logger
from evidence_store.model import Action, StoredObject, Upload
from evidence_store.nodes import storage as nodes
from evidence_store.nodes.model import Node, Standing
from evidence_store.sealing import signing
from evidence_store.sealing.files import create_secret
from evidence_store.store import Store
from evidence_store.uploads.endings import draft_expired
from evidence_store.waiting import draft_refused

log = get_logger(__name__)
FILE = "node.id"
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_EVERY_SECONDS = 30.0
_PURPOSE = "node1"
_FORGOTTEN = "the node that held it is gone; it was complete there and not sealed yet"


def read_node_id(data: Path) -> str:
    """Return the id of the node on this data folder, made when there is none. Raises OSError, CannotStart."""
    create_secret(data / FILE, signing.new_id().encode())
    found = (data / FILE).read_text("ascii", "replace").strip()
    if not re.fullmatch(r"[0-9a-f]{32}", found):
        raise CannotStart(f"{data / FILE} is damaged: it holds the 32 hex digits that 'evidence-store nodes' lists.")
    return found


def number_of(text: str) -> int:
    """Return 31 bits that stand for a node or place."""
    return int.from_bytes(signing.sha256(text.encode())[:4]) & 0x7FFFFFFF


def _place_of(data: Path) -> str:
    """Name this folder on this machine since it was switched on: a copy has another name, wherever it lies."""
    file = (data / FILE).stat()
    return f"{_BOOT.read_text()}:{file.st_dev}:{file.st_ino}"


class Presence:
    """That this process is its node: from `enter()` to `leave()`, while `run()` looks after it."""

    def __init__(self, store: Store) -> None:
        self._store, self._held = store, AsyncExitStack()

    async def enter(self) -> None:
        """Be this node. Raises CannotStart when another place is the same one, or another node forbids it."""
        try:
            await self._enter()
        except BaseException:
            await self.leave()
            raise

    async def _enter(self) -> None:
        store = self._store
        if not await self._take(self._held):
            raise CannotStart(
                f"The node {store.node} runs on another folder or machine already, so this data folder is a copy: end "
                f"that one first, or remove {store.settings.data / FILE} and this becomes a new node. (Up to a minute "
                "after this machine lost its power: try again.)"
            )
        async with store.database.begin() as db:
            await nodes.take_turn(db)
            others = [node.id for node in await nodes.list_nodes(db) if node.id != store.node]
            if others and (store.database.is_sqlite or not store.settings.s3_bucket):
                raise CannotStart(
                    f"The node {others[0]} belongs to this database too. Several nodes share PostgreSQL and a bucket: "
                    "set EVIDENCE_DATABASE and EVIDENCE_S3_BUCKET. If that node is gone for good, run 'evidence-store "
                    f"nodes --forget {others[0]}'."
                )
            if not others:
                await storage.adopt_nameless(db, store.node)
            await nodes.put_node(db, self._node())

    def _node(self) -> Node:
        store, now = self._store, self._store.clock()
        said = {"node": store.node, "url": store.settings.node_url.rstrip("/")}
        address = signing.sign(store.keys.bearer, _PURPOSE, said) if store.settings.node_url else ""
        return Node(store.node, address, now, now)

    async def _take(self, held: AsyncExitStack) -> bool:
        """Hold the lock until `held` is closed; False when another place holds it too."""
        store = self._store
        if store.database.is_sqlite:
            return True
        db = await held.enter_async_context(store.database.session())
        return await nodes.be_present(db, number_of(store.node), number_of(_place_of(store.settings.data)))

    async def run(self) -> None:
        """Say that we run; when the connection with the lock is gone take it again, or stop writing."""
        while not self._store.database.is_sqlite:
            await asyncio.sleep(_EVERY_SECONDS)
            try:
                await self.look()
            except Exception as problem:  # noqa: BLE001 — the database may be away; nothing is acknowledged meanwhile
                log.warning("node_not_noted", problem=type(problem).__name__)

    async def look(self) -> None:
        """Take the lock once more on a fresh connection, let the old one go, and note that we run."""
        store = self._store
        async with AsyncExitStack() as held:
            is_alone = await self._take(held)
            await self._held.aclose()
            if is_alone:
                self._held = held.pop_all()
        if is_alone is store.is_fenced:
            log.error("node_is_alone_again" if is_alone else "node_runs_elsewhere", node=store.node)
        store.is_fenced = not is_alone
        if is_alone:
            async with store.database.begin() as db:
                if not await nodes.touch_node(db, store.node, now=store.clock()):
                    await nodes.put_node(db, self._node())  # it was forgotten while it was away

    async def leave(self) -> None:
        """Be this node no longer."""
        await self._held.aclose()


async def find_url(store: Store, node_id: str) -> str | None:
    """Return where another node is reached, None when it told no address; one that no node signed does not count."""
    async with store.database.read() as db:
        node = await nodes.find_node(db, node_id)
    return url_of(store, node) if node is not None else None


def url_of(store: Store, node: Node) -> str | None:
    """Return the address that a node told, if one of ours did."""
    try:
        said = signing.open_signed(store.keys.bearer, _PURPOSE, node.address)
    except signing.NotGenuine:
        return None
    return str(said["url"]) if said["node"] == node.id else None


async def survey(store: Store) -> list[Standing]:
    """Return how it goes with every node."""
    async with store.database.read() as db:
        return [
            Standing(
                node, await storage.count_open_uploads(db, node.id), len(await storage.list_sealing(db, node.id)),
                None if store.database.is_sqlite else await nodes.is_present(db, number_of(node.id)),
            )
            for node in await nodes.list_nodes(db)
        ]  # fmt: skip


async def forget(store: Store, node_id: str) -> tuple[int, int]:
    """Expire what was arriving at a node that is gone, and forget it; return how many uploads, and complete objects.

    Objects that were complete there and not in their place are called damaged in the ledger; should the node come back
    after all, it seals them. Raises CannotStart when it is not known, or runs.
    """
    now = store.clock()
    async with store.database.begin() as db:
        await nodes.take_turn(db)
        if await nodes.find_node(db, node_id) is None:
            raise CannotStart("There is no such node: 'evidence-store nodes' lists them.")
        if not store.database.is_sqlite and await nodes.is_present(db, number_of(node_id)):
            raise CannotStart(f"The node {node_id} runs. End it first.")
        expired = await storage.expire_open_uploads(db, node=node_id, now=now)
        complete = await storage.list_sealing(db, node_id)
        await nodes.delete_node(db, node_id)
        arriving: list[Upload | StoredObject] = [*expired, *complete]
        drafts = [_draft_forgotten(store, row, now) for row in arriving]
        if drafts:
            await ledger.append(db, store.keys.ledger, drafts)
    return len(expired), len(complete)


def _draft_forgotten(store: Store, row: Upload | StoredObject, now: datetime) -> ledger.Draft:
    """Return the line for what was arriving at a node that is gone: what its row says, where that is our own."""
    if not seals.is_own(store.keys.bearer, row):
        return draft_refused(row, actor="operator", now=now)
    if isinstance(row, Upload):
        return draft_expired(row, actor="operator", now=now)
    return ledger.Draft(now, "operator", Action.DAMAGED, row.id, row.sha256, details={"what": _FORGOTTEN})
