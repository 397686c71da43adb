"""The original: given out only after its purpose is asked, and that stands in the history."""

from aiohttp import web
from pydantic import Field

from evidence_store import access, app_keys
from evidence_store.errors import Disposed, Quarantined
from evidence_store.model import ObjectState, StoredObject
from evidence_store.objects.views import give_out
from evidence_store.quarantine.service import read_standing
from evidence_store.tokens import Scope
from evidence_store.view import forms, guards, pages
from evidence_store.view.i18n import N_

routes = web.RouteTableDef()
_HERE = "/evidence/view/objects/{id}/original"


class PurposeForm(forms.Form):
    """Why the original is needed, as it is typed."""

    purpose: str = Field(min_length=3, max_length=120)


_WORDS = {"purpose": N_("Say why you need the original, in 3 to 120 characters. It stands in the history: no names")}


@routes.get(_HERE, name="view.original", allow_head=False)
@guards.person(Scope.READ)
async def show(request: web.Request) -> web.Response:
    """Ask why the original is needed."""
    return await _page(request, await access.get_sealed(request), forms.Filled())


@routes.post(_HERE)
@guards.person(Scope.READ)
async def send(request: web.Request) -> web.StreamResponse:
    """Send the original to be saved, never shown: its bytes are whatever their sender made them."""
    stored = await access.get_sealed(request, reads=True)
    filled = forms.fill(PurposeForm, await guards.read_form(request), _WORDS)
    if filled.values is None:
        return await _page(request, stored, filled)
    return await give_out(request, stored, purpose=access.under_glass(request, filled.values.purpose))


async def _page(request: web.Request, stored: StoredObject, filled: forms.Filled[PurposeForm]) -> web.Response:
    if stored.state in {ObjectState.DISPOSING, ObjectState.DISPOSED}:
        raise Disposed
    if stored.state is ObjectState.QUARANTINED and not _may_open_quarantined(request):
        raise Quarantined
    async with request.app[app_keys.STORE].database.read() as db:
        malware = (await read_standing(db, stored)).malware
    return pages.ask(request, "original.html", filled, stored=stored, malware=malware)


def _may_open_quarantined(request: web.Request) -> bool:
    return Scope.QUARANTINE in request[app_keys.TOKEN].scopes
