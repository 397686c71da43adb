"""Record an incident on one page, look at it, ask the questions again."""

from collections.abc import Mapping

from aiohttp import web

from video_server.accounts import access
from video_server.appointments import service as appointments
from video_server.audit import service as audit
from video_server.core import keys
from video_server.desk import forms as desk_forms
from video_server.desk import lines
from video_server.desk.home import MAY_DESK
from video_server.incidents import eligibility, mobile, offences
from video_server.incidents import service as incidents
from video_server.incidents.model import HOLD_REASONS
from video_server.web import app_keys, forms, pages

routes = web.RouteTableDef()


@routes.get("/desk/incidents/new", name="desk.new_incident")
@access.staff(*MAY_DESK)
async def show_new(request: web.Request) -> web.Response:
    """Show the empty form."""
    return _form(request, values={"form_id": keys.new_id(), "language": "en", "wording": "neutral"})


@routes.post("/desk/incidents/new")
@access.staff(*MAY_DESK)
async def record(request: web.Request) -> web.Response:
    """Record the incident; 303 to the free times, or to the incident when video cannot be offered."""
    try:
        form, number = await desk_forms.read_incident(request)
    except forms.FormInvalid as refusal:
        return _form(request, values=refusal.values, problems=refusal.problems, status=refusal.status)
    async with request.app[app_keys.DATABASE].begin() as db:
        incident = await incidents.record_incident(
            db,
            offence_type=form.offence_type,
            victim_name=form.name,
            victim_mobile=number,
            language=form.language,
            safe_contact=form.safe_contact,
            eligibility=form.eligibility,
            immediate_threat=form.threat,
            by=request[access.STAFF].id,
            now=request.app[app_keys.CLOCK](),
            form_id=form.form_id,
        )
        assessment = await incidents.get_assessment(db, incident.id)
    refused = eligibility.offer_problems(assessment)
    raise pages.see_other(request, "desk.incident" if refused else "desk.book", id=incident.id)


def _form(
    request: web.Request, *, values: Mapping[str, str], problems: Mapping[str, str] | None = None, status: int = 200
) -> web.Response:
    return pages.render(
        request,
        "desk/new_incident.html",
        offences=offences.OFFENCES,
        values=values,
        problems=problems or {},
        status=status,
    )


@routes.get("/desk/incidents/{id:[0-9a-f]{32}}", name="desk.incident")
@access.staff(*MAY_DESK)
async def show(request: web.Request) -> web.Response:
    """Show an incident, whether video may be offered, and its appointments. Looking is logged."""
    now, force = request.app[app_keys.CLOCK](), request.app[app_keys.FORCE]
    async with request.app[app_keys.DATABASE].begin() as db:
        incident = await incidents.get_incident(db, request.match_info["id"])
        victim = await incidents.get_person(db, incident.victim_id)
        assessment = await incidents.get_assessment(db, incident.id)
        found = await lines.read_lines(db, await appointments.list_of_incident(db, incident.id), force)
        booked = await appointments.find_ahead(db, incident.id, now=now) is not None
        await audit.record(
            db,
            actor=f"staff:{request[access.STAFF].id}",
            action="incidents.viewed",
            subject=f"incident:{incident.id}",
            now=now,
        )
    return pages.render(
        request,
        "desk/incident.html",
        incident=incident,
        offence=offences.label_of(incident.offence_type),
        victim=victim,
        held_why=HOLD_REASONS.get(victim.held_why or "", ""),
        mobile=mobile.say_mobile(victim.mobile),
        assessment=assessment,
        reasons=[eligibility.REASONS[code] for code in eligibility.video_problems(assessment.eligibility)],
        appointments=found,
        booked=booked,
        states=lines.STATES,
    )


@routes.get("/desk/incidents/{id:[0-9a-f]{32}}/questions", name="desk.questions")
@access.staff(*MAY_DESK)
async def show_questions(request: web.Request) -> web.Response:
    """Show the triage questions, unanswered: what was said before may not hold any more."""
    return await _questions(request, values={}, problems={})


@routes.post("/desk/incidents/{id:[0-9a-f]{32}}/questions")
@access.staff(*MAY_DESK)
async def ask_again(request: web.Request) -> web.Response:
    """Record new answers; 303 to the incident. The newest answers count."""
    try:
        form = await desk_forms.read_questions(request)
    except forms.FormInvalid as refusal:
        return await _questions(request, values=refusal.values, problems=refusal.problems, status=refusal.status)
    async with request.app[app_keys.DATABASE].begin() as db:
        incident = await incidents.get_incident(db, request.match_info["id"])
        await incidents.assess(
            db,
            incident.id,
            eligibility=form.eligibility,
            immediate_threat=form.threat,
            by=request[access.STAFF].id,
            now=request.app[app_keys.CLOCK](),
        )
    raise pages.see_other(request, "desk.incident", id=incident.id)


async def _questions(
    request: web.Request, *, values: Mapping[str, str], problems: Mapping[str, str], status: int = 200
) -> web.Response:
    async with request.app[app_keys.DATABASE].read() as db:
        incident = await incidents.get_incident(db, request.match_info["id"])
    return pages.render(
        request, "desk/questions.html", incident=incident, values=values, problems=problems, status=status
    )
