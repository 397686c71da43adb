"""Custody by API: search, look, label, annotate, link."""

from aiohttp import web

from evidence_store import access, app_keys, repeats
from evidence_store.answers import answer
from evidence_store.asked import read_json, read_query
from evidence_store.custody import looking, search, service
from evidence_store.custody.model import Label
from evidence_store.custody.schemas import (
    Found,
    FoundObject,
    LabelAnswer,
    LabelRequest,
    LinkAnswer,
    LinkRequest,
    NoteAnswer,
    NoteRequest,
    ObjectDetail,
    ScreeningAnswer,
)
from evidence_store.custody.service import Act
from evidence_store.schemas import Metadata
from evidence_store.screening import storage as screening_storage
from evidence_store.sealing import signing
from evidence_store.tokens import Scope

routes = web.RouteTableDef()


@routes.get("/evidence/v1/objects", name="objects.list", allow_head=False)
@access.token(Scope.READ)
async def list_objects(request: web.Request) -> web.Response:
    """Search objects; a token for one incident finds that one's. The search stands in the ledger."""
    page = await looking.find(
        request.app[app_keys.STORE], request.app[app_keys.READS], read_query(request, search.Search),
        request[app_keys.TOKEN], purpose=access.purpose_of(request),
    )  # fmt: skip
    objects = [FoundObject.found(stored, label, vouched=stored.id not in page.doubted) for stored, label in page.found]
    return answer(Found(objects=objects, next=page.following))


@routes.get("/evidence/v1/objects/{id}", name="objects.show", allow_head=False)
@access.token(Scope.READ, Scope.READ_OWN)
async def show(request: web.Request) -> web.Response:
    """Return all that is known about one object. Recorded in the ledger before it is told."""
    stored = await access.get_visible(request)
    vouched = request.get(app_keys.VOUCHED)
    known = await looking.look(
        request.app[app_keys.STORE], request.app[app_keys.READS], stored, request[app_keys.TOKEN],
        purpose=access.purpose_of(request), vouched=vouched,
    )  # fmt: skip
    async with request.app[app_keys.STORE].database.read() as db:
        screening = await screening_storage.find(db, stored.id)
    return answer(
        ObjectDetail(
            **Metadata.of(stored, vouched=vouched).model_dump(),
            label=LabelAnswer.of(known.label) if known.label else None,
            notes=list(map(NoteAnswer.of, known.notes)),
            original=LinkAnswer.of(known.original) if known.original else None,
            copies=list(map(LinkAnswer.of, known.copies)),
            screening=ScreeningAnswer.of(screening) if screening else None,
            media=await request.app[app_keys.MEDIA].describe(stored),
        )
    )


@routes.put("/evidence/v1/objects/{id}/label", name="objects.label")
@access.token(Scope.ANNOTATE)
@repeats.once()
async def set_label(request: web.Request) -> web.Response:
    """Give an object its exhibit mark and label; a signed one never changes."""
    store, stored = request.app[app_keys.STORE], await access.get_sealed(request)
    asked = await read_json(request, LabelRequest)
    label = Label(
        object=stored.id, incident=stored.incident, mark=asked.mark, description=asked.description, maker=asked.maker,
        signed_at=asked.signed.at if asked.signed else None, signed_how=asked.signed.how if asked.signed else "",
        nonce=signing.new_id(), changed_by=request[app_keys.TOKEN].actor, changed_at=store.clock(),
    )  # fmt: skip
    return answer(LabelAnswer.of(await service.set_label(store, stored, label)))


@routes.post("/evidence/v1/objects/{id}/notes", name="objects.annotate")
@access.token(Scope.ANNOTATE)
@repeats.once()
async def annotate(request: web.Request) -> web.Response:
    """Add a note to an object."""
    stored = await access.get_sealed(request)
    asked = await read_json(request, NoteRequest)
    made = await service.annotate(request.app[app_keys.STORE], stored, act_of(request), asked.text)
    return answer(NoteAnswer.of(made), status=201)


@routes.put("/evidence/v1/objects/{id}/original", name="objects.link")
@access.token(Scope.ANNOTATE)
@repeats.once()
async def link(request: web.Request) -> web.Response:
    """Say which object this one was derived from."""
    stored = await access.get_sealed(request)
    asked = await read_json(request, LinkRequest)
    made = await service.link(
        request.app[app_keys.STORE], stored, sha256=asked.sha256.lower(), relation=asked.relation,
        actor=request[app_keys.TOKEN].actor,
    )  # fmt: skip
    return answer(LinkAnswer.of(made))


def act_of(request: web.Request) -> Act:
    """Return who acts, and the id of what is made."""
    return Act(request[app_keys.TOKEN].actor, repeats.made_id(request))
