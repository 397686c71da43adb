"""Review and disposal: one person proposes, another decides, a certificate remains."""

from typing import Literal

from aiohttp import web

from evidence_store import access, app_keys, refusals
from evidence_store.errors import (
    Conflict,
    Disposed,
    Held,
    NotFound,
    RetentionRuns,
    ReviewClosed,
    ReviewOpen,
    SamePerson,
)
from evidence_store.keeping import service, storage
from evidence_store.keeping.model import Review, ReviewState
from evidence_store.keeping.views import certificate_of
from evidence_store.model import parse_id
from evidence_store.storage import find_object
from evidence_store.tokens import Scope
from evidence_store.view import forms, guards, pages, words
from evidence_store.view.deeds import act_of, new_act_id
from evidence_store.view.i18n import N_, gettext
from evidence_store.view.keep import REASON, REASON_WORDS, DecisionForm
from evidence_store.vouching import NotVouched

routes = web.RouteTableDef()
_OBJECT = "/evidence/view/objects/{id}"


class ReviewForm(forms.Form):
    """What a reviewer came to, as it is typed."""

    outcome: Literal["keep", "dispose"]
    reason: str = REASON


_REVIEW_WORDS = {"outcome": N_("Choose whether to keep it or to propose disposal"), "reason": REASON_WORDS}


def refused(refusal: Exception) -> str:
    """Say why an object may not be disposed of."""
    if isinstance(refusal, Held):
        return gettext("An open hold forbids disposal. Release it first, if it is not needed any more.")
    if isinstance(refusal, RetentionRuns):
        return gettext("It must still be kept: %(why)s Set how long it is kept first, if that is wrong.") % {
            "why": refusal.detail
        }
    if isinstance(refusal, ReviewOpen):
        return gettext("A review of this exhibit waits for a second person already.")
    if isinstance(refusal, NotVouched):
        return gettext(
            "What stands here of this exhibit is not what the ledger recorded when it came, so it cannot be disposed "
            "of. Tell whoever runs the evidence store now. Its page shows what was recorded."
        )
    if isinstance(refusal, SamePerson):
        return gettext("You proposed this disposal. Another person must decide it.")
    if isinstance(refusal, ReviewClosed):
        return gettext("Somebody decided this review before you.")
    return gettext("This exhibit was disposed of.")


@routes.get(_OBJECT + "/review", name="view.review", allow_head=False)
@guards.person(Scope.REVIEW)
async def show_review(request: web.Request) -> web.Response:
    """Ask what a review came to."""
    return pages.ask(
        request, "review.html", forms.Filled({"act": new_act_id()}), stored=await access.get_sealed(request)
    )


@routes.post(_OBJECT + "/review")
@guards.person(Scope.REVIEW)
async def review(request: web.Request) -> web.Response:
    """Show what would be proposed, then, confirmed, record the review; 303 to the exhibit."""
    stored, typed = await access.get_sealed(request), await guards.read_form(request)
    filled = forms.fill(ReviewForm, typed, _REVIEW_WORDS)
    if filled.values is None or "change" in typed:
        return pages.ask(request, "review.html", filled, stored=stored)
    dispose = filled.values.outcome == "dispose"
    if dispose and "confirm" not in typed:
        return pages.render(request, "review_confirm.html", stored=stored, typed=typed)
    try:
        await service.review(
            request.app[app_keys.STORE], stored, act_of(request, typed), request[app_keys.TOKEN], dispose=dispose,
            reason=filled.values.reason,
        )  # fmt: skip
    except (Held, RetentionRuns, ReviewOpen, Disposed, NotVouched) as refusal:
        await refusals.note(request, refusal)
        filled.problems["outcome"] = refused(refusal)
        return pages.ask(request, "review.html", filled, stored=stored)
    return pages.see(request, "view.object", id=stored.id, done=filled.values.outcome)


_DECISION_WORDS = {"decision": N_("Choose whether to approve or reject the disposal"), "reason": REASON_WORDS}


@routes.get("/evidence/view/reviews/{id}", name="view.decide", allow_head=False)
@guards.person(Scope.DISPOSE)
async def show_decision(request: web.Request) -> web.Response:
    """Show a proposed disposal to a second person."""
    return await _decision_page(request, await _get_review(request), forms.Filled())


@routes.post("/evidence/view/reviews/{id}")
@guards.person(Scope.DISPOSE)
async def decide(request: web.Request) -> web.Response:
    """Show what would be destroyed, then, confirmed, decide; 303 to the exhibit."""
    found, typed = await _get_review(request), await guards.read_form(request)
    filled = forms.fill(DecisionForm, typed, _DECISION_WORDS)
    if filled.values is None or "change" in typed or "confirm" not in typed:
        return await _decision_page(request, found, filled)
    approve = filled.values.decision == "approve"
    try:
        decided = await service.decide(
            request.app[app_keys.STORE], found.id, request[app_keys.TOKEN], approve=approve,
            reason=filled.values.reason,
        )  # fmt: skip
    except (Held, RetentionRuns, SamePerson, ReviewClosed, Disposed, Conflict, NotVouched) as refusal:
        await refusals.note(request, refusal, about=found.object)
        filled.problems["decision"] = refused(refusal)
        return await _decision_page(request, found, filled)
    done = "rejected" if not approve else "approved" if decided.state is ReviewState.DONE else "approving"
    return pages.see(request, "view.object", id=found.object, done=done)


async def _get_review(request: web.Request) -> Review:
    async with request.app[app_keys.STORE].database.read() as db:
        found = await storage.find_review(db, parse_id(request.match_info["id"]))
    if found is None or not request[app_keys.TOKEN].sees(found.incident):
        raise NotFound
    return found


async def _decision_page(request: web.Request, found: Review, filled: forms.Filled[DecisionForm]) -> web.Response:
    async with request.app[app_keys.STORE].database.read() as db:
        stored = await find_object(db, found.object)
    if stored is not None:
        await access.vouch_for(request, stored)
    mine = found.reviewed_name.casefold() == request[app_keys.TOKEN].name.casefold()
    confirming = filled.values is not None and not filled.problems and "change" not in filled.typed
    return pages.ask(
        request,
        "decide.html",
        filled,
        review=found,
        stored=stored,
        mine=mine,
        is_open=found.state is ReviewState.PROPOSED,
        said=words.REVIEWS[found.state.value],
        confirming=confirming,
    )


@routes.get("/evidence/view/reviews/{id}/certificate", name="view.certificate", allow_head=False)
@guards.person(Scope.READ)
async def certificate(request: web.Request) -> web.Response:
    """Show the certificate of a disposal, to be printed; it can be checked without this store."""
    found = await _get_review(request)
    return pages.render(
        request, "certificate.html", certificate=await certificate_of(request.app[app_keys.STORE], found)
    )
