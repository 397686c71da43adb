"""Issue tokens, revoke them, and ask whether one still holds: at every request, so that a revocation counts at once.

A signature alone opens nothing: the id must be in the database, and the token must hold the secret whose digest stands
there. So the list of tokens is the whole list, and who steals token.key, and reads ids in the ledger or the database,
cannot make one that works without writing to the database too.
"""

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from evidence_store import tokens
from evidence_store.admission import storage
from evidence_store.admission.model import Issued
from evidence_store.errors import NotFound, TokenRevoked, Unauthorized
from evidence_store.model import Action
from evidence_store.sealing import signing
from evidence_store.sealing.keys import read_shared_token, share_token
from evidence_store.store import Store
from evidence_store.tokens import Scope, Token

ACTOR = "operator"
WEB = "web"
WEB_SCOPES = (Scope.READ_OWN, Scope.SEAL)
_WEB_LASTS = timedelta(days=3660)
_WEB_PER_MINUTE = 60_000


async def issue(
    store: Store,
    *,
    scopes: Iterable[Scope],
    name: str,
    incident: str | None,
    lasts: timedelta,
    per_minute: int | None = None,
) -> str:
    """Make a token and note in database and ledger that it was issued; return it. It is kept nowhere."""
    made = tokens.make_token(
        store.keys.token, token_id=tokens.new_token_id(), scopes=scopes, name=name, incident=incident, lasts=lasts,
        now=store.clock(), per_minute=per_minute,
    )  # fmt: skip
    await _enter(store, tokens.open_token(store.keys.token, made, now=store.clock()))
    return made


async def _enter(store: Store, token: Token) -> None:
    """Note a token that was made just now as issued."""
    assert token.expires_at is not None, "a token that was opened has an end"
    scopes = " ".join(sorted(scope.value for scope in token.scopes))
    issued = Issued(
        token.id, token.name, scopes, token.incident, token.per_minute, store.clock(), token.expires_at,
        secret_sha256=token.secret_sha256,
    )  # fmt: skip
    async with store.database.begin() as db:
        if await storage.insert_token(db, issued):
            await store.record(
                db, actor=ACTOR, action=Action.TOKEN_ISSUED, object_id="", token=token.id, name=token.name,
                scopes=scopes, incident=token.incident, per_minute=token.per_minute,
                expires=issued.expires_at.isoformat(), issued=issued.issued_at.isoformat(),
                secret_sha256=issued.secret_sha256,
            )  # fmt: skip


async def revoke(store: Store, token_id: str, *, reason: str) -> Issued:
    """Take a token's power away, for every process from its next request on; again changes nothing. Raises NotFound."""
    now = store.clock()
    async with store.database.begin() as db:
        if await storage.revoke_token(db, token_id, reason=reason, now=now):
            await store.record(
                db, actor=ACTOR, action=Action.TOKEN_REVOKED, object_id="", purpose=reason, token=token_id,
                revoked_at=now.isoformat(),
            )  # fmt: skip
        found = await storage.find_token(db, token_id)
    if found is None:
        raise NotFound
    return found


async def check_holds(store: Store, token: Token) -> None:
    """Pass while a genuine token was issued here and not revoked. Raises Unauthorized, TokenRevoked."""
    async with store.database.read() as db:
        issued = await storage.find_token(db, token.id)
    if issued is None or (issued.secret_sha256 and not signing.same(issued.secret_sha256, token.secret_sha256)):
        raise Unauthorized("The token is not among those issued here.")
    if issued.revoked_at is not None:
        raise TokenRevoked("The token was revoked.", actor=token.actor)


async def share_web_token(store: Store, folder: Path) -> None:
    """Lay a token into the web server's key folder, unless a good one is there: to seal, and to read what came by it.

    What lies there is never taken up: who writes there, and holds token.key, would have let in what they like.
    """
    held = read_shared_token(folder)
    try:
        await check_holds(store, tokens.open_token(store.keys.token, held, now=store.clock()))
    except Unauthorized:
        made = await issue(
            store, scopes=WEB_SCOPES, name=WEB, incident=None, lasts=_WEB_LASTS, per_minute=_WEB_PER_MINUTE
        )
        share_token(folder, made, in_place_of=held)
