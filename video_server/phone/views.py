"""The person's pages between the doors: who calls and when, the questions, the call, what happens next."""

from typing import Any, Literal

from aiohttp import web
from pydantic import Field

from video_server.accounts import service as accounts
from video_server.appointments.model import room_closes_at, room_opens_at
from video_server.calls import arriving, safety
from video_server.calls import service as calls
from video_server.calls.model import SLOTS, Participant, Role, State, Watched
from video_server.calls.turn import TURN
from video_server.core import keys
from video_server.core.database import Connection
from video_server.core.errors import N_
from video_server.incidents import service as incidents
from video_server.phone import access, doors, words
from video_server.phone.steps import Step, next_step
from video_server.statements import signing as statements
from video_server.web import app_keys, forms, pages

routes = web.RouteTableDef()


class SafeForm(forms.Form):
    answer: Literal["yes", "no"]


class WatchedForm(forms.Form):
    answer: Watched


class WordForm(forms.Form):
    word: str = Field(max_length=60)


SAFE_WORDS = {"answer": N_("Select yes if you are somewhere safe and private")}
WATCHED_WORDS = {"answer": N_("Select whether the person responsible could see or hear you")}
WORD_WORDS = {"word": N_("Enter the words, or select “I do not remember the words”")}


@routes.get("/phone", name="phone.show")
@access.victim
async def show(request: web.Request) -> web.Response:
    """Say who will call and when, what will happen and what is needed."""
    step, values = await _look(request)
    if step in {Step.UNSAFE, Step.ENDED}:
        return _goodbye(request, step, values)
    next_path = "phone.call" if step is Step.CALL else "phone.safe"
    return pages.render(request, "phone/show.html", early=step is Step.EARLY, next_path=next_path, **values)


@routes.get("/phone/safe", name="phone.safe")
@access.victim
async def ask_safe(request: web.Request) -> web.Response:
    """Ask the first question."""
    return await _question(request, "phone/safe.html")


@routes.post("/phone/safe")
@access.victim
async def answer_safe(request: web.Request) -> web.Response:
    """Note where the person is; 303 to the second question, or to neutral words."""
    try:
        form = await forms.read_form(request, SafeForm, SAFE_WORDS)
    except forms.FormInvalid as refusal:
        return await _question(request, "phone/safe.html", refusal)
    state = await _note_safety(request, safe_place=form.answer == "yes", watched=None)
    raise pages.see_other(request, "phone.show" if state in {None, State.UNSAFE} else "phone.watched")


@routes.get("/phone/watched", name="phone.watched")
@access.victim
async def ask_watched(request: web.Request) -> web.Response:
    """Ask the second question."""
    return await _question(request, "phone/watched.html")


@routes.post("/phone/watched")
@access.victim
async def answer_watched(request: web.Request) -> web.Response:
    """Note who might listen; 303 to the agreed word, or to neutral words."""
    try:
        form = await forms.read_form(request, WatchedForm, WATCHED_WORDS)
    except forms.FormInvalid as refusal:
        return await _question(request, "phone/watched.html", refusal)
    state = await _note_safety(request, safe_place=True, watched=form.answer)
    raise pages.see_other(request, "phone.show" if state in {None, State.UNSAFE} else "phone.word")


async def _note_safety(request: web.Request, *, safe_place: bool, watched: Watched | None) -> State | None:
    """Note an answer; return the state that follows, or None when the room is not open (any more)."""
    victim, now = request[access.VICTIM], request.app[app_keys.CLOCK]()
    async with request.app[app_keys.DATABASE].begin() as db:
        participant = await calls.find_by_session(db, victim.appointment.id, victim.session_id)
        if _step(request, participant) in {Step.EARLY, Step.ENDED}:
            return None
        await arriving.arrive(
            db,
            victim.appointment,
            session_id=victim.session_id,
            role=Role.VICTIM,
            device=doors.describe_device(request),
            now=now,
        )
        return await safety.answer_safety(
            db, victim.appointment, session_id=victim.session_id, safe_place=safe_place, watched=watched, now=now
        )


@routes.get("/phone/word", name="phone.word")
@access.victim
async def ask_word(request: web.Request) -> web.Response:
    """Ask for the agreed word; going on without it is fine."""
    return await _question(request, "phone/word.html")


