"""Requests that are sent again: `@once` on a handler that writes, below its guard, heeds the header Idempotency-Key.

A key counts for one token and one address. For a day the answer is kept and given again, so that a late repetition
changes nothing, whatever was done in between; with another body it is refused. What is made under a key gets an id that
follows from it (`made_id`), so that a request whose answer was lost in a crash makes nothing twice either.
"""

from collections.abc import Callable
from datetime import timedelta
from functools import wraps

from aiohttp import web

from evidence_store import app_keys
from evidence_store.access import Handler
from evidence_store.admission import storage
from evidence_store.admission.model import Repeat
from evidence_store.asked import read_small
from evidence_store.errors import BadRequest, KeyReused
from evidence_store.sealing import signing

HEADER = "Idempotency-Key"
KEPT = timedelta(days=1)
_MAX_KEY_CHARS = 120
_MARK = "evidence_once"


def once(*, keeps_answer: bool = True) -> Callable[[Handler], Handler]:
    """Carry a request out once for each key. An answer that holds a secret is not kept, but made anew."""

    def wrap(handler: Handler) -> Handler:
        @wraps(handler)
        async def wrapped(request: web.Request) -> web.StreamResponse:
            key = _key_of(request)
            if key is None:
                return await handler(request)
            database, now = request.app[app_keys.STORE].database, request.app[app_keys.STORE].clock()
            digest = signing.sha256_hex(await read_small(request))
            async with database.begin() as db:
                known = await storage.begin_repeat(db, Repeat(key, digest, now))
            if not signing.same(known.body_sha256, digest):
                raise KeyReused
            if known.status is not None:
                return web.Response(text=known.answer, status=known.status, content_type="application/json")
            response = await handler(request)
            if keeps_answer and isinstance(response, web.Response):
                async with database.begin() as db:
                    await storage.end_repeat(db, key, status=response.status, answer=response.text or "")
            return response

        setattr(wrapped, _MARK, True)
        return wrapped

    return wrap


def made_id(request: web.Request) -> str:
    """Return the id of what a request makes: with an Idempotency-Key always the same for the same key."""
    return _key_of(request) or signing.new_id()


def is_once(handler: object) -> bool:
    """Say whether a handler heeds the header; guards around it do not hide that."""
    while handler is not None:
        if getattr(handler, _MARK, False):
            return True
        handler = getattr(handler, "__wrapped__", None)
    return False


def _key_of(request: web.Request) -> str | None:
    """Return 32 hex digits that follow from token, address and key. Raises BadRequest."""
    given = request.headers.get(HEADER)
    if given is None:
        return None
    if not 1 <= len(given) <= _MAX_KEY_CHARS or not given.isascii() or not given.isprintable():
        raise BadRequest(f"An Idempotency-Key is 1 to {_MAX_KEY_CHARS} printable ASCII characters.")
    token = request[app_keys.TOKEN]
    return signing.sha256_hex(f"{token.id}\n{request.path}\n{given}".encode())[:32]
