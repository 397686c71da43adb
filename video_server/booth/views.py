"""The officer's pages: the diary, one appointment's call, its summary, taking a colleague's place."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from aiohttp import web

from video_server.accounts import access as staff_access
from video_server.accounts.model import Role, Staff
from video_server.appointments import service as appointments
from video_server.appointments.model import Appointment, GuestRole, State
from video_server.audit import service as audit
from video_server.booth import access, connection, deeds, diary, reading
from video_server.calls import alerts, notes, page_news, roles
from video_server.calls import model as calls_model
from video_server.calls import service as calls
from video_server.calls.turn import TURN
from video_server.core import keys
from video_server.core.database import Connection
from video_server.core.errors import N_, Refusal
from video_server.core.force import Force
from video_server.evidence import pages as evidence_pages
from video_server.evidence import service as evidence
from video_server.statements import back_page, languages
from video_server.web import app_keys, i18n, pages

routes = web.RouteTableDef()

FURTHEST = timedelta(days=370)
"""How far from today the diary turns its pages."""
LISTEN = "listen"
"""The query of a page that only listens; it counts for supervisors alone."""
ALERTS_STAY_DAYS = 7
"""Today's diary shows alerts of so many days before, until somebody has seen them."""

booth_staff = staff_access.staff(Role.OFFICER, Role.SUPERVISOR)


class NotADay(Refusal):
    code = "not_a_day"
    public = N_("That is not a day of this diary. Go back to today.")


@routes.get("/booth", name="booth.diary")
@booth_staff
async def show_diary(request: web.Request) -> web.Response:
    """Show one day, today unless asked for another."""
    return pages.render(request, "booth/diary.html", **await _diary(request))


@routes.get("/booth/diary-fragment", name="booth.diary_fragment")
@booth_staff
async def diary_fragment(request: web.Request) -> web.Response:
    """Return the day's table and alerts, or 204 when they are still what the page shows (`seen`, a digest)."""
    text = pages.render_text(request, "booth/_diary.html", **await _diary(request))
    digest = keys.digest(text)
    if digest == request.query.get("seen"):
        return web.Response(status=204, headers={"X-Diary": digest})
    return web.Response(text=text, content_type="text/html", charset="utf-8", headers={"X-Diary": digest})


@routes.get("/booth/cover", name="booth.cover")
@booth_staff
async def show_cover(request: web.Request) -> web.Response:
    """List colleagues' appointments of a day, without the person's name, so that an absent one can be covered."""
    person, force = request[staff_access.STAFF], request.app[app_keys.FORCE]
    now = request.app[app_keys.CLOCK]()
    day = _read_day(request, now=now)
    async with request.app[app_keys.DATABASE].read() as db:
        listed = await appointments.list_day(db, officer_id=None, day=day, force=force)
        open_ones = [one for one in listed if one.state == State.BOOKED and one.officer_id != person.id]
        mine = await access.taken_over(db, person, [one.id for one in open_ones])
        rows = await reading.read_rows(db, [one for one in open_ones if one.id not in mine], now=now)
    return pages.render(request, "booth/cover.html", rows=rows, **reading.turn_days(day, now=now, force=force))


@routes.get("/booth/appointments/{appointment}", name="booth.call")
@booth_staff
async def show_call(request: web.Request) -> web.Response:
    """Show the call's page; 303 to the summary once it has ended; 403 with the way to take over a colleague's."""
    try:
        return await render_call(request)
    except access.NotYours as refusal:
        if pages.wants_json(request):
            raise
        async with request.app[app_keys.DATABASE].read() as db:
            [row] = await reading.read_rows(db, [refusal.appointment], now=request.app[app_keys.CLOCK]())
        is_open = refusal.appointment.state == State.BOOKED
        return pages.render(request, "booth/take_over.html", row=row, is_open=is_open, status=403)


async def render_call(request: web.Request, *, problem: str | None = None, status: int = 200) -> web.Response:
    """Render the call's page, with a sentence at the outcomes when the end was refused."""
    force, now = request.app[app_keys.FORCE], request.app[app_keys.CLOCK]()
    async with request.app[app_keys.DATABASE].read() as db:
        appointment = await access.access_appointment(
            db, request[staff_access.STAFF], request.match_info["appointment"]
        )
        if appointment.state != State.BOOKED:
            raise pages.see_other(request, "booth.summary", appointment=appointment.id)
        values = await reading.read_case(db, appointment)
        note = await notes.get_note(db, appointment.id)
    return pages.render(
        request,
        "booth/call.html",
        **values,
        config=_config(request, appointment, values, note, now=now, force=force),
        note=note,
        outcomes=[{"value": code, "text": words} for code, words in reading.outcome_words()],
        statement_choices=back_page.choices(),
        spoken_languages=languages.list_languages(i18n.current()),
        guest_roles=[
            {"value": role.value, "text": i18n.gettext(roles.WORDS[calls_model.Role(role.value)])} for role in GuestRole
        ],
        listening=_listening(request, appointment),
        all_evidence=evidence_pages.store_role(request[staff_access.STAFF]) is not None,
        problem=problem,
        status=status,
    )


@routes.get("/booth/appointments/{appointment}/summary", name="booth.summary")
@booth_staff
async def show_summary(request: web.Request) -> web.Response:
    """Show what an appointment came to: times, outcome, notes, who did what."""
    return await render_summary(request)


