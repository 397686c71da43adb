"""What a court is shown, by the pages: an exhibit's audit trail as a PDF, and what is chosen as a court package."""

from collections.abc import Sequence

from aiohttp import web
from pydantic import Field

from evidence_store import access, app_keys, ledger
from evidence_store.court.package import open_kept
from evidence_store.court.schemas import PackageRequest
from evidence_store.court.views import give_package, print_trail, save_trail
from evidence_store.custody.storage import find_label
from evidence_store.errors import BadRequest
from evidence_store.model import ObjectState, StoredObject
from evidence_store.sealing import signing
from evidence_store.tokens import Scope
from evidence_store.view import forms, giving, guards, pages, storage
from evidence_store.view.i18n import N_, gettext

routes = web.RouteTableDef()
_PACKAGE = "/evidence/view/package"
_ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f]*$"


@routes.get("/evidence/view/objects/{id}/trail.pdf", name="view.trail", allow_head=False)
@guards.person(Scope.TRAIL)
async def trail(request: web.Request) -> web.Response:
    """Send the audit trail to be saved; that it was read is its last line."""
    return await print_trail(request)


@routes.get("/evidence/view/objects/{id}/trail.json", name="view.trail_json", allow_head=False)
@guards.person(Scope.TRAIL)
async def trail_json(request: web.Request) -> web.Response:
    """Send the audit trail for programs, with every proof; that it was read is its last line."""
    return await save_trail(request)


class PackageForm(forms.Form):
    """Whom a package is for and why, as it is typed."""

    recipient: str = Field(min_length=1, max_length=200, pattern=_ONE_LINE)
    reason: str = Field(min_length=3, max_length=500, pattern=_ONE_LINE)
    quarantined: bool = False
    checkpoint: str = Field("", max_length=2000)

    @property
    def checkpoints(self) -> list[str]:
        """Return the checkpoint as it was signed, if one was named: a note ends with a line's end."""
        return [f"{self.checkpoint}\n"] if self.checkpoint else []


_WORDS = {
    "recipient": N_("Enter whom the package is for, in one line of at most 200 characters"),
    "checkpoint": N_("A checkpoint has at most 2,000 characters. Copy all of the file, and nothing else"),
    "reason": N_("Say why it is given out, in one line of 3 to 500 characters. It stands in the history: no names"),
}
_NOT_NOW = {
    ObjectState.SCREENING: N_("%(name)s is being screened for malware. Try again in a moment, or put it back."),
    ObjectState.DISPOSING: N_("%(name)s was disposed of. Put it back."),
    ObjectState.DISPOSED: N_("%(name)s was disposed of. Put it back."),
}


@routes.get(_PACKAGE, name="view.package", allow_head=False)
@guards.person(Scope.EXPORT)
async def show(request: web.Request) -> web.Response:
    """Ask whom the package is for and why."""
    return await _page(request, await _chosen(request), forms.Filled())


@routes.post(_PACKAGE)
@guards.person(Scope.EXPORT)
async def make(request: web.Request) -> web.StreamResponse:
    """Check what is wanted, have it confirmed, then send the package to be saved."""
    chosen, typed = await _chosen(request), await guards.read_form(request)
    filled = forms.fill(PackageForm, typed, _WORDS)
    filled.problems |= _problems(chosen, typed) | await _doubts(request, chosen)
    if filled.values is not None:
        filled.problems |= await _misfit(request, filled.values.checkpoints)
    if filled.values is None or filled.problems or "change" in typed:
        return await _page(request, chosen, filled)
    if typed.get("confirm") != "yes" or not signing.same(typed.get("shown", ""), _digest(chosen)):
        return await _page(request, chosen, filled, template="package_confirm.html")
    form = filled.values
    asked = PackageRequest(
        objects=[stored.id for stored in chosen], recipient=form.recipient, reason=form.reason,
        quarantined=form.quarantined, checkpoints=form.checkpoints,
    )  # fmt: skip
    sending, package_id = request.app[giving.SENDING], signing.new_id()
    told = sending.begin(package_id, 2 * sum(stored.size_bytes for stored in chosen))
    try:
        return await give_package(request, asked, package_id=package_id, told=told)
    finally:
        sending.end(package_id)


async def _chosen(request: web.Request) -> Sequence[StoredObject]:
    async with request.app[app_keys.STORE].database.read() as db:
        return await storage.list_chosen(db, request[guards.PERSON].id)


def _problems(chosen: Sequence[StoredObject], typed: dict[str, str]) -> dict[str, str]:
    """Say what stands against giving these out."""
    found = {}
    for stored in chosen:
        if stored.state in _NOT_NOW:
            found["form"] = gettext(_NOT_NOW[stored.state]) % {"name": stored.filename}
    if _quarantined(chosen) and typed.get("quarantined") != "yes":
        found["quarantined"] = gettext("Say that quarantined exhibits are wanted too, or put them back")
    return found


async def _doubts(request: web.Request, chosen: Sequence[StoredObject]) -> dict[str, str]:
    """Say of which of them the ledger does not say what the package would."""
    not_vouched = await access.find_doubted(request, chosen)
    doubted = [stored.filename for stored in chosen if stored.id in not_vouched]
    if not doubted:
        return {}
    said = N_(
        "What stands here of %(name)s is not what the ledger recorded when it came, so it is not given out. Put it "
        "back, and tell whoever runs the evidence store now"
    )
    return {"form": gettext(said) % {"name": doubted[0]}}


async def _misfit(request: web.Request, checkpoints: Sequence[str]) -> dict[str, str]:
    """Say what is wrong with a checkpoint that the recipient is said to hold."""
    store = request.app[app_keys.STORE]
    async with store.database.read() as db:
        head = await ledger.read_head(db)
    try:
        beyond = any(open_kept(store, note) > head.size for note in checkpoints)
    except BadRequest:
        said = N_("This is no checkpoint of this ledger, or it was changed. Copy all of the file, and nothing else")
        return {"checkpoint": gettext(said)}
    if beyond:
        said = N_(
            "This checkpoint knows of more lines than the ledger has. Tell whoever runs the evidence store at once"
        )
        return {"checkpoint": gettext(said)}
    return {}


def _quarantined(chosen: Sequence[StoredObject]) -> int:
    return sum(stored.state is ObjectState.QUARANTINED for stored in chosen)


def _digest(chosen: Sequence[StoredObject]) -> str:
    """Return what a confirmation holds fast: that it is for these exhibits, and not for what was chosen since."""
    return signing.sha256_hex("\n".join(stored.id for stored in chosen).encode())


async def _page(
    request: web.Request, chosen: Sequence[StoredObject], filled: forms.Filled[PackageForm],
    *, template: str = "package.html",
) -> web.Response:  # fmt: skip
    if not chosen:
        return pages.see(request, "view.chosen", done="none")
    store = request.app[app_keys.STORE]
    async with store.database.read() as db:
        listed = [(stored, await find_label(db, stored.id)) for stored in chosen]
        given = await giving.list_given(request, db, chosen)
    return pages.ask(
        request,
        template,
        filled,
        listed=listed,
        given=given,
        total=sum(stored.size_bytes for stored in chosen),
        shown=_digest(chosen),
        quarantined=_quarantined(chosen),
        fingerprint=store.keys.ledger.public.fingerprint,
    )
