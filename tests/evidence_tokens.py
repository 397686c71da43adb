"""Tokens for tests and benches. Their ids are laid into a store's database once, so that making one is no write.

The ledger does not know of them, and `verify` would say so: a process that runs it hides them first.
"""

import asyncio
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from itertools import cycle

from sqlalchemy import insert

from evidence_store.admission import storage
from evidence_store.admission.model import Issued
from evidence_store.database import METADATA, Connection, Database
from evidence_store.tokens import Scope, make_token

_IDS = [f"{n:012x}" for n in range(1, 400)]
_next_id = cycle(_IDS)


async def lay_tokens(database: Database) -> None:
    """Make a database know the tokens that `token_for` makes; it must have its tables."""
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)
    rows = [asdict(Issued(token_id, "test", "", None, None, start, end)) for token_id in _IDS]
    async with database.begin() as db:
        if await storage.find_token(db, _IDS[0]) is None:
            await db.execute(insert(METADATA.tables["tokens"]), rows)


def hide_laid_tokens() -> None:
    """Leave laid tokens out of the list of tokens, in this process."""
    list_tokens = storage.list_tokens

    async def list_issued(db: Connection) -> Sequence[Issued]:
        return [issued for issued in await list_tokens(db) if issued.id not in _IDS]

    storage.list_tokens = list_issued


def lay_tokens_at(url: str) -> None:
    """The same for the database of another process."""

    async def lay() -> None:
        database = Database(url)
        try:
            await lay_tokens(database)
        finally:
            await database.dispose()

    with ThreadPoolExecutor(1) as thread:  # whether or not a loop runs here
        thread.submit(asyncio.run, lay()).result()


def token_for(
    key: bytes, *scopes: Scope, now: datetime, name: str = "test", incident: str | None = None, hours: float = 1
) -> dict[str, str]:
    """Return headers with a token of these scopes (of every one, when none is named)."""
    wanted: Iterable[Scope] = scopes or tuple(Scope)
    made = make_token(
        key, token_id=next(_next_id), scopes=wanted, name=name, incident=incident, lasts=timedelta(hours=hours), now=now
    )
    return {"Authorization": f"Bearer {made}"}
