"""What staff write about an exhibit: its label, notes, and what it was derived from."""

from datetime import datetime
from zoneinfo import ZoneInfo

from aiohttp import web
from pydantic import Field, field_validator

from evidence_store import access, app_keys, refusals
from evidence_store.custody import service, storage
from evidence_store.custody.model import MARK, Label
from evidence_store.custody.schemas import Relation
from evidence_store.custody.service import Act
from evidence_store.errors import Conflict, LabelSigned, MarkTaken, NotFound
from evidence_store.model import StoredObject
from evidence_store.sealing import signing
from evidence_store.tokens import Scope
from evidence_store.view import forms, guards, pages, words
from evidence_store.view.i18n import N_, gettext

routes = web.RouteTableDef()
_OBJECT = "/evidence/view/objects/{id}"


def new_act_id() -> str:
    """Return what a form carries so that it is carried out once, however often it is sent."""
    return signing.new_id()


def act_of(request: web.Request, form: dict[str, str]) -> Act:
    """Return who acts, and the id of what is made: the same for a form that is sent again."""
    token, act_id = request[app_keys.TOKEN], form.get("act") or new_act_id()
    return Act(token.actor, signing.sha256_hex(f"{token.id}\n{request.path}\n{act_id}".encode())[:32])


# --- label


class LabelForm(forms.Form):
    """An exhibit's label, as it is typed."""

    mark: str = Field(pattern=MARK)
    description: str = Field(max_length=2000)
    maker: str = Field(max_length=120)
    signed: str = ""
    signed_at: datetime | None = None
    signed_how: str = Field("", max_length=200)

    @field_validator("mark", mode="before")
    @classmethod
    def _as_written(cls, mark: str) -> str:
        return "".join(mark.upper().split())


_LABEL_WORDS = {
    "mark": N_("Enter the exhibit mark: initials, a slash and a number, such as JS/1"),
    "description": N_("Describe what the exhibit is, in at most 2,000 characters"),
    "maker": N_("Enter who produces the exhibit, in at most 120 characters"),
    "signed_at": N_("Enter the day and time at which the label was signed"),
    "signed_how": N_("Say how the maker was identified and signed, in at most 200 characters"),
}


@routes.get(_OBJECT + "/label", name="view.label", allow_head=False)
@guards.person(Scope.ANNOTATE)
async def show_label(request: web.Request) -> web.Response:
    """Show the label as it stands, to be changed while it is unsigned."""
    stored = await access.get_sealed(request)
    async with request.app[app_keys.STORE].database.read() as db:
        label = await storage.find_label(db, stored.id)
    typed = {name: getattr(label, name) if label else "" for name in ("mark", "description", "maker")}
    return pages.ask(request, "label.html", forms.Filled(typed), stored=stored)


@routes.post(_OBJECT + "/label")
@guards.person(Scope.ANNOTATE)
async def set_label(request: web.Request) -> web.Response:
    """Save the label; 303 to the exhibit."""
    store, stored = request.app[app_keys.STORE], await access.get_sealed(request)
    filled = forms.fill(LabelForm, await guards.read_form(request), _LABEL_WORDS)
    label = _label_of(request, stored, filled)
    if label is None:
        return pages.ask(request, "label.html", filled, stored=stored)
    try:
        await service.set_label(store, stored, label)
    except MarkTaken as refusal:
        await refusals.note(request, refusal)
        filled.problems["mark"] = gettext("Another exhibit of this incident has this mark. Enter the next number")
    except LabelSigned as refusal:
        await refusals.note(request, refusal)
        filled.problems["form"] = gettext("The label was signed and never changes. Add a note instead.")
    return (
        pages.ask(request, "label.html", filled, stored=stored)
        if filled.problems
        else pages.see(request, "view.object", id=stored.id, done="label")
    )


