"""Search, and one exhibit: its facts, how long it is kept, and its history."""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from aiohttp import web
from pydantic import Field

from evidence_store import access, app_keys, ledger, vouching
from evidence_store.breakglass.storage import list_on_incident
from evidence_store.custody import looking, storage
from evidence_store.custody.model import MARK, Label
from evidence_store.custody.search import Media, Search, State
from evidence_store.keeping import storage as keeping
from evidence_store.keeping.model import ReviewState
from evidence_store.keeping.retention import keep_until
from evidence_store.model import ObjectState, Run, RunKind, StoredObject
from evidence_store.quarantine.model import is_open
from evidence_store.quarantine.service import read_standing
from evidence_store.quarantine.storage import list_releases_on
from evidence_store.screening.storage import find as find_screening
from evidence_store.storage import find_newest_run
from evidence_store.tokens import Scope
from evidence_store.view import doubt, forms, glass, guards, pages, player, seen, timeline, words
from evidence_store.view.i18n import N_, gettext
from evidence_store.view.storage import list_chosen
from evidence_store.view.work import name_of

routes = web.RouteTableDef()
PAGE = 25
COUNTED = 1000
"""No further than this is counted what a search found."""
MOST_LINES = 1000
_NUMBER = re.compile(r"[0-9a-f]{32}")


class SearchForm(forms.Form):
    """What may be looked for; every given condition must hold."""

    incident: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}$")
    mark: str | None = Field(None, pattern=MARK)
    officer: str | None = Field(None, max_length=64)
    kind: str | None = Field(None, pattern=r"^[a-z][a-z0-9_-]{0,39}$")
    state: State | None = None
    media: Media | None = None
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    first: date | None = None
    last: date | None = None
    after: str = Field("", max_length=1000)
    start: int = Field(1, ge=1, le=10**9)


_WORDS = {
    "incident": N_("Enter an incident's reference, such as AP-7F4K-92QD"),
    "mark": N_("Enter an exhibit mark, such as JS/1"),
    "officer": N_("Enter a collar number or name of at most 64 characters"),
    "kind": N_("Enter a kind in small letters, such as upload or statement"),
    "sha256": N_("Copy all of it: a digest is 64 digits and letters from a to f, a number in the store is 32"),
    "first": N_("Enter a day, such as 2026-03-02 for 2 March 2026"),
    "last": N_("Enter a day, such as 2026-03-02 for 2 March 2026"),
}
_BACKWARDS = N_("The last day is before the first one. Change one of them")


@routes.get("/evidence/", name="view.search", allow_head=False)
@guards.person(Scope.READ)
async def search(request: web.Request) -> web.Response:
    """Show the search, and what it found; nothing is looked at before something is asked for."""
    typed = _typed(request)
    asked = "search" in request.query
    if asked and _NUMBER.fullmatch(typed["sha256"]):
        return pages.see(request, "view.object", id=typed["sha256"])
    filled = forms.fill(SearchForm, typed, _WORDS)
    form = filled.values
    if form is not None and form.first and form.last and form.last < form.first:
        filled.problems["last"] = gettext(_BACKWARDS)
    found = await _find(request, form) if asked and form is not None and not filled.problems else None
    query = {"search": "yes"} | {name: typed[name] for name in typed if typed[name] and name not in {"after", "start"}}
    capitals = typed["incident"].upper()
    return pages.render(
        request, "search.html", typed=typed, problems=filled.problems if asked else {}, found=found,
        again=pages.url(request, "view.search", query), capitals="" if capitals == typed["incident"] else capitals,
        in_capitals=pages.url(request, "view.search", query | {"incident": capitals}),
        following=pages.url(request, "view.search", query | found.next_page) if found and found.next_page else None,
        today=request.app[app_keys.STORE].clock().astimezone(_zone(request)).date().isoformat(),
        done=pages.done(request), status=422 if asked and filled.problems else 200,
    )  # fmt: skip


@dataclass(frozen=True)
class Found:
    """What a search found, as its page shows it: exhibits `start` and on, of `total` (at most COUNTED and one).

    doubted  those of which the signed ledger does not say what the page does
    """

    listed: list[tuple[StoredObject, Label | None]]
    total: int
    start: int
    held: set[str]
    chosen: set[str]
    doubted: frozenset[str]
    next_page: dict[str, str]

    @property
    def end(self) -> int:
        """Return which one stands last on the page."""
        return self.start + len(self.listed) - 1

    @property
    def has_more(self) -> bool:
        """Say whether there are more than were counted."""
        return self.total > COUNTED


