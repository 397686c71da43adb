"""Keeping by API: holds, the retention table, retention of an object, review, disposal and its certificate."""

from datetime import timedelta

from aiohttp import web

from evidence_store import access, app_keys, ledger, repeats, vouching
from evidence_store.answers import answer
from evidence_store.asked import read_json, read_query
from evidence_store.custody.views import act_of
from evidence_store.errors import BadRequest, Forbidden, NotFound
from evidence_store.keeping import lists, schemas, service, storage
from evidence_store.keeping.model import Assigned, RetentionClass, Review, parse_code
from evidence_store.model import Action, Entry, parse_id
from evidence_store.storage import find_object
from evidence_store.store import Store
from evidence_store.tokens import Scope

routes = web.RouteTableDef()
_SOON = timedelta(days=30)


@routes.post("/evidence/v1/holds", name="holds.place")
@access.token(Scope.HOLD)
@repeats.once()
async def place_hold(request: web.Request) -> web.Response:
    """Forbid the disposal of one object, or of all of an incident."""
    store, asked = request.app[app_keys.STORE], await read_json(request, schemas.HoldRequest)
    if not request[app_keys.TOKEN].sees(asked.incident):
        raise Forbidden("The token is for another incident.")
    stored = None
    if asked.object is not None:
        async with store.database.read() as db:
            stored = await find_object(db, asked.object)
        if stored is None or stored.incident != asked.incident:
            raise NotFound("The incident has no such object.")
    hold = await service.place_hold(store, act_of(request), incident=asked.incident, stored=stored, reason=asked.reason)
    return answer(schemas.HoldAnswer.of(hold), status=201)


@routes.get("/evidence/v1/holds", name="holds.list", allow_head=False)
@access.token(Scope.HOLD)
async def list_holds(request: web.Request) -> web.Response:
    """Return the holds of ?incident=."""
    asked, store = read_query(request, lists.HoldsAsked), request.app[app_keys.STORE]
    if not request[app_keys.TOKEN].sees(asked.incident):
        raise Forbidden("The token is for another incident.")
    key = store.keys.token
    after = lists.open_place(key, asked)
    async with store.database.read() as db:
        found = await storage.list_holds(db, asked.incident, limit=asked.limit + 1, after=after)
    page, following = lists.cut_page(key, asked, found, lambda hold: (hold.placed_at, hold.id))
    return answer(schemas.HoldList(holds=list(map(schemas.HoldAnswer.of, page)), next=following))


@routes.post("/evidence/v1/holds/{id}/release", name="holds.release")
@access.token(Scope.HOLD)
@repeats.once()
async def release_hold(request: web.Request) -> web.Response:
    """Take a hold away."""
    asked, store = await read_json(request, schemas.ReasonRequest), request.app[app_keys.STORE]
    hold = await service.release_hold(
        store, parse_id(request.match_info["id"]), request[app_keys.TOKEN], reason=asked.reason
    )
    return answer(schemas.HoldAnswer.of(hold))


@routes.get("/evidence/v1/retention-classes", name="retention.classes", allow_head=False)
@access.token(Scope.RETENTION)
async def list_classes(request: web.Request) -> web.Response:
    """Return the force's retention table."""
    async with request.app[app_keys.STORE].database.read() as db:
        found = await storage.list_classes(db)
    return answer(schemas.ClassList(classes=list(map(schemas.ClassAnswer.of, found))))


@routes.put("/evidence/v1/retention-classes/{code}", name="retention.change")
@access.token(Scope.RETENTION)
@repeats.once()
async def set_class(request: web.Request) -> web.Response:
    """Add or change a row of the retention table; it counts at once for every object that has it."""
    token, asked = request[app_keys.TOKEN], await read_json(request, schemas.ClassRequest)
    if token.incident is not None:
        raise Forbidden("The table is for every incident; this token is for one.")
    row = RetentionClass(parse_code(request.match_info["code"]), asked.title, asked.years, asked.source)
    await service.set_class(request.app[app_keys.STORE], row, actor=token.actor)
    return answer(schemas.ClassAnswer.of(row))


@routes.put("/evidence/v1/objects/{id}/retention", name="objects.retention")
@access.token(Scope.RETENTION)
@repeats.once()
async def set_retention(request: web.Request) -> web.Response:
    """Say by which classes an object is kept; the longest wins."""
    stored, asked = await access.get_sealed(request), await read_json(request, schemas.RetentionRequest)
    if len({one.code for one in asked.classes}) != len(asked.classes):
        raise BadRequest("Each class may be named once.")
    wanted = [Assigned(one.code, None, one.starts_at or stored.received_at) for one in asked.classes]
    assigned = await service.set_retention(
        request.app[app_keys.STORE], stored, wanted, actor=request[app_keys.TOKEN].actor, reason=asked.reason
    )
    return answer(schemas.RetentionAnswer.of(assigned))


@routes.get("/evidence/v1/objects/{id}/keeping", name="objects.keeping", allow_head=False)
@access.token(Scope.READ)
async def show_keeping(request: web.Request) -> web.Response:
    """Return holds, retention and reviews of an object."""
    stored = await access.get_sealed(request)
    async with request.app[app_keys.STORE].database.read() as db:
        holds = await storage.list_holds_on(db, stored)
        assigned, reviews = await storage.list_assigned(db, stored.id), await storage.list_reviews_on(db, stored.id)
    await request.app[app_keys.READS].record(
        stored, action=Action.VIEWED, actor=request[app_keys.TOKEN].actor, purpose=access.purpose_of(request),
        vouched=request.get(app_keys.VOUCHED),
    )  # fmt: skip
    return answer(
        schemas.Keeping(
            holds=list(map(schemas.HoldAnswer.of, holds)),
            retention=schemas.RetentionAnswer.of(assigned),
            reviews=list(map(schemas.ReviewAnswer.of, reviews)),
        )
    )


