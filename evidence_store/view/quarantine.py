"""Release from quarantine: why it is set aside, who may let it out, and a second person where malware was found."""

from aiohttp import web

from evidence_store import access, app_keys, refusals
from evidence_store.errors import (
    Disposed,
    NotFound,
    NotQuarantined,
    QuarantineChanged,
    Refusal,
    ReleaseClosed,
    ReleaseOpen,
    SamePerson,
)
from evidence_store.model import ObjectState, StoredObject, parse_id
from evidence_store.quarantine import service, storage
from evidence_store.quarantine.model import Release, ReleaseState
from evidence_store.storage import find_object
from evidence_store.tokens import Scope
from evidence_store.view import forms, guards, pages, words
from evidence_store.view.deeds import act_of, new_act_id
from evidence_store.view.i18n import N_, gettext
from evidence_store.view.keep import REASON_WORDS, DecisionForm, ReasonForm

routes = web.RouteTableDef()
_HERE = "/evidence/view/objects/{id}/quarantine"
_REFUSED = {
    NotQuarantined: N_("This exhibit is not in quarantine any more. Open it to see what happened."),
    QuarantineChanged: N_("Something else is known of it since you opened this page. Read again what stands below."),
    ReleaseOpen: N_("A release of this exhibit waits for a second person already."),
    ReleaseClosed: N_("Somebody decided this release before you, or something else was found since."),
    SamePerson: N_("You proposed this release. Another person must decide it."),
    Disposed: N_("This exhibit was disposed of."),
}


def refused(refusal: Refusal) -> str:
    """Say why an object may not be released."""
    return gettext(_REFUSED[type(refusal)])


@routes.get(_HERE, name="view.unquarantine", allow_head=False)
@guards.person(Scope.RELEASE)
async def show(request: web.Request) -> web.Response:
    """Say why an exhibit is set aside, and ask why it is released."""
    stored = await access.get_sealed(request)
    if stored.state is not ObjectState.QUARANTINED:
        raise NotQuarantined
    return await _page(request, stored, forms.Filled({"act": new_act_id()}))


@routes.post(_HERE)
@guards.person(Scope.RELEASE)
async def release(request: web.Request) -> web.Response:
    """Show what would be released, then, confirmed, release or propose it; 303 to the exhibit."""
    stored, typed = await access.get_sealed(request), await guards.read_form(request)
    filled = forms.fill(ReasonForm, typed, {"reason": REASON_WORDS})
    if filled.values is None or "confirm" not in typed:
        return await _page(request, stored, filled)
    try:
        made = await service.release(
            request.app[app_keys.STORE], stored, act_of(request, typed), request[app_keys.TOKEN],
            knowing=typed.get("knowing", ""), reason=filled.values.reason,
        )  # fmt: skip
    except (QuarantineChanged, ReleaseOpen) as refusal:
        await refusals.note(request, refusal)
        filled.problems["form"] = refused(refusal)
        return await _page(request, stored, filled)
    return pages.see(request, "view.object", id=stored.id, done=made.state.value)


async def _page(request: web.Request, stored: StoredObject, filled: forms.Filled[ReasonForm]) -> web.Response:
    async with request.app[app_keys.STORE].database.read() as db:
        standing = await service.read_standing(db, stored)
    confirming = filled.values is not None and not filled.problems and "change" not in filled.typed
    return pages.ask(request, "unquarantine.html", filled, stored=stored, standing=standing, confirming=confirming)


_DECISION_WORDS = {"decision": N_("Choose whether to approve or reject the release"), "reason": REASON_WORDS}


@routes.get("/evidence/view/releases/{id}", name="view.decide_release", allow_head=False)
@guards.person(Scope.RELEASE)
async def show_decision(request: web.Request) -> web.Response:
    """Show a proposed release to a second person."""
    return await _decision_page(request, await _get_release(request), forms.Filled())


@routes.post("/evidence/view/releases/{id}")
@guards.person(Scope.RELEASE)
async def decide(request: web.Request) -> web.Response:
    """Show what would be decided, then, confirmed, decide as a second person; 303 to the exhibit."""
    found, typed = await _get_release(request), await guards.read_form(request)
    filled = forms.fill(DecisionForm, typed, _DECISION_WORDS)
    if filled.values is None or "confirm" not in typed:
        return await _decision_page(request, found, filled)
    approve = filled.values.decision == "approve"
    try:
        await service.decide(
            request.app[app_keys.STORE], found.id, request[app_keys.TOKEN], approve=approve, reason=filled.values.reason
        )
    except (NotQuarantined, QuarantineChanged, ReleaseClosed, SamePerson, Disposed) as refusal:
        await refusals.note(request, refusal, about=found.object)
        filled.problems["form"] = refused(refusal)
        return await _decision_page(request, found, filled)
    return pages.see(request, "view.object", id=found.object, done="released" if approve else "refused")


async def _get_release(request: web.Request) -> Release:
    async with request.app[app_keys.STORE].database.read() as db:
        found = await storage.find_release(db, parse_id(request.match_info["id"]))
    if found is None or not request[app_keys.TOKEN].sees(found.incident):
        raise NotFound
    return found


async def _decision_page(request: web.Request, found: Release, filled: forms.Filled[DecisionForm]) -> web.Response:
    async with request.app[app_keys.STORE].database.read() as db:
        stored = await find_object(db, found.object)
        standing = await service.read_standing(db, stored) if stored else None
    if stored is None or standing is None:
        raise NotFound
    await access.vouch_for(request, stored)
    mine = found.asked_name.casefold() == request[app_keys.TOKEN].name.casefold()
    confirming = filled.values is not None and not filled.problems and "change" not in filled.typed
    is_open = found.state is ReleaseState.PROPOSED and stored.state is ObjectState.QUARANTINED
    return pages.ask(
        request, "decide_release.html", filled, release=found, stored=stored, standing=standing, mine=mine,
        is_open=is_open, is_stale=found.knowing != standing.knowing, said=words.RELEASES[found.state.value],
        confirming=confirming,
    )  # fmt: skip
