"""The guard of the pages: who is in, may they, and did the form come from a page of theirs."""

from collections.abc import Callable
from contextlib import suppress
from functools import wraps

from aiohttp import web

from evidence_store import access, app_keys
from evidence_store.access import Handler
from evidence_store.asked import in_time
from evidence_store.errors import BadRequest, CrossSite, EntryNeeded
from evidence_store.sealing import signing
from evidence_store.tokens import Scope
from evidence_store.view import session, storage
from evidence_store.view.model import Session

PERSON = web.RequestKey("person", Session)
CHOSEN = web.RequestKey("chosen", int)
"""How many objects are chosen for a package."""
LOST = web.RequestKey("lost", list[str])
"""What was typed into a form that came too late, so that nobody has to think of it again."""
FORM_KEY = "form_key"
_WORDS = ("text", "mark", "description", "maker", "signed_how", "reason", "purpose", "recipient")
"""Fields that people type words into."""


def person(scope: Scope | None = None) -> Callable[[Handler], Handler]:
    """Only who is in, and has this scope; a form must carry its session's key."""

    def guard(handler: Handler) -> Handler:
        @wraps(handler)
        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                found = await session.find(request)
            except EntryNeeded:
                await _keep_words(request)
                raise
            token = found.token(request.app[app_keys.STORE].settings.break_glass)
            request[PERSON], request[app_keys.TOKEN] = found, token
            if scope is not None:
                token.require(scope)
            async with request.app[app_keys.STORE].database.read() as db:
                request[CHOSEN] = await storage.count_chosen(db, found.id)
            if request.method not in {"GET", "HEAD"}:
                check_site(request)
                given = (await read_form(request)).get(FORM_KEY, "")
                if not signing.same(given, session.form_key(request)):
                    raise CrossSite
            return await handler(request)

        return access.marked(guarded, f"person:{scope.value}" if scope else "person")

    return guard


async def _keep_words(request: web.Request) -> None:
    """Keep what was typed, to be shown to who sent it; what another site sent is shown to nobody."""
    if request.method != "POST" or request.headers.get("Sec-Fetch-Site") != "same-origin":
        return
    with suppress(BadRequest):
        typed = await read_form(request)
        request[LOST] = [typed[name].strip() for name in _WORDS if typed.get(name, "").strip()]


def ticket(handler: Handler) -> Handler:
    """Only with a ticket; the handler opens it."""
    return access.marked(handler, "ticket")


def check_site(request: web.Request) -> None:
    """Raise CrossSite when the browser says that another site sent this."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
        raise CrossSite


async def read_form(request: web.Request) -> dict[str, str]:
    """Return a form's fields, the last of each name, without what no keyboard types. Raises BadRequest."""
    return {name: values[-1] for name, values in (await read_lists(request)).items()}


async def read_lists(request: web.Request) -> dict[str, list[str]]:
    """Return all values of a form's fields. Raises BadRequest, TooSlow."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise BadRequest("A form was expected.")
    try:
        async with in_time(request):
            given = await request.post()
    except (UnicodeDecodeError, LookupError, ValueError):
        raise BadRequest("The form is not in UTF-8.") from None
    found: dict[str, list[str]] = {}
    for name, value in given.items():
        if isinstance(value, str):
            found.setdefault(name, []).append(_typed(value))
    if any("\ufffd" in value for values in found.values() for value in values):
        raise BadRequest("The form is not in UTF-8.")
    return found


def _typed(value: str) -> str:
    lines = value.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(c for c in lines if c == "\n" or c == "\t" or ord(c) >= 32)