@routes.post("/evidence/v1/objects/{id}/reviews", name="objects.review")
@access.token(Scope.REVIEW)
@repeats.once()
async def review(request: web.Request) -> web.Response:
    """Record a review: keep, or propose disposal."""
    stored, asked = await access.get_sealed(request), await read_json(request, schemas.ReviewRequest)
    made = await service.review(
        request.app[app_keys.STORE], stored, act_of(request), request[app_keys.TOKEN],
        dispose=asked.outcome == "dispose", reason=asked.reason,
    )  # fmt: skip
    return answer(schemas.ReviewAnswer.of(made), status=201)


@routes.get("/evidence/v1/reviews", name="reviews.list", allow_head=False)
@access.token(Scope.DISPOSE)
async def list_reviews(request: web.Request) -> web.Response:
    """Return the reviews that wait for a second person."""
    store, asked = request.app[app_keys.STORE], read_query(request, lists.ReviewsAsked)
    key, asked = store.keys.token, lists.narrow(asked, request[app_keys.TOKEN])
    after = lists.open_place(key, asked)
    async with store.database.read() as db:
        found = await storage.list_proposed(db, incident=asked.incident, limit=asked.limit + 1, after=after)
    page, following = lists.cut_page(key, asked, found, lambda review: (review.reviewed_at, review.id))
    return answer(schemas.ReviewList(reviews=list(map(schemas.ReviewAnswer.of, page)), next=following))


@routes.get("/evidence/v1/due-for-review", name="reviews.due", allow_head=False)
@access.token(Scope.REVIEW)
async def list_due(request: web.Request) -> web.Response:
    """Return objects whose retention ends soon, or has ended, and that no review is open about."""
    store, asked = request.app[app_keys.STORE], read_query(request, lists.DueAsked)
    key, asked = store.keys.token, lists.narrow(asked, request[app_keys.TOKEN])
    before, after = asked.before or store.clock() + _SOON, lists.open_place(key, asked)
    async with store.database.read() as db:
        found = await storage.list_due(
            db, before=before, incident=asked.incident, limit=asked.limit + 1, after=after
        )  # fmt: skip
    page, following = lists.cut_page(key, asked, found, lambda due: (due.ends_at, due.stored.id))
    shown, actor = [due.stored for due in page], request[app_keys.TOKEN].actor
    vouched = await vouching.vouch(store, shown, actor=actor)
    await request.app[app_keys.READS].record_search(
        asked.conditions, shown, actor=actor, purpose=access.purpose_of(request)
    )
    objects = [schemas.DueAnswer.of(due, vouched=vouched[due.stored.id]) for due in page]
    return answer(schemas.DueList(objects=objects, next=following))


@routes.post("/evidence/v1/reviews/{id}/approve", name="reviews.approve")
@access.token(Scope.DISPOSE)
@repeats.once()
async def approve(request: web.Request) -> web.Response:
    """Approve a disposal as a second person; key and bytes are destroyed."""
    return await _decide(request, approve=True)


@routes.post("/evidence/v1/reviews/{id}/reject", name="reviews.reject")
@access.token(Scope.DISPOSE)
@repeats.once()
async def reject(request: web.Request) -> web.Response:
    """Reject a disposal as a second person; the object stays."""
    return await _decide(request, approve=False)


async def _decide(request: web.Request, *, approve: bool) -> web.Response:
    asked, token = await read_json(request, schemas.ReasonRequest), request[app_keys.TOKEN]
    decided = await service.decide(
        request.app[app_keys.STORE], parse_id(request.match_info["id"]), token, approve=approve, reason=asked.reason
    )
    return answer(schemas.ReviewAnswer.of(decided))


@routes.get("/evidence/v1/reviews/{id}/certificate", name="reviews.certificate", allow_head=False)
@access.token(Scope.READ)
async def show_certificate(request: web.Request) -> web.Response:
    """Return the certificate of a disposal that was carried out."""
    store = request.app[app_keys.STORE]
    async with store.database.read() as db:
        found = await storage.find_review(db, parse_id(request.match_info["id"]))
    if found is None or not request[app_keys.TOKEN].sees(found.incident):
        raise NotFound
    return answer(await certificate_of(store, found))


async def certificate_of(store: Store, found: Review) -> schemas.Certificate:
    """Return the certificate of a review's disposal, with the proof as the ledger stands. Raises NotFound."""
    if found.sequence is None:
        raise NotFound("This review has not led to a disposal.")
    async with store.database.read() as db:
        head = await ledger.read_head(db)
        line = (await ledger.list_entries_at(db, [found.sequence]))[found.sequence]
        proof = await ledger.prove_inclusion(db, found.sequence, head.size)
    return _certificate(found, line, head, proof)


def _certificate(found: Review, line: Entry, head: ledger.Head, proof: ledger.Proof) -> schemas.Certificate:
    return schemas.Certificate.model_validate(
        {
            "object": found.object, "sha256": line.digest, "size_bytes": line.details["size_bytes"],
            "incident": found.incident, "mark": line.details["mark"], "reason": found.reason,
            "reviewed_by": found.reviewed_by, "reviewed_at": found.reviewed_at, "approved_by": found.decided_by,
            "approved_at": found.decided_at, "disposed_at": found.done_at, "sequence": line.sequence,
            "leaf": line.leaf, "size": head.size, "path": [one.hex() for one in proof.path], "checkpoint": head.note,
        }
    )  # fmt: skip
