"""Officers with appointments, people who come to them, and the booth in a real browser."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Page

from tests.chromium import OpenContext
from tests.conftest import PASSWORD, HeldClock
from video_server.accounts.model import Staff
from video_server.appointments import service as appointments
from video_server.appointments.model import Appointment
from video_server.audit import service as audit
from video_server.calls import arriving, presence, safety
from video_server.calls import service as calls
from video_server.calls.model import Participant, Watched
from video_server.calls.model import Role as InRoom
from video_server.core.database import Database
from video_server.core.force import Force
from video_server.core.keys import KeyRing
from video_server.incidents import service as incidents
from video_server.incidents.eligibility import Eligibility
from video_server.incidents.model import SafeContact, Wording
from video_server.web import sessions

FORCE = Force()
JSON = {"Accept": "application/json"}
NASTY = "<img src=x onerror=\"document.title='owned'\"> O'Brien"

Book = Callable[..., Awaitable[Appointment]]
Guest = Callable[..., Awaitable[Participant]]


@pytest.fixture
def book(database: Database, key_ring: KeyRing, clock: HeldClock) -> Book:
    """Book a person with an officer: await book(officer, hours=1, name="Jo Bloggs")."""

    async def make(officer: Staff, *, hours: float = 0, name: str = "Jo Bloggs") -> Appointment:
        async with database.begin() as db:
            incident = await incidents.record_incident(
                db,
                offence_type="burglary",
                victim_name=name,
                victim_mobile="+447700900123",
                language="en",
                safe_contact=SafeContact(True, Wording.NEUTRAL, None, None),
                eligibility=Eligibility(True, True, True, True),
                by=f"staff:{officer.id}",
                now=clock(),
            )
            return await appointments.book(
                db,
                incident=incident,
                person_id=incident.victim_id,
                starts_at=clock() + timedelta(hours=hours),
                officer_id=officer.id,
                by=officer.id,
                now=clock(),
                force=FORCE,
                key_ring=key_ring,
                allow_any_time=True,
            )

    return make


@pytest.fixture
def guest(database: Database, clock: HeldClock) -> Guest:
    """Let one more session of the link come, as far as asked: await guest(appointment, "waiting", word=…, device=…)."""

    async def come(
        appointment: Appointment, until: str = "waiting", *, word: str = "", device: str = "iPhone, Safari"
    ) -> Participant:
        now = clock()
        async with database.begin() as db:
            session, _ = await sessions.open_session(db, "phone", appointment.id, now=now)
            named = {"session_id": session.id, "now": now}
            person = await arriving.arrive(db, appointment, role=InRoom.VICTIM, device=device, **named)
            await presence.take_socket(db, person, socket=session.id, now=now)
            if until == "unsafe":
                await safety.answer_safety(db, appointment, safe_place=False, watched=None, **named)
            if until in {"waiting", "exited"}:
                await safety.answer_safety(db, appointment, safe_place=True, watched=Watched.NO, **named)
                if word:
                    await safety.give_word(db, appointment, word=word, **named)
                await calls.start_waiting(db, person.id, now=now)
            if until == "exited":
                await calls.exit_on_purpose(db, appointment.id, **named)
            return await calls.get_participant(db, person.id)

    return come


def path_of(appointment: Appointment, action: str = "") -> str:
    return f"/booth/appointments/{appointment.id}" + (f"/{action}" if action else "")


async def deeds_of(database: Database, appointment: Appointment, action: str) -> list[str]:
    """Return who did this to an appointment."""
    async with database.read() as db:
        return [one.actor for one in await audit.list_for(db, f"appointment:{appointment.id}") if one.action == action]


@pytest.fixture
def booth(open_context: OpenContext) -> Callable[..., Awaitable[Page]]:
    """Sign in with a real browser: await booth("smith", width=1280, height=800, bypass_csp=False)."""

    async def enter(username: str, *, width: int = 1280, height: int = 800, bypass_csp: bool = False) -> Page:
        context = await open_context(viewport={"width": width, "height": height}, bypass_csp=bypass_csp)
        page = await context.new_page()
        await page.goto("/booth")  # which asks to sign in first, and is come back to
        await page.get_by_label("Username").fill(username)
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url(lambda url: urlsplit(url).path == "/booth")  # the sign-in page's own ends so as well
        return page

    return enter