async def _find(request: web.Request, form: SearchForm) -> Found:
    store, searched, token = request.app[app_keys.STORE], _search_of(request, form), request[app_keys.TOKEN]
    if searched.incident is not None:
        token = await glass.reaching(request, searched.incident)
    page = await looking.find(
        store, request.app[app_keys.READS], searched, token, purpose=access.under_glass(request, "")
    )
    within = searched.model_copy(update={"incident": searched.incident or token.incident})
    async with store.database.read() as db:
        total = await storage.count(db, within, most=COUNTED + 1)
        held = await keeping.find_held(db, [stored for stored, _ in page.found])
        chosen = {stored.id for stored in await list_chosen(db, request[guards.PERSON].id)}
    following = {"after": page.following, "start": str(form.start + PAGE)} if page.following else {}
    return Found(page.found, total, form.start, held, chosen, page.doubted, following)


def _typed(request: web.Request) -> dict[str, str]:
    typed = {name: request.query.get(name, "").replace("\0", "").strip() for name in SearchForm.model_fields}
    typed["mark"] = "".join(typed["mark"].upper().split())
    typed["sha256"] = "".join(typed["sha256"].lower().split())
    if not re.fullmatch(r"[0-9]{1,9}", typed["start"]):
        typed["start"] = ""
    own = request[app_keys.TOKEN].incident
    if own is not None and typed["incident"].casefold() == own.casefold():
        typed["incident"] = own
    return typed


def _search_of(request: web.Request, form: SearchForm) -> Search:
    zone = _zone(request)
    day = timedelta(days=1)
    return Search(
        incident=form.incident, mark=form.mark, officer=form.officer, kind=form.kind, state=form.state,
        sha256=form.sha256, media=form.media,
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
    media, vouched = request.app[app_keys.MEDIA], request[app_keys.VOUCHED]
    known = await looking.look(
        store, request.app[app_keys.READS], stored, token, purpose=access.purpose_of(request), vouched=vouched
    )
    async with store.database.read() as db:
        holds = await keeping.list_holds_on(db, stored)
        assigned, reviews = await keeping.list_assigned(db, stored.id), await keeping.list_reviews_on(db, stored.id)
        classes = {row.code: row for row in await keeping.list_classes(db)}
        screening, glasses = await find_screening(db, stored.id), await list_on_incident(db, stored.incident)
        standing, releases = await read_standing(db, stored), await list_releases_on(db, stored.id)
        lines, recorded = [], None
        if Scope.TRAIL in token.scopes:
            recorded = None if vouched else await vouching.find_recorded(db, store, stored.id)
            lines = await ledger.list_entries(db, after=0, limit=MOST_LINES + 1, object_id=stored.id, newest=True)
        linked = [one for one in (known.original and known.original.original, *(c.object for c in known.copies)) if one]
        names = {one: await name_of(db, one) for one in linked}
        is_chosen = any(one.id == stored.id for one in await list_chosen(db, request[guards.PERSON].id))
        scrubbed = await find_newest_run(db, RunKind.SCRUB, finished=True)
    described, zone = await media.describe(stored), _zone(request)
    events = timeline.events_of(lines[-MOST_LINES:], holds, glasses, zone=zone)
    told = timeline.gather(events, zone)
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
        names=names, relations=words.RELATIONS, is_chosen=is_chosen, now=store.clock(),
        told=told, days=timeline.days_of(told, zone), glance=timeline.glance(events),
        checked=checked_at(stored, scrubbed),
        recorded=recorded, differences=doubt.differences(stored, recorded, zone) if recorded else [],
        lanes=timeline.lanes_of(told), new_days=timeline.new_days(told, zone), shapes=timeline.SHAPES,
        drawn=timeline.DRAWN, more_lines=len(lines) > MOST_LINES, reviews_said=words.REVIEWS, is_kept=is_kept,
        may_open=is_kept and (stored.state is ObjectState.RECEIVED or Scope.QUARANTINE in token.scopes),
        no_picture=seen.why_no_picture(stored.state, described, why_off=media.why_off, vouched=vouched),
        player=await player.player_of(request, stored, asked="play" in request.query) if vouched else None,
        picture=described.picture,
        facts=seen.say_facts(described.facts), place_says=described.place_says, screening=screening,
        done=pages.done(request),
    )  # fmt: skip


def checked_at(stored: StoredObject, scrubbed: Run | None) -> datetime | None:
    """Return when the store last read all of an object again, with everything else it keeps; None before that."""
    was_there = scrubbed is not None and stored.sealed_at is not None and scrubbed.started_at >= stored.sealed_at
    return scrubbed.finished_at if scrubbed is not None and was_there else None
