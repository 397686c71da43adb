"""Guards: every handler carries exactly one, and a test looks. Cookies are read for the pages only (`view/`)."""

from collections.abc import Awaitable, Callable, Sequence
from functools import wraps

from aiohttp import web

from evidence_store import app_keys, grants, storage, tokens, vouching
from evidence_store.admission import service as admission
from evidence_store.breakglass.storage import find_open
from evidence_store.errors import BadRequest, NotFound, OtherIncident, Unauthorized
from evidence_store.grants import Grant
from evidence_store.model import ObjectState, StoredObject, parse_id
from evidence_store.tokens import Scope, Token

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_MARK = "evidence_guard"
_MAX_PURPOSE_CHARS = 120


def public(handler: Handler) -> Handler:
    """Anybody may ask: it says nothing about evidence."""
    return marked(handler, "public")


def token(scope: Scope, *more: Scope) -> Callable[[Handler], Handler]:
    """Only with an API token that has this scope, or one of those that may do it too; see app_keys.TOKEN."""

    def guard(handler: Handler) -> Handler:
        @wraps(handler)
        async def guarded(request: web.Request) -> web.StreamResponse:
            store, limits = request.app[app_keys.STORE], request.app[app_keys.LIMITS]
            held = tokens.open_token(store.keys.token, _credential(request, "Bearer"), now=store.clock())
            per_minute = store.settings.token_per_minute if held.per_minute is None else held.per_minute
            limits.check("token", held.id, per_minute)
            request[app_keys.TOKEN] = held
            await admission.check_holds(store, held)
            held.require(scope, *more)
            return await handler(request)

        return marked(guarded, f"token:{scope.value}")

    return guard


def grant(handler: Handler) -> Handler:
    """Only with a grant; the handler opens it with `open_grant`."""
    return marked(handler, "grant")


def bearer(handler: Handler) -> Handler:
    """Only with the bearer of the upload named in the address."""

    @wraps(handler)
    async def guarded(request: web.Request) -> web.StreamResponse:
        store = request.app[app_keys.STORE]
        upload = parse_id(request.match_info["id"])
        grants.check_bearer(store.keys.bearer, _credential(request, "Bearer"), upload, now=store.clock())
        request.app[app_keys.LIMITS].check("upload", upload, store.settings.upload_per_minute)
        return await handler(request)

    return marked(guarded, "bearer")


def open_grant(request: web.Request) -> Grant:
    """Return the grant the request carries. Raises Unauthorized, GrantRefused or TooFast."""
    store, limits = request.app[app_keys.STORE], request.app[app_keys.LIMITS]
    found = grants.open_grant(store.keys.grant, _credential(request, "Grant"), now=store.clock())
    limits.check("upload", found.upload, store.settings.upload_per_minute)
    limits.check("incident", found.incident, store.settings.incident_uploads_per_minute)
    return found


async def get_visible(request: web.Request, *, reads: bool = False) -> StoredObject:
    """Return the object in the address, if the token's holder may know of it; see VOUCHED. Raises NotFound.

    reads   it is only read, though the request is no GET: a broken glass reaches that far
    """
    held, store = request[app_keys.TOKEN], request.app[app_keys.STORE]
    async with store.database.read() as db:
        stored = await storage.find_object(db, parse_id(request.match_info["id"]))
        if stored is None:
            raise NotFound
        if not _may_know(held, stored):
            if Scope.BREAK_GLASS not in held.scopes or not (reads or request.method in {"GET", "HEAD"}):
                raise OtherIncident
            glass = await find_open(db, held.id, incident=stored.incident, object_id=stored.id, now=store.clock())
            if glass is None:
                raise OtherIncident
            request[app_keys.GLASS] = glass
        faults = await vouching.find_faults(db, store, [stored])
    _note(request, (await vouching.tell_all(store, [stored], faults, actor=held.actor))[stored.id])
    return stored


async def vouch_for(request: web.Request, stored: StoredObject) -> None:
    """Look whether the signed ledger says of an object what its row says, and tell it where not; see VOUCHED."""
    actor = request[app_keys.TOKEN].actor
    _note(request, (await vouching.vouch(request.app[app_keys.STORE], [stored], actor=actor))[stored.id])


async def find_doubted(request: web.Request, rows: Sequence[StoredObject]) -> set[str]:
    """Return of which objects the signed ledger does not say what their rows say, and tell it."""
    told = await vouching.vouch(request.app[app_keys.STORE], rows, actor=request[app_keys.TOKEN].actor)
    return {object_id for object_id, vouched in told.items() if vouched is False}


def _note(request: web.Request, vouched: bool | None) -> None:
    if vouched is not None:
        request[app_keys.VOUCHED] = vouched


def _may_know(held: Token, stored: StoredObject) -> bool:
    """Say whether an object exists for a token's holder; with READ_OWN in READ's place, only what it has to show."""
    is_own = stored.source == "upload" or stored.reference.startswith(f"token:{held.name}:")
    is_narrow = Scope.READ_OWN in held.scopes and Scope.READ not in held.scopes
    return held.sees(stored.incident) and (is_own or not is_narrow)


async def get_sealed(request: web.Request, *, reads: bool = False) -> StoredObject:
    """Return the object in the address once it is in its place. Raises NotFound."""
    stored = await get_visible(request, reads=reads)
    if stored.state is ObjectState.SEALING:
        raise NotFound("The object is being sealed. Try again in a moment.")
    return stored


def purpose_of(request: web.Request) -> str:
    """Return why the caller asks, as it stands in the ledger; may be empty. By which broken glass, stands before it.

    Raises BadRequest for one that is too long, or that is no plain text: what stands in the ledger for good is never
    cut short unseen, and is read as it stands.
    """
    said = request.headers.get("Evidence-Purpose", "")
    if len(said) > _MAX_PURPOSE_CHARS or not said.isprintable():
        raise BadRequest(f"Evidence-Purpose is at most {_MAX_PURPOSE_CHARS} characters of plain text, in UTF-8.")
    return under_glass(request, said)


def under_glass(request: web.Request, said: str) -> str:
    """Return a purpose with the broken glass before it, where there is one."""
    return f"break-glass {request[app_keys.GLASS].id} {said}".strip() if app_keys.GLASS in request else said


def marked(handler: Handler, name: str) -> Handler:
    """Note on a handler which guard it carries."""
    setattr(handler, _MARK, name)
    return handler


def guard_of(handler: object) -> str | None:
    """Return the name of a handler's guard, None when it has none."""
    found = getattr(handler, _MARK, None)
    return found if isinstance(found, str) else None


def _credential(request: web.Request, scheme: str) -> str:
    given, _, credential = request.headers.get("Authorization", "").partition(" ")
    if given.lower() != scheme.lower() or not credential:
        raise Unauthorized(f"Send 'Authorization: {scheme} …'.")
    return credential.strip()
