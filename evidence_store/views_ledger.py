"""The ledger by API: its lines, its checkpoints, and proofs that need no trust in us."""

from aiohttp import web

from evidence_store import access, app_keys, ledger
from evidence_store.answers import answer
from evidence_store.asked import read_query
from evidence_store.errors import BadRequest, Forbidden, NotFound
from evidence_store.schemas import (
    CheckpointAsked,
    ConsistencyAsked,
    ConsistencyProof,
    InclusionAsked,
    InclusionProof,
    LedgerAsked,
    LedgerEntry,
    LedgerPage,
)
from evidence_store.tokens import Scope

routes = web.RouteTableDef()
_PAGE = 100


@routes.get("/evidence/v1/ledger", name="ledger.list", allow_head=False)
@access.token(Scope.LEDGER)
async def list_ledger(request: web.Request) -> web.Response:
    """Return lines of the ledger, in order, perhaps of one object; needs a token for every incident."""
    _check_token(request)
    asked = read_query(request, LedgerAsked)
    async with request.app[app_keys.STORE].database.read() as db:
        head = await ledger.read_head(db)
        found = await ledger.list_entries(db, after=asked.after, limit=_PAGE + 1, object_id=asked.object)
    page = LedgerPage(
        entries=[LedgerEntry.of(entry) for entry in found[:_PAGE]],
        size=head.size,
        checkpoint=head.note,
        next=str(found[_PAGE - 1].sequence) if len(found) > _PAGE else None,
    )
    return answer(page)


@routes.get("/evidence/v1/ledger/checkpoint", name="ledger.checkpoint", allow_head=False)
@access.token(Scope.LEDGER)
async def show_checkpoint(request: web.Request) -> web.Response:
    """Return the newest checkpoint, or with ?size= one that was kept, as a signed note."""
    _check_token(request)
    asked = read_query(request, CheckpointAsked)
    async with request.app[app_keys.STORE].database.read() as db:
        head = await ledger.read_head(db)
        size = head.size if asked.size is None else asked.size
        note = head.note if size == head.size else await ledger.find_checkpoint(db, size)
    if note is None:
        raise NotFound("No checkpoint was kept at this size.")
    return web.Response(text=note, content_type="text/plain", charset="utf-8")


@routes.get("/evidence/v1/ledger/key", name="ledger.key", allow_head=False)
@access.token(Scope.LEDGER)
async def show_key(request: web.Request) -> web.Response:
    """Return the key that checkpoints are checked with; compare it with one that came another way."""
    return web.Response(text=f"{request.app[app_keys.STORE].keys.ledger.public}\n", content_type="text/plain")


@routes.get("/evidence/v1/ledger/inclusion", name="ledger.inclusion", allow_head=False)
@access.token(Scope.LEDGER)
async def show_inclusion(request: web.Request) -> web.Response:
    """Prove that line ?sequence= is in the ledger of ?size= (default: as it stands)."""
    _check_token(request)
    asked = read_query(request, InclusionAsked)
    async with request.app[app_keys.STORE].database.read() as db:
        head = await ledger.read_head(db)
        sequence, size = asked.sequence, head.size if asked.size is None else asked.size
        if not 1 <= sequence <= size <= head.size:
            raise BadRequest(f"`sequence` is at least 1, `size` not less than it and at most {head.size}.")
        proof = await ledger.prove_inclusion(db, sequence, size)
    proved = InclusionProof(
        sequence=sequence, size=size, leaf_hash=proof.first_root.hex(), path=_hex(proof.path), root=proof.root.hex()
    )
    return answer(proved)


@routes.get("/evidence/v1/ledger/consistency", name="ledger.consistency", allow_head=False)
@access.token(Scope.LEDGER)
async def show_consistency(request: web.Request) -> web.Response:
    """Prove that the ledger of ?second= (default: as it stands) begins with that of ?first=."""
    _check_token(request)
    asked = read_query(request, ConsistencyAsked)
    async with request.app[app_keys.STORE].database.read() as db:
        head = await ledger.read_head(db)
        first, second = asked.first, head.size if asked.second is None else asked.second
        if not 1 <= first <= second <= head.size:
            raise BadRequest(f"`first` is at least 1, `second` not less than it and at most {head.size}.")
        proof = await ledger.prove_consistency(db, first, second)
    proved = ConsistencyProof(
        first=first, second=second, path=_hex(proof.path), first_root=proof.first_root.hex(),
        second_root=proof.root.hex(),
    )  # fmt: skip
    return answer(proved)


def _check_token(request: web.Request) -> None:
    if request[app_keys.TOKEN].incident is not None:
        raise Forbidden("The ledger covers every incident; this token covers one.")


def _hex(hashes: list[bytes]) -> list[str]:
    return [found.hex() for found in hashes]
