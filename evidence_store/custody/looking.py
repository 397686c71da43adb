"""Searching and looking, for systems and for people's pages alike: what is found is in the ledger before it is told."""

from dataclasses import dataclass

from evidence_store import vouching
from evidence_store.custody import search, storage
from evidence_store.custody.model import Label, Link, Note
from evidence_store.custody.search import Search
from evidence_store.errors import Forbidden
from evidence_store.model import Action, StoredObject
from evidence_store.reads import ReadLog
from evidence_store.store import Store
from evidence_store.tokens import Token


@dataclass(frozen=True)
class Page:
    """Objects that a search found, with their labels; `following` is the cursor behind them, None at the end.

    doubted  those of which the signed ledger does not say what their rows say
    """

    found: list[tuple[StoredObject, Label | None]]
    following: str | None
    doubted: frozenset[str]


@dataclass(frozen=True)
class Known:
    """All that custody knows about one object."""

    stored: StoredObject
    label: Label | None
    notes: list[Note]
    original: Link | None
    copies: list[Link]


async def find(store: Store, reads: ReadLog, asked: Search, token: Token, *, purpose: str) -> Page:
    """Search; who may see one incident finds that one's. Raises Forbidden, BadRequest (a foreign cursor)."""
    if asked.incident is not None and not token.sees(asked.incident):
        raise Forbidden("The token is for another incident.")
    asked = asked.model_copy(update={"incident": asked.incident or token.incident})
    after = search.open_cursor(store.keys.token, asked)
    async with store.database.read() as db:
        found = list(await storage.search(db, asked, after=after, limit=asked.limit + 1))
        shown = [stored for stored, _ in found[: asked.limit]]
        faults = await vouching.find_faults(db, store, shown)
    page, following = found[: asked.limit], None
    if len(found) > asked.limit:
        following = search.make_cursor(store.keys.token, asked, page[-1][0].sequence or 0)
    vouched = await vouching.tell_all(store, shown, faults, actor=token.actor)
    await reads.record_search(asked.conditions, shown, actor=token.actor, purpose=purpose)
    return Page(page, following, frozenset(one for one, told in vouched.items() if told is False))


async def look(
    store: Store, reads: ReadLog, stored: StoredObject, token: Token, *, purpose: str, vouched: bool | None
) -> Known:
    """Return all that is known about an object that the token's holder may see."""
    await reads.record(stored, action=Action.VIEWED, actor=token.actor, purpose=purpose, vouched=vouched)
    async with store.database.read() as db:
        return Known(
            stored,
            label=await storage.find_label(db, stored.id),
            notes=await storage.list_notes(db, stored.id),
            original=await storage.find_link(db, stored.id),
            copies=await storage.list_copies(db, stored.id),
        )
