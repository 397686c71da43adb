"""Search, and one exhibit: its facts, how long it is kept, and its history."""

from datetime import date, timedelta
from zoneinfo import ZoneInfo

from aiohttp import web
from pydantic import Field

from evidence_store import access, app_keys, ledger
from evidence_store.breakglass.storage import list_on_incident
from evidence_store.custody import looking
from evidence_store.custody.model import MARK
from evidence_store.custody.search import Search, State
from evidence_store.keeping import storage as keeping
from evidence_store.keeping.model import ReviewState
from evidence_store.keeping.retention import keep_until
from evidence_store.model import ObjectState
from evidence_store.quarantine.model import is_open
from evidence_store.quarantine.service import read_standing
from evidence_store.quarantine.storage import list_releases_on
from evidence_store.screening.storage import find as find_screening
from evidence_store.tokens import Scope
from evidence_store.view import forms, glass, guards, pages, player, seen, timeline, words
from evidence_store.view.i18n import N_

routes = web.RouteTableDef()
PAGE = 25
MOST_LINES = 1000


class SearchForm(forms.Form):
    """What may be looked for; every given condition must hold."""

    incident: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}$")
    mark: str | None = Field(None, pattern=MARK)
    officer: str | None = Field(None, max_length=64)
    kind: str | None = Field(None, pattern=r"^[a-z][a-z0-9_-]{0,39}$")
    state: State | None = None
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    first: date | None = None
    last: date | None = None
    after: str = Field("", max_length=1000)


_WORDS = {
    "incident": N_("Enter an incident's reference, such as AP-7F4K-92QD"),
    "mark": N_("Enter an exhibit mark, such as JS/1"),
    "officer": N_("Enter a collar number or name of at most 64 characters"),
    "kind": N_("Enter a kind in small letters, such as upload or statement"),
    "sha256": N_("A digest is 64 digits and letters from a to f"),
    "first": N_("Enter a day, such as 2 March 2026"),
    "last": N_("Enter a day, such as 2 March 2026"),
}


@routes.get("/evidence/", name="view.search", allow_head=False)
@guards.person(Scope.READ)
async def search(request: web.Request) -> web.Response:
    """Show the search, and what it found; nothing is looked at before something is asked for."""
    typed = _typed(request)
    filled = forms.fill(SearchForm, typed, _WORDS)
    asked = "search" in request.query
    page = None
    if asked and filled.values is not None:
        searched, token = _search_of(request, filled.values), request[app_keys.TOKEN]
        if searched.incident is not None:
            token = await glass.reaching(request, searched.incident)
        page = await looking.find(
            request.app[app_keys.STORE], request.app[app_keys.READS], searched, token,
            purpose=access.under_glass(request, ""),
        )  # fmt: skip
    following = None
    if page is not None and page.following:
        query = {name: value for name, value in typed.items() if value and name != "after"}
        following = pages.url(request, "view.search", {"search": "yes"} | query | {"after": page.following})
    return pages.render(
        request, "search.html", typed=typed, problems=filled.problems if asked else {},
        found=page.found if page else None, following=following, done=pages.done(request),
        status=422 if asked and filled.problems else 200,
    )  # fmt: skip


def _typed(request: web.Request) -> dict[str, str]:
    typed = {name: request.query.get(name, "").replace("\0", "") for name in SearchForm.model_fields}
    typed["mark"] = typed["mark"].upper().replace(" ", "")
    typed["sha256"] = "".join(typed["sha256"].lower().split())
    return typed


def _search_of(request: web.Request, form: SearchForm) -> Search:
    zone = _zone(request)
    day = timedelta(days=1)
    return Search(
        incident=form.incident, mark=form.mark, officer=form.officer, kind=form.kind, state=form.state,
        sha256=form.sha256,
        received_from=forms.start_of(form.first, zone) if form.first else None,
        received_before=forms.start_of(form.last + day, zone) if form.last and form.last < date.max else None,
        order="newest", limit=PAGE, after=form.after,
    )  # fmt: skip


def _zone(request: web.Request) -> ZoneInfo:
    return ZoneInfo(request.app[app_keys.STORE].settings.timezone)


@routes.get("/evidence/view/objects/{id}", name="view.object", allow_head=False)
@guards.person(Scope.READ)
async def show(request: web.Request) -> web.Response:
    """Show one exhibit. Looking is in the ledger before it is shown."""
    store, token, stored = request.app[app_keys.STORE], request[app_keys.TOKEN], await access.get_sealed(request)
    media = request.app[app_keys.MEDIA]
    known = await looking.look(store, request.app[app_keys.READS], stored, token, purpose=access.purpose_of(request))
    async with store.database.read() as db:
        holds = await keeping.list_holds_on(db, stored)
        assigned, reviews = await keeping.list_assigned(db, stored.id), await keeping.list_reviews_on(db, stored.id)
        classes = {row.code: row for row in await keeping.list_classes(db)}
        screening, glasses = await find_screening(db, stored.id), await list_on_incident(db, stored.incident)
        standing, releases = await read_standing(db, stored), await list_releases_on(db, stored.id)
        lines = []
        if Scope.TRAIL in token.scopes:
            lines = await ledger.list_entries(db, after=0, limit=MOST_LINES + 1, object_id=stored.id)
    described = await media.describe(stored)
    events = timeline.events_of(lines[:MOST_LINES], holds, glasses, zone=_zone(request))
    is_kept = stored.state in {ObjectState.SCREENING, ObjectState.RECEIVED, ObjectState.QUARANTINED}
    return pages.render(
        request, "object.html", known=known, stored=stored, label=known.label, notes=known.notes,
        open_holds=[hold for hold in holds if hold.released_at is None], reviews=reviews,
        waiting=next((review for review in reviews if review.state is ReviewState.PROPOSED), None),
        disposal=next((review for review in reviews if review.state is ReviewState.DONE), None),
        causes=list(standing.causes()) if stored.state is ObjectState.QUARANTINED else [],
        releases=releases, releases_said=words.RELEASES,
        releasing=next((one for one in releases if is_open(one, standing)), None),
        assigned=[(classes[one.code], one.starts_at) for one in assigned], until=keep_until(assigned),
        events=events, lanes=timeline.lanes_of(events), shapes=timeline.SHAPES, drawn=timeline.DRAWN,
        now=store.clock(), more_lines=len(lines) > MOST_LINES, reviews_said=words.REVIEWS, is_kept=is_kept,
        may_open=is_kept and (stored.state is ObjectState.RECEIVED or Scope.QUARANTINE in token.scopes),
        no_picture=seen.why_no_picture(stored.state, described, why_off=media.why_off),
        player=await player.player_of(request, stored, asked="play" in request.query), picture=described.picture,
        facts=seen.say_facts(described.facts), place_says=described.place_says, screening=screening,
        done=pages.done(request),
    )  # fmt: skip