async def render_summary(request: web.Request, *, problem: str | None = None, status: int = 200) -> web.Response:
    """Render the summary, with a sentence on top when something was refused."""
    person = request[staff_access.STAFF]
    async with request.app[app_keys.DATABASE].read() as db:
        appointment = await access.access_appointment(db, person, request.match_info["appointment"])
        values = await reading.read_case(db, appointment)
        view = await calls.view(db, appointment.id)
        note = await notes.get_note(db, appointment.id)
        results = await reading.read_results(db, appointment.id)
        quality = await page_news.quality_of(db, appointment.id)
        entries = await audit.list_for(db, f"appointment:{appointment.id}")
        names = await reading.read_names(db, {actor for entry in entries for actor in deeds.staff_in(entry)})
    persons = [one for one in view.participants if one.role is calls_model.Role.VICTIM]
    waits = [one.waiting_since for one in persons if one.waiting_since]
    return pages.render(
        request,
        "booth/summary.html",
        **values,
        problem=problem,
        status=status,
        times={
            "booked_at": appointment.booked_at,
            "arrived_at": min((one.arrived_at for one in persons), default=None),
            "waited_from": min(waits, default=None),
            "seen_at": appointment.seen_at,
            "ended_at": appointment.ended_at,
        },
        outcome=dict(reading.outcome_words()).get(appointment.outcome or "", appointment.outcome),
        pauses=[pause for pause in view.pauses if pause.began_at and pause.ended_at],
        gaps=connection.tell_gaps(view.gaps, view.participants, victim=values["person"]["name"]),
        quality=connection.tell_quality(quality, view.participants, victim=values["person"]["name"]),
        note=note,
        all_evidence=evidence_pages.store_role(request[staff_access.STAFF]) is not None,
        **results,
        deeds=deeds.tell(entries, names),
    )


def _read_day(request: web.Request, *, now: datetime) -> date:
    today = now.astimezone(request.app[app_keys.FORCE].timezone).date()
    asked = request.query.get("day", "")
    if not asked:
        return today
    try:
        day = date.fromisoformat(asked)
    except ValueError as problem:
        raise NotADay from problem
    if abs(day - today) > FURTHEST:
        raise NotADay
    return day


async def _diary(request: web.Request) -> dict[str, Any]:
    """Read all that one day of the diary shows. Today also shows alerts of the last days that nobody has seen."""
    person, force = request[staff_access.STAFF], request.app[app_keys.FORCE]
    now = request.app[app_keys.CLOCK]()
    day = _read_day(request, now=now)
    days = reading.turn_days(day, now=now, force=force)
    before = range(1, ALERTS_STAY_DAYS + 1) if days["is_today"] else ()
    async with request.app[app_keys.DATABASE].read() as db:
        listed = await _visible(db, person, day, force=force)
        earlier = [one for n in before for one in await _visible(db, person, day - timedelta(days=n), force=force)]
        alarms = await evidence.list_alarms(db) if person.holds(Role.SUPERVISOR) else ()
        opened = diary.open_alerts(await alerts.list_open(db, [one.id for one in (*listed, *earlier)]))
        alarmed = {alert.appointment_id for alert in opened}
        rows = await reading.read_rows(db, listed, now=now)
        more = await reading.read_rows(db, [one for one in earlier if one.id in alarmed], now=now)
    by_id = {row["id"]: row for row in (*rows, *more)}
    return {
        **days,
        "rows": rows,
        "everybody": person.holds(Role.SUPERVISOR),
        "alarms": alarms,
        "waiting": sum(row["standing"] == diary.Standing.WAITING for row in rows),
        "alerts": [
            {"id": alert.id, "kind": alert.kind.value, "at": alert.at, **_named(by_id[alert.appointment_id])}
            for alert in opened
        ],
    }


async def _visible(db: Connection, person: Staff, day: date, *, force: Force) -> Sequence[Appointment]:
    """Return a day's appointments that this person may see: own and taken over, a supervisor all."""
    listed = await appointments.list_day(db, officer_id=None, day=day, force=force)
    if person.holds(Role.SUPERVISOR):
        return listed
    covered = await access.taken_over(db, person, [one.id for one in listed])
    return [one for one in listed if one.officer_id == person.id or one.id in covered]


def _named(row: dict[str, Any]) -> dict[str, Any]:
    return {"appointment": row["id"], "reference": row["reference"], "name": row["name"]}


def _listening(request: web.Request, appointment: Appointment) -> dict[str, Any]:
    """Say whether this page only listens, whether it might, and the way to the other kind."""
    person = request[staff_access.STAFF]
    here = request.app.router["booth.call"].url_for(appointment=appointment.id)
    may = person.holds(Role.SUPERVISOR) and appointment.officer_id != person.id
    on = may and LISTEN in request.query
    return {"may": may, "on": on, "other": str(here if on else here.with_query(LISTEN))}


def _config(
    request: web.Request,
    appointment: Appointment,
    case: dict[str, Any],
    note: calls_model.Note,
    *,
    now: datetime,
    force: Force,
) -> dict[str, Any]:
    """Return what the page's scripts need; addresses are made here, words stand in the template."""
    here = str(request.app.router["booth.call"].url_for(appointment=appointment.id))
    return {
        "here": here,
        "socket": f"{here}/socket" + (f"?{LISTEN}" if _listening(request, appointment)["on"] else ""),
        "listens": _listening(request, appointment)["on"],
        "name": case["person"]["name"],
        "reference": case["reference"],
        "dial": case["person"]["dial"],
        "language": i18n.current(),
        "timezone": str(force.timezone),
        "now": now.isoformat(),
        "iceServers": request.app[TURN].ice_servers(user=keys.new_id(), now=now),
        "slots": calls_model.SLOTS,
        "note": {"version": note.version, "mostCharacters": notes.NOTE_CHARACTERS},
    }
