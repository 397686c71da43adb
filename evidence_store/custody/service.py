"""One function for each thing a person does with an object; each is one transaction with its line in the ledger.

All of them take the ledger's head first, so that they happen one after another: what was looked at still holds when it
is written. The tables' own constraints stand behind that.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from evidence_store import ledger
from evidence_store.custody import storage
from evidence_store.custody.model import Label, Link, Note
from evidence_store.database import Connection
from evidence_store.errors import Conflict, KeyReused, LabelSigned, MarkTaken, NotFound
from evidence_store.model import Action, StoredObject
from evidence_store.sealing import signing
from evidence_store.store import Store


@asynccontextmanager
async def acting(store: Store) -> AsyncIterator[Connection]:
    """Open a transaction that changes custody; another one waits until it has ended."""
    async with store.database.begin() as db:
        await ledger.read_head(db, lock=True)
        yield db


@dataclass(frozen=True)
class Act:
    """Who does it, and the id that what is made gets: the same for a request that is sent again."""

    actor: str
    id: str


async def set_label(store: Store, stored: StoredObject, label: Label) -> Label:
    """Give an object its exhibit mark and label, or change it while unsigned; the same words again change nothing.

    Raises MarkTaken, LabelSigned.
    """
    async with acting(store) as db:
        known = await storage.find_label(db, stored.id)
        if known is not None and known.says_same(label):
            return known
        if known is not None and known.signed_at is not None:
            raise LabelSigned
        if not await storage.put_label(db, label, is_new=known is None):
            raise MarkTaken
        await store.record(
            db, actor=label.changed_by, action=Action.ANNOTATED, object_id=stored.id, digest=stored.sha256,
            what="label", mark=label.mark, signed=label.signed_at is not None, commitment=label.commitment,
        )  # fmt: skip
    return label


async def annotate(store: Store, stored: StoredObject, act: Act, text: str) -> Note:
    """Add a note to an object. Raises KeyReused."""
    note = Note(act.id, stored.id, text, signing.new_id(), act.actor, store.clock())
    async with acting(store) as db:
        known = await storage.find_note(db, note.id)
        if known is not None:
            if replace(note, nonce=known.nonce, at=known.at) != known:
                raise KeyReused
            return known
        await storage.insert_note(db, note)
        await store.record(
            db, actor=act.actor, action=Action.ANNOTATED, object_id=stored.id, digest=stored.sha256,
            what="note", note=note.id, commitment=note.commitment,
        )  # fmt: skip
    return note


async def link(store: Store, stored: StoredObject, *, sha256: str, relation: str, actor: str) -> Link:
    """Say which object a copy was derived from, by the digest of the original; the same again changes nothing.

    The original came before its copy, so that links never run in a circle. Raises NotFound, Conflict.
    """
    async with acting(store) as db:
        known = await storage.find_link(db, stored.id)
        if known is not None:
            if (known.sha256, known.relation) != (sha256, relation):
                raise Conflict("This object is linked to its original already.")
            return known
        original = await storage.find_by_digest(db, stored.incident, sha256, but=stored.id)
        if original is None:
            raise NotFound("No object of this incident has this digest.")
        if (original.sequence or 0) > (stored.sequence or 0):
            raise Conflict("The object of this digest came after the copy: it cannot be its original.")
        made = Link(stored.id, original.id, sha256, relation, actor, store.clock())
        await storage.insert_link(db, made)
        await store.record(
            db, actor=actor, action=Action.LINKED, object_id=stored.id, digest=stored.sha256,
            original=original.id, original_sha256=sha256, relation=relation,
        )  # fmt: skip
    return made