@routes.post("/phone/word")
@access.victim
async def answer_word(request: web.Request) -> web.Response:
    """Note the word (the officer learns whether it is right, the phone does not); 303 to the call."""
    step, _ = await _look(request)
    if step is not Step.CALL:
        raise pages.see_other(request, "phone.show")
    try:
        form = await forms.read_form(request, WordForm, WORD_WORDS)
    except forms.FormInvalid as refusal:
        return await _question(request, "phone/word.html", refusal)
    victim, now = request[access.VICTIM], request.app[app_keys.CLOCK]()
    async with request.app[app_keys.DATABASE].begin() as db:
        await safety.give_word(db, victim.appointment, session_id=victim.session_id, word=form.word, now=now)
    raise pages.see_other(request, "phone.call")


@routes.get("/phone/call", name="phone.call")
@access.victim
async def show_call(request: web.Request) -> web.Response:
    """Show the one document of check, waiting, call and goodbye; a page load would ask for the camera again."""
    step, values = await _look(request)
    if step in {Step.UNSAFE, Step.ENDED}:
        return _goodbye(request, step, values)
    if step is not Step.CALL:
        raise pages.see_other(request, "phone.show")
    appointment = request[access.VICTIM].appointment
    token = request.app[app_keys.KEYS].link_token(appointment.id, appointment.generation)
    link = f"{request.app[app_keys.PUBLIC_URL]}/j/{token}"
    page_words = words.call_page(values["officer"], phone=values["phone"], reference=values["reference"])
    data = {
        "socket": str(request.app.router["phone.socket"].url_for()),
        "home": str(request.app.router["phone.show"].url_for()),
        "iceServers": request.app[TURN].ice_servers(user=keys.new_id(), now=request.app[app_keys.CLOCK]()),
        "slots": SLOTS,
        "officer": values["officer"]["name"],
        "words": page_words,
        "after": words.after(values["officer"]["name"]),
    }
    return pages.render(request, "phone/call.html", link=link, words=page_words, data=data, **values)


async def _question(request: web.Request, template: str, refusal: forms.FormInvalid | None = None) -> web.Response:
    """Show a question page, with what was wrong; elsewhere on the way: 303 to where the person stands."""
    step, values = await _look(request)
    if step is Step.UNSAFE:
        return _goodbye(request, step, values)
    if step not in {Step.SAFETY, Step.CALL}:
        raise pages.see_other(request, "phone.show")
    if template == "phone/word.html" and step is Step.SAFETY:
        raise pages.see_other(request, "phone.safe")
    return pages.render(
        request,
        template,
        problems=refusal.problems if refusal else {},
        given=refusal.values if refusal else {},
        status=refusal.status if refusal else 200,
        **values,
    )


def _goodbye(request: web.Request, step: Step, values: dict[str, Any]) -> web.Response:
    """Show neutral words after an unsafe answer; how the call ended only to the session that was in it."""
    if step is Step.UNSAFE:
        return pages.render(request, "phone/thanks.html")
    if not values["was_admitted"]:
        return pages.render(request, "phone/closed.html", why="ended")
    return pages.render(request, "phone/ended.html", **values)


async def _look(request: web.Request) -> tuple[Step, dict[str, Any]]:
    """Return where this session stands, and the plain values of its pages."""
    victim, force = request[access.VICTIM], request.app[app_keys.FORCE]
    appointment = victim.appointment
    async with request.app[app_keys.DATABASE].read() as db:
        participant = await calls.find_by_session(db, appointment.id, victim.session_id)
        values: dict[str, Any] = {
            "officer": await read_officer(db, appointment.officer_id),
            "was_admitted": participant is not None and participant.admitted_at is not None,
            "reference": (await incidents.get_incident(db, appointment.incident_id)).reference,
            "starts_at": appointment.starts_at,
            "minutes": int((appointment.ends_at - appointment.starts_at).total_seconds() // 60),
            "opens_at": room_opens_at(appointment, force),
            "closes_at": room_closes_at(appointment, force),
            "phone": force.phone,
            "statements": [
                {"number": str(one.number), "sealed": one.sealed_at is not None}
                for one in await statements.list_copies(db, appointment.id, victim.session_id)
            ],
        }
    after = words.after(values["officer"]["name"])
    values["next"] = after.get(appointment.outcome or "", after[""])
    return _step(request, participant), values


def _step(request: web.Request, participant: Participant | None) -> Step:
    appointment = request[access.VICTIM].appointment
    return next_step(
        appointment,
        participant.state if participant else None,
        opens_at=room_opens_at(appointment, request.app[app_keys.FORCE]),
        now=request.app[app_keys.CLOCK](),
    )


async def read_officer(db: Connection, officer_id: str) -> dict[str, str]:
    """Return who will call: name, collar_number, and full as it is said ("PC Smith, collar number 1234")."""
    officer = await accounts.find_staff(db, officer_id)
    name, number = (officer.name, officer.collar_number) if officer else ("", "")
    return words.officer(name, number) | {"collar_number": number}
