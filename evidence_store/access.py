"""Guards: every handler carries exactly one, and a test looks. Cookies are never read here."""

from collections.abc import Awaitable, Callable
from functools import wraps

from aiohttp import web

from evidence_store import app_keys, grants, tokens
from evidence_store.errors import Unauthorized
from evidence_store.grants import Grant
from evidence_store.model import parse_id
from evidence_store.tokens import Scope

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_MARK = "evidence_guard"


def public(handler: Handler) -> Handler:
    """Anybody may ask: it says nothing about evidence."""
    setattr(handler, _MARK, "public")
    return handler


def token(scope: Scope) -> Callable[[Handler], Handler]:
    """Only with an API token that has this scope; the handler finds it under app_keys.TOKEN."""

    def guard(handler: Handler) -> Handler:
        @wraps(handler)
        async def guarded(request: web.Request) -> web.StreamResponse:
            store = request.app[app_keys.STORE]
            held = tokens.open_token(store.keys.token, _credential(request, "Bearer"), now=store.clock())
            held.require(scope)
            request[app_keys.TOKEN] = held
            return await handler(request)

        setattr(guarded, _MARK, f"token:{scope.value}")
        return guarded

    return guard


def grant(handler: Handler) -> Handler:
    """Only with a grant; the handler opens it with `open_grant`."""
    setattr(handler, _MARK, "grant")
    return handler


def bearer(handler: Handler) -> Handler:
    """Only with the bearer of the upload named in the address."""

    @wraps(handler)
    async def guarded(request: web.Request) -> web.StreamResponse:
        store = request.app[app_keys.STORE]
        upload = parse_id(request.match_info["id"])
        grants.check_bearer(store.keys.bearer, _credential(request, "Bearer"), upload, now=store.clock())
        return await handler(request)

    setattr(guarded, _MARK, "bearer")
    return guarded


def open_grant(request: web.Request) -> Grant:
    """Return the grant the request carries. Raises Unauthorized or GrantRefused."""
    store = request.app[app_keys.STORE]
    return grants.open_grant(store.keys.grant, _credential(request, "Grant"), now=store.clock())


def guard_of(handler: object) -> str | None:
    """Return the name of a handler's guard, None when it has none."""
    found = getattr(handler, _MARK, None)
    return found if isinstance(found, str) else None


def _credential(request: web.Request, scheme: str) -> str:
    given, _, credential = request.headers.get("Authorization", "").partition(" ")
    if given.lower() != scheme.lower() or not credential:
        raise Unauthorized(f"Send 'Authorization: {scheme} …'.")
    return credential.strip()
