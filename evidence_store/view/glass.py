"""Breaking the glass by the pages: who sees one incident opens another's evidence, with a reason, and it is told."""

from dataclasses import replace
from datetime import timedelta
from typing import Literal

from aiohttp import web
from pydantic import Field

from evidence_store import app_keys
from evidence_store.breakglass import service
from evidence_store.breakglass.service import Wanted
from evidence_store.breakglass.storage import find_open
from evidence_store.custody.search import Search
from evidence_store.custody.storage import search
from evidence_store.database import Connection
from evidence_store.errors import OtherIncident
from evidence_store.model import ObjectState
from evidence_store.storage import find_object
from evidence_store.tokens import Scope, Token
from evidence_store.view import forms, guards, pages
from evidence_store.view.deeds import act_of, new_act_id
from evidence_store.view.i18n import N_, gettext

routes = web.RouteTableDef()
_HERE = "/evidence/view/glass"
PURPOSES = {
    "life": N_("Somebody's life or safety is in danger"),
    "child": N_("A child may be at risk"),
    "suspect": N_("A suspect is in custody or may get away"),
    "other": N_("Something else that cannot wait"),
}


class GlassForm(forms.Form):
    """What is to be opened and why, as it is typed: one exhibit by its id, else an incident."""

    object: str | None = Field(None, pattern=r"^[0-9a-f]{32}$")
    incident: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}$")
    purpose: Literal["life", "child", "suspect", "other"]
    reason: str = Field(min_length=10, max_length=400)


_WORDS = {
    "purpose": N_("Choose what it is about"),
    "reason": N_("Say in 10 to 400 characters why it cannot wait. Supervisors read it at once: no names"),
}


@routes.get(_HERE, name="view.glass", allow_head=False)
@guards.person(Scope.BREAK_GLASS)
async def show(request: web.Request) -> web.Response:
    """Ask why evidence of another incident must be opened. Says nothing of what there is."""
    asked = {name: request.query[name] for name in ("object", "incident") if name in request.query}
    return _page(request, forms.Filled(asked | {"act": new_act_id()}))


@routes.post(_HERE)
@guards.person(Scope.BREAK_GLASS)
async def break_it(request: web.Request) -> web.Response:
    """Open it for some minutes and alarm the supervisors; 303 to what was opened."""
    store, token, typed = request.app[app_keys.STORE], request[app_keys.TOKEN], await guards.read_form(request)
    filled = forms.fill(GlassForm, typed, _WORDS)
    form = filled.values
    if form is None:
        return _page(request, filled)
    async with store.database.read() as db:
        wanted = await _find(db, form)
    if wanted is None:
        filled.problems["form"] = gettext("There is no evidence under this reference. Check it; nothing was opened.")
        return _page(request, filled)
    if not token.sees(wanted.incident):
        reason = f"{gettext(PURPOSES[form.purpose])}: {form.reason}"
        await service.break_glass(store, wanted, act_of(request, typed), token, reason=reason)
    if wanted.object:
        return pages.see(request, "view.object", id=wanted.object, done="glass")
    return pages.see_search(request, incident=wanted.incident, done="glass")


async def _find(db: Connection, form: GlassForm) -> Wanted | None:
    if form.object is not None:
        stored = await find_object(db, form.object)
        is_there = stored is not None and stored.state is not ObjectState.SEALING
        return Wanted(stored.incident, stored.id, stored.sha256) if stored and is_there else None
    asked = Search.model_validate({"incident": form.incident, "limit": 1})
    return Wanted(form.incident) if form.incident and await search(db, asked, after=0, limit=1) else None


def _page(request: web.Request, filled: forms.Filled[GlassForm]) -> web.Response:
    minutes = request.app[app_keys.STORE].settings.break_glass_minutes
    until = request.app[app_keys.STORE].clock() + timedelta(minutes=minutes)
    return pages.ask(
        request,
        "glass.html",
        filled,
        purposes=[(code, gettext(said), "") for code, said in PURPOSES.items()],
        minutes=minutes,
        until=until,
    )


async def reaching(request: web.Request, incident: str) -> Token:
    """Return the person's token as it searches an incident: another than their own by a broken glass only.

    Raises OtherIncident
    """
    store, token = request.app[app_keys.STORE], request[app_keys.TOKEN]
    if token.sees(incident):
        return token
    async with store.database.read() as db:
        glass = await find_open(db, token.id, incident=incident, now=store.clock())
    if glass is None or Scope.BREAK_GLASS not in token.scopes:
        raise OtherIncident
    request[app_keys.GLASS] = glass
    return replace(token, incident=incident)
