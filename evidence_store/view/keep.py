"""Holds and how long an exhibit is kept. What forbids or allows disposal is confirmed on a page of its own."""

from datetime import date
from typing import Literal
from zoneinfo import ZoneInfo

from aiohttp import web
from pydantic import Field

from evidence_store import access, app_keys
from evidence_store.errors import BadRequest, Conflict, NotFound
from evidence_store.keeping import service, storage
from evidence_store.keeping.model import Assigned, Hold
from evidence_store.keeping.retention import keep_until
from evidence_store.model import StoredObject, parse_id
from evidence_store.storage import find_object
from evidence_store.tokens import Scope
from evidence_store.view import forms, guards, pages
from evidence_store.view.deeds import act_of, new_act_id
from evidence_store.view.i18n import N_, gettext

routes = web.RouteTableDef()
_OBJECT = "/evidence/view/objects/{id}"
REASON = Field(min_length=3, max_length=500)
REASON_WORDS = N_("Give the reason in 3 to 500 characters. It stands in the history for good: no names")


class DecisionForm(forms.Form):
    """What a second person decides, as it is typed."""

    decision: Literal["approve", "reject"]
    reason: str = REASON


class HoldForm(forms.Form):
    """What to hold, as it is typed."""

    what: Literal["object", "incident"]
    reason: str = REASON


_HOLD_WORDS = {"what": N_("Choose what to hold"), "reason": REASON_WORDS}


@routes.get(_OBJECT + "/hold", name="view.hold", allow_head=False)
@guards.person(Scope.HOLD)
async def show_hold(request: web.Request) -> web.Response:
    """Ask what to hold and why."""
    return pages.ask(request, "hold.html", forms.Filled({"act": new_act_id()}), stored=await access.get_sealed(request))


@routes.post(_OBJECT + "/hold")
@guards.person(Scope.HOLD)
async def place_hold(request: web.Request) -> web.Response:
    """Show what would be held, then, confirmed, hold it; 303 to the exhibit."""
    stored, typed = await access.get_sealed(request), await guards.read_form(request)
    filled = forms.fill(HoldForm, typed, _HOLD_WORDS)
    if filled.values is None or "change" in typed:
        return pages.ask(request, "hold.html", filled, stored=stored)
    whole = filled.values.what == "incident"
    if "confirm" not in typed:
        return pages.render(request, "hold_confirm.html", stored=stored, typed=typed, whole=whole)
    await service.place_hold(
        request.app[app_keys.STORE], act_of(request, typed), incident=stored.incident,
        stored=None if whole else stored, reason=filled.values.reason,
    )  # fmt: skip
    return pages.see(request, "view.object", id=stored.id, done="hold")


class ReasonForm(forms.Form):
    """Why, as it is typed."""

    reason: str = REASON


@routes.get("/evidence/view/holds/{id}/release", name="view.release", allow_head=False)
@guards.person(Scope.HOLD)
async def show_release(request: web.Request) -> web.Response:
    """Ask why a hold is released."""
    return await _release_page(request, await _get_hold(request), forms.Filled())


@routes.post("/evidence/view/holds/{id}/release")
@guards.person(Scope.HOLD)
async def release(request: web.Request) -> web.Response:
    """Show what would be released, then, confirmed, release it; 303 to the exhibit, or to the list of holds."""
    hold, typed = await _get_hold(request), await guards.read_form(request)
    filled = forms.fill(ReasonForm, typed, {"reason": REASON_WORDS})
    if filled.values is None or "confirm" not in typed:
        return await _release_page(request, hold, filled)
    try:
        await service.release_hold(
            request.app[app_keys.STORE], hold.id, request[app_keys.TOKEN], reason=filled.values.reason
        )
    except Conflict:
        filled.problems["form"] = gettext("Somebody released this hold before you.")
        return await _release_page(request, hold, filled)
    if hold.object:
        return pages.see(request, "view.object", id=hold.object, done="release")
    return pages.see(request, "view.work", done="release")


async def _get_hold(request: web.Request) -> Hold:
    async with request.app[app_keys.STORE].database.read() as db:
        hold = await storage.find_hold(db, parse_id(request.match_info["id"]))
    if hold is None or not request[app_keys.TOKEN].sees(hold.incident):
        raise NotFound
    return hold


async def _release_page(request: web.Request, hold: Hold, filled: forms.Filled[ReasonForm]) -> web.Response:
    stored = None
    if hold.object:
        async with request.app[app_keys.STORE].database.read() as db:
            stored = await find_object(db, hold.object)
    if stored is not None:
        await access.vouch_for(request, stored)
    confirming = filled.values is not None and not filled.problems and "change" not in filled.typed
    return pages.ask(
        request,
        "release.html",
        filled,
        hold=hold,
        stored=stored,
        confirming=confirming,
    )


# --- how long it is kept


class RetentionForm(ReasonForm):
    """By which classes, each from a day on, and why."""


@routes.get(_OBJECT + "/retention", name="view.retention", allow_head=False)
@guards.person(Scope.RETENTION)
async def show_retention(request: web.Request) -> web.Response:
    """Show by which classes an exhibit is kept."""
    stored, store = await access.get_sealed(request), request.app[app_keys.STORE]
    async with store.database.read() as db:
        assigned = await storage.list_assigned(db, stored.id)
    zone = ZoneInfo(store.settings.timezone)
    typed: dict[str, str] = {}
    for one in assigned:
        typed |= {f"class-{one.code}": "yes", f"from-{one.code}": one.starts_at.astimezone(zone).date().isoformat()}
    return await _retention_page(request, stored, forms.Filled(typed))


@routes.post(_OBJECT + "/retention")
@guards.person(Scope.RETENTION)
async def set_retention(request: web.Request) -> web.Response:
    """Save how long an exhibit is kept; 303 to it."""
    store, stored = request.app[app_keys.STORE], await access.get_sealed(request)
    typed = await guards.read_form(request)
    filled = forms.fill(RetentionForm, typed, {"reason": REASON_WORDS})
    wanted = _assigned(stored, filled, ZoneInfo(store.settings.timezone))
    if filled.values is None or filled.problems:
        return await _retention_page(request, stored, filled)
    try:
        await service.set_retention(
            store, stored, wanted, actor=request[app_keys.TOKEN].actor, reason=filled.values.reason
        )
    except BadRequest as refusal:  # a class that was taken away meanwhile
        filled.problems["form"] = refusal.detail
        return await _retention_page(request, stored, filled)
    return pages.see(request, "view.object", id=stored.id, done="retention")


def _assigned(stored: StoredObject, filled: forms.Filled[RetentionForm], zone: ZoneInfo) -> list[Assigned]:
    found = []
    for name in filled.typed:
        code = name.removeprefix("class-")
        if code == name:
            continue
        day = filled.typed.get(f"from-{code}", "").strip()
        try:
            starts_at = forms.start_of(date.fromisoformat(day), zone) if day else stored.received_at
        except ValueError:
            filled.problems[f"from-{code}"] = gettext("Enter a day, such as 2 March 2026")
            continue
        found.append(Assigned(code, None, starts_at))
    return found


async def _retention_page(
    request: web.Request, stored: StoredObject, filled: forms.Filled[RetentionForm]
) -> web.Response:
    async with request.app[app_keys.STORE].database.read() as db:
        classes, assigned = await storage.list_classes(db), await storage.list_assigned(db, stored.id)
    classes.sort(key=lambda row: (row.years is None, -(row.years or 0), row.code))
    return pages.ask(
        request,
        "retention.html",
        filled,
        stored=stored,
        classes=classes,
        until=keep_until(assigned),
    )