def _label_of(request: web.Request, stored: StoredObject, filled: forms.Filled[LabelForm]) -> Label | None:
    form, store = filled.values, request.app[app_keys.STORE]
    signed = filled.typed.get("signed") == "yes"
    if signed:
        for name in ("signed_at", "signed_how"):
            if not filled.typed.get(name, "").strip():
                filled.problems.setdefault(name, gettext(_LABEL_WORDS[name]))
    if form is None or filled.problems:
        return None
    zone = ZoneInfo(store.settings.timezone)
    signed_at = form.signed_at.replace(tzinfo=form.signed_at.tzinfo or zone) if form.signed_at and signed else None
    if signed_at is not None and signed_at > store.clock():
        filled.problems["signed_at"] = gettext("The label cannot have been signed after now")
        return None
    return Label(
        object=stored.id, incident=stored.incident, mark=form.mark, description=form.description, maker=form.maker,
        signed_at=signed_at, signed_how=form.signed_how if signed else "", nonce=signing.new_id(),
        changed_by=request[app_keys.TOKEN].actor, changed_at=store.clock(),
    )  # fmt: skip


# --- notes


class NoteForm(forms.Form):
    """A note, as it is typed."""

    text: str = Field(max_length=3000)


_NOTE_WORDS = {"text": N_("Write the note, in at most 3,000 characters")}


@routes.get(_OBJECT + "/notes", name="view.note", allow_head=False)
@guards.person(Scope.ANNOTATE)
async def show_note(request: web.Request) -> web.Response:
    """Show an empty note."""
    return pages.ask(request, "note.html", forms.Filled({"act": new_act_id()}), stored=await access.get_sealed(request))


@routes.post(_OBJECT + "/notes")
@guards.person(Scope.ANNOTATE)
async def add_note(request: web.Request) -> web.Response:
    """Add the note; 303 to the exhibit."""
    stored, typed = await access.get_sealed(request), await guards.read_form(request)
    filled = forms.fill(NoteForm, typed, _NOTE_WORDS)
    if filled.values is None:
        return pages.ask(request, "note.html", filled, stored=stored)
    await service.annotate(request.app[app_keys.STORE], stored, act_of(request, typed), filled.values.text)
    return pages.see(request, "view.object", id=stored.id, done="note")


# --- what it was derived from


class LinkForm(forms.Form):
    """What an object was derived from, as it is typed."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    relation: Relation

    @field_validator("sha256", mode="before")
    @classmethod
    def _as_written(cls, digest: str) -> str:
        return "".join(digest.lower().split())


_LINK_WORDS = {
    "sha256": N_("Enter the original's digest: 64 digits and letters from a to f"),
    "relation": N_("Choose what this is"),
}


@routes.get(_OBJECT + "/original-of", name="view.link", allow_head=False)
@guards.person(Scope.ANNOTATE)
async def show_link(request: web.Request) -> web.Response:
    """Ask what this object was derived from."""
    return _link_page(request, await access.get_sealed(request), forms.Filled())


@routes.post(_OBJECT + "/original-of")
@guards.person(Scope.ANNOTATE)
async def set_link(request: web.Request) -> web.Response:
    """Link a copy to its original; 303 to the copy."""
    stored = await access.get_sealed(request)
    filled = forms.fill(LinkForm, await guards.read_form(request), _LINK_WORDS)
    if filled.values is not None:
        try:
            await service.link(
                request.app[app_keys.STORE], stored, sha256=filled.values.sha256, relation=filled.values.relation,
                actor=request[app_keys.TOKEN].actor,
            )  # fmt: skip
        except NotFound:
            filled.problems["sha256"] = gettext(
                "No exhibit of this incident has this digest. Copy it from the original"
            )
        except Conflict as refusal:
            await refusals.note(request, refusal)
            filled.problems["sha256"] = refusal.detail or refusal.title
        else:
            return pages.see(request, "view.object", id=stored.id, done="link")
    return _link_page(request, stored, filled)


def _link_page(request: web.Request, stored: StoredObject, filled: forms.Filled[LinkForm]) -> web.Response:
    return pages.ask(
        request,
        "link.html",
        filled,
        stored=stored,
        relations=words.RELATIONS,
    )
