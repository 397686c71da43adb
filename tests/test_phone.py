"""The person's phone: a neutral link, safety first, one appointment and no other, and a way out that always works."""

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from PIL import Image
from playwright.async_api import BrowserContext, Page, Route, async_playwright, expect
from sqlalchemy import text

from tests.conftest import AddStaff, Browser, HeldClock, MakeBrowser
from tests.statements_support import TEXT, Desk
from video_server.accounts.model import Role
from video_server.app import make_app
from video_server.appointments import service as appointments
from video_server.appointments.model import Appointment
from video_server.calls import presence
from video_server.calls import service as calls
from video_server.calls.model import AlertKind, Participant, State, Word
from video_server.config import Settings
from video_server.core.database import Database
from video_server.core.force import Force
from video_server.core.keys import KeyRing
from video_server.incidents import service as incidents
from video_server.incidents.eligibility import Eligibility
from video_server.incidents.model import SafeContact, Wording
from video_server.migrations import all_tables
from video_server.phone.steps import Step, next_step, parse_token
from video_server.statements import service as statements
from video_server.statements.printing import PRINTER
from video_server.tasks import service as tasks

FORCE = Force()
NEUTRAL = FORCE.neutral_site
BOT = {"User-Agent": "WhatsApp/2.23", "Sec-Fetch-Site": "none"}
AXE = Path(__file__).parent.parent / "node_modules/axe-core/axe.min.js"
REVEALING = ("police", "smith", "1234", "bloggs", "burglary", "appointment", "officer", "10am", "10:", "march")

PATIENCE_MS = 90_000  # machines differ
expect.set_options(timeout=PATIENCE_MS)
PATIENCE_SECONDS = 120.0

Book = Callable[..., Awaitable[Appointment]]


@pytest.fixture
def book(database: Database, key_ring: KeyRing, clock: HeldClock, add_staff: AddStaff) -> Book:
    """Book Jo Bloggs with an officer of their own: await book(starts_in=timedelta(0), officer="smith")."""

    async def make(
        *, starts_in: timedelta = timedelta(0), officer: str = "smith", name: str = "PC Smith"
    ) -> Appointment:
        staff = await add_staff(officer, Role.OFFICER, name=name)
        async with database.begin() as db:
            incident = await incidents.record_incident(
                db,
                offence_type="burglary",
                victim_name="Jo Bloggs",
                victim_mobile="+447700900123",
                language="en",
                safe_contact=SafeContact(True, Wording.PLAIN, None, None),
                eligibility=Eligibility(True, True, True, True),
                by=staff.id,
                now=clock(),
            )
            return await appointments.book(
                db,
                incident=incident,
                person_id=incident.victim_id,
                starts_at=clock() + starts_in,
                officer_id=staff.id,
                by=staff.id,
                now=clock(),
                force=FORCE,
                key_ring=key_ring,
                allow_any_time=True,
            )

    return make


@pytest.fixture
def link(key_ring: KeyRing) -> Callable[[Appointment], str]:
    """Return the path of an appointment's link."""
    return lambda appointment: f"/j/{key_ring.link_token(appointment.id, appointment.generation)}"


@pytest.fixture
def enter(browser: MakeBrowser, link: Callable[[Appointment], str]) -> Callable[[Appointment], Awaitable[Browser]]:
    """Return a browser that has opened the link and pressed the button."""

    async def open_link(appointment: Appointment) -> Browser:
        client = await browser()
        answer = await client.post(link(appointment), allow_redirects=False)
        assert (answer.status, answer.headers["Location"]) == (303, "/phone")
        return client

    return open_link


async def count_rows(database: Database) -> dict[str, int]:
    """Return the number of rows of every table."""
    async with database.read() as db:
        return {
            name: int(await db.scalar(text(f"SELECT count(*) FROM {name}")) or 0)
            for name in sorted(all_tables().tables)
        }


async def state_of(database: Database, appointment: Appointment) -> list[State]:
    async with database.read() as db:
        return [person.state for person in (await calls.view(db, appointment.id)).participants]


async def answer(client: Browser, safe: str = "yes", watched: str = "no") -> str:
    """Answer the two questions; return where the last answer leads."""
    reply = await client.post("/phone/safe", data={"answer": safe}, allow_redirects=False)
    if reply.headers["Location"] == "/phone/watched":
        reply = await client.post("/phone/watched", data={"answer": watched}, allow_redirects=False)
    assert reply.status == 303
    return reply.headers["Location"]


# --- the link ---


async def test_before_the_trade_the_page_says_no_name_no_time_and_not_who_we_are(browser, book, link):
    client = await browser()
    reply = await client.get(link(await book()))
    page = (await reply.text()).lower()
    assert reply.status == 200
    assert "<title>continue</title>" in page
    assert [word for word in REVEALING if word in page] == []


async def test_previews_by_bots_change_no_row_and_leave_the_link_working(browser, book, link, database):
    appointment = await book()
    client = await browser()
    before = await count_rows(database)
    for _ in range(3):
        assert (await client.get(link(appointment), headers=BOT)).status == 200
        assert (await client.head(link(appointment), headers=BOT)).status == 200
    assert await count_rows(database) == before
    assert not list(client.session.cookie_jar)
    assert (await client.post(link(appointment), allow_redirects=False)).status == 303


async def test_unknown_and_mangled_links_get_one_and_the_same_neutral_page(browser, book):
    await book()
    client = await browser()
    pages = set()

    async def read(reply) -> None:
        assert reply.status == 404
        page = await reply.text()
        pages.add(page[page.index("<main") : page.index("</main>")])

    await read(await client.get("/"))  # a link without its end
    for path in ("/j/AAAAAAAAAAAAAAAAAAAAAA", "/j/short", "/j/", "/j/a/b/c", "/j/" + "x" * 300, "/j/%00%ff"):
        for send in (client.get, client.post):
            await read(await send(path, allow_redirects=False))
    assert len(pages) == 1
    shown = _seen(pages.pop())
    assert [word for word in (*REVEALING, "101") if word in shown] == []


@pytest.mark.parametrize("path", ["/phone/nothing", "/phone/evidence/nothing"])
async def test_a_problem_on_the_phones_pages_names_neither_force_nor_number_and_elsewhere_the_number(browser, path):
    client = await browser()
    page = await (await client.get(path)).text()
    assert "There is a problem" in page
    assert [word for word in (*REVEALING, FORCE.short_name.lower(), FORCE.phone) if word in _seen(page)] == []
    assert f"ring {FORCE.phone}" in await (await client.get("/nothing")).text()


async def test_too_many_guesses_are_told_neutrally(browser):
    client = await browser()
    replies = [await client.get(f"/j/guess{n}") for n in range(45)]
    page = await replies[-1].text()
    assert (replies[-1].status, "There is a problem" in page) == (429, True)
    assert [word for word in (*REVEALING, FORCE.phone) if word in _seen(page)] == []


async def test_a_link_with_the_sentences_full_stop_glued_to_it_works(browser, book, link):
    appointment = await book()
    client = await browser()
    assert (await client.get(link(appointment) + ".")).status == 200
    assert (await client.post(link(appointment) + ")", allow_redirects=False)).status == 303


async def test_guessing_links_is_slowed_down_and_a_real_link_still_works(browser, book, link):
    appointment = await book()
    client = await browser()
    statuses = [(await client.get(f"/j/guess{n}")).status for n in range(45)]
    assert statuses[0] == 404
    assert statuses[-1] == 429
    assert (await client.get(link(appointment))).status == 200


async def test_a_cancelled_link_says_so_before_and_at_the_trade(browser, book, link, database, clock):
    appointment = await book()
    async with database.begin() as db:
        await appointments.cancel(db, appointment.id, by="staff", reason="person_asked", now=clock())
    client = await browser()
    for send in (client.get, client.post):
        reply = await send(link(appointment), allow_redirects=False)
        page = await reply.text()
        assert reply.status == 410
        assert 'data-closed="cancelled"' in page
        assert "use the number you know" in page
        assert [word for word in (*REVEALING, "101") if word in _seen(page)] == []
    assert not list(client.session.cookie_jar)


async def test_an_expired_link_says_that_its_time_has_passed(browser, book, link, clock):
    appointment = await book()
    clock.move(hours=25)
    client = await browser()
    for send in (client.get, client.post):
        reply = await send(link(appointment), allow_redirects=False)
        assert reply.status == 410
        page = await reply.text()
        assert 'data-closed="over"' in page
        assert [word for word in (*REVEALING, "101") if word in _seen(page)] == []


async def test_pressing_continue_twice_makes_two_sessions_that_both_work(browser, book, link, database):
    appointment = await book()
    client = await browser()
    for _ in range(2):
        assert (await client.post(link(appointment), allow_redirects=False)).status == 303
        assert (await client.get("/phone")).status == 200
    assert await state_of(database, appointment) == [State.ARRIVED, State.ARRIVED]


async def test_two_phones_open_the_same_link_and_stand_apart(enter, book, database):
    appointment = await book()
    first, second = await enter(appointment), await enter(appointment)
    await answer(first)
    assert sorted(await state_of(database, appointment)) == [State.ARRIVED, State.CHECKING]
    assert (await second.get("/phone/call", allow_redirects=False)).headers["Location"] == "/phone"


async def test_another_site_cannot_trade_a_link(browser, book, link, database):
    appointment = await book()
    client = await browser()
    forged = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    assert (await client.post(link(appointment), headers=forged)).status == 403
    assert await state_of(database, appointment) == []


@pytest.mark.parametrize(
    ("typed", "token"),
    [
        ("AbCdEfGhIjKlMnOpQrStUv", "AbCdEfGhIjKlMnOpQrStUv"),
        ("AbCdEfGhIjKlMnOpQrStUv).", "AbCdEfGhIjKlMnOpQrStUv"),
        ("AbCdEfGhIjKlMnOpQrStU", None),
        ("AbCdEfGhIjKlMnOpQrStÜv", None),
        ("", None),
    ],
)
def test_a_token_is_22_letters_whatever_punctuation_follows(typed, token):
    assert parse_token(typed) == token


# --- who and when ---


async def test_the_page_says_who_calls_when_and_the_number_to_ring(enter, book):
    client = await enter(await book())
    page = await (await client.get("/phone")).text()
    for words in ("PC Smith, collar number 1234", "Monday 2 March 2026 at 10am", "101", "does not erase", "Start"):
        assert words in page


async def test_too_early_says_from_when_and_lets_nobody_into_the_room(enter, book, database, clock):
    appointment = await book(starts_in=timedelta(hours=5))
    client = await enter(appointment)
    page = await (await client.get("/phone")).text()
    assert "from 2:30pm on Monday 2 March 2026" in page
    assert "/phone/safe" not in page
    for send in (client.get, client.post):
        reply = await send(
            "/phone/safe", allow_redirects=False, **({"data": {"answer": "yes"}} if send == client.post else {})
        )
        assert reply.headers["Location"] == "/phone"
    assert await state_of(database, appointment) == []
    clock.move(hours=4, minutes=30)
    assert await answer(client) == "/phone/word"
    assert await state_of(database, appointment) == [State.CHECKING]


async def test_a_session_sees_its_own_appointment_and_no_other(enter, book):
    hers, his = await book(), await book(officer="jones", name="PC Jones")
    first, second = await enter(hers), await enter(his)
    assert "PC Smith" in await (await first.get("/phone")).text()
    page = await (await second.get("/phone")).text()
    assert "PC Jones" in page
    assert "PC Smith" not in page


@pytest.mark.parametrize("path", ["/phone", "/phone/safe", "/phone/watched", "/phone/word", "/phone/call"])
async def test_without_a_session_every_page_is_closed_and_says_nothing(browser, book, path):
    await book()
    client = await browser()
    reply = await client.get(path)
    page = await reply.text()
    assert reply.status == 403
    assert "This page is closed" in page
    assert [word for word in REVEALING if word in page.lower()] == []
    program = await client.get(path, headers={"Accept": "application/json"})
    assert (program.status, (await program.json())["error"]) == (403, "page_closed")


async def test_cancelling_after_the_trade_closes_the_phones_pages(enter, book, database, clock):
    appointment = await book()
    client = await enter(appointment)
    async with database.begin() as db:
        await appointments.cancel(db, appointment.id, by="staff", reason="person_asked", now=clock())
    for path in ("/phone", "/phone/safe", "/phone/call"):
        reply = await client.get(path)
        assert reply.status == 403
        assert "Smith" not in await reply.text()
    assert (await client.post("/phone/safe", data={"answer": "yes"})).status == 403


async def see_and_end(client: Browser, appointment: Appointment, database: Database, now: datetime) -> None:
    """Let this browser's person into the call, and end it."""
    await answer(client)
    async with database.begin() as db:
        (person,) = (await calls.view(db, appointment.id)).participants
        await presence.take_socket(db, person, socket="a" * 32, now=now)
        await calls.start_waiting(db, person.id, now=now)
        await calls.admit(db, appointment, person.id, by="staff", now=now)
        await calls.end_call(db, appointment.id, outcome="officer_to_attend", by="staff", now=now)


async def test_after_the_call_the_page_says_what_happens_next_until_its_day_is_over(enter, book, database, clock):
    appointment = await book()
    client = await enter(appointment)
    await see_and_end(client, appointment, database, clock())
    async with database.read() as db:
        reference = (await incidents.get_incident(db, appointment.incident_id)).reference
    for path in ("/phone", "/phone/call"):
        page = await (await client.get(path)).text()
        assert "An officer will come to see you in person." in page
        assert reference in page
    clock.move(hours=24, minutes=50)
    assert (await client.get("/phone")).status == 403


async def test_after_the_call_exit_this_page_shuts_for_good_what_the_history_would_open(enter, book, database, clock):
    appointment = await book()
    client = await enter(appointment)
    await see_and_end(client, appointment, database, clock())
    assert (
        "select “Exit this page” at the top: then it does not open any more"
        in await (await client.get("/phone")).text()
    )
    before = await count_rows(database)
    await client.post("/phone/exit")
    for path in ("/phone", "/phone/call", "/phone/statement", "/phone/statement/1/copy"):
        assert (await client.get(path)).status == 403
    assert (await count_rows(database))["alerts"] == before["alerts"], "nobody is alarmed: the call is over"


async def test_who_was_not_in_the_call_is_told_nothing_of_how_it_ended(enter, book, database, clock):
    appointment = await book()
    early = await enter(appointment)
    await answer(early)
    async with database.begin() as db:
        (person,) = (await calls.view(db, appointment.id)).participants
        await calls.start_waiting(db, person.id, now=clock())
        await calls.end_call(db, appointment.id, outcome="officer_to_attend", by="staff", now=clock())
        reference = (await incidents.get_incident(db, appointment.incident_id)).reference
    late = await enter(appointment)
    for client, path in ((early, "/phone"), (early, "/phone/call"), (late, "/phone"), (late, "/phone/call")):
        reply = await client.get(path)
        page = await reply.text()
        assert reply.status == 200
        assert "This is over" in page
        assert "use the number you know" in page
        assert reference not in page
        assert [word for word in (*REVEALING, "101") if word in _seen(page)] == []


# --- safety ---


@pytest.mark.parametrize("watched", ["no", "unknown_person"])
async def test_safe_answers_lead_on_to_the_word_and_the_call(enter, book, database, watched):
    appointment = await book()
    client = await enter(appointment)
    assert await answer(client, watched=watched) == "/phone/word"
    assert await state_of(database, appointment) == [State.CHECKING]
    assert (await client.get("/phone/call")).status == 200


@pytest.mark.parametrize(("safe", "watched"), [("no", ""), ("yes", "yes")])
async def test_an_unsafe_answer_alerts_the_booth_sends_nothing_and_shows_neutral_words(
    enter, book, database, safe, watched
):
    appointment = await book()
    client = await enter(appointment)
    before = await count_rows(database)
    assert await answer(client, safe, watched) == "/phone"
    for path in ("/phone", "/phone/safe", "/phone/watched", "/phone/word", "/phone/call"):
        page = await (await client.get(path)).text()
        assert "You can close this page." in page
        assert [word for word in (*REVEALING, "101", "safe", "ring") if word in _seen(page)] == []
    async with database.read() as db:
        view = await calls.view(db, appointment.id)
        (task,) = await tasks.list_open(db)
    assert [alert.kind for alert in view.alerts] == [AlertKind.UNSAFE]
    assert [person.state for person in view.participants] == [State.UNSAFE]
    assert task.subject == f"appointment:{appointment.id}"
    assert (await count_rows(database))["texts"] == before["texts"]
    again = await client.post("/phone/safe", data={"answer": "no"}, allow_redirects=False)
    assert again.headers["Location"] == "/phone"
    assert (await count_rows(database))["alerts"] == 1


def _seen(page: str) -> str:
    """Return what a page shows, in small letters: no tags, no scripts, no attributes."""

    class Words(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.words: list[str] = []
            self.silent = False

        def handle_starttag(self, tag: str, attrs: Any) -> None:
            self.silent = tag == "script"

        def handle_data(self, data: str) -> None:
            if not self.silent:
                self.words.append(data)

    parser = Words()
    parser.feed(page)
    return " ".join(parser.words).lower()


async def test_a_safe_answer_after_an_unsafe_one_does_not_open_the_room(enter, book, database):
    appointment = await book()
    client = await enter(appointment)
    await answer(client, "no")
    reply = await client.post("/phone/watched", data={"answer": "no"}, allow_redirects=False)
    assert reply.status in {303, 409}
    assert await state_of(database, appointment) == [State.UNSAFE]


@pytest.mark.parametrize("path", ["/phone/safe", "/phone/watched"])
@pytest.mark.parametrize("data", [{}, {"answer": ""}, {"answer": "maybe"}])
async def test_a_question_without_an_answer_is_asked_again_with_an_error_summary(enter, book, path, data, database):
    appointment = await book()
    client = await enter(appointment)
    reply = await client.post(path, data=data)
    page = await reply.text()
    assert reply.status == 422
    assert "<title>Error: " in page
    assert 'href="#answer"' in page
    assert 'id="answer"' in page
    assert await state_of(database, appointment) == [State.ARRIVED]


async def test_nobody_reaches_the_call_past_the_questions(enter, book):
    client = await enter(await book())
    for path in ("/phone/call", "/phone/word"):
        assert (await client.get(path, allow_redirects=False)).status == 303
    assert (await client.post("/phone/word", data={"word": "x"}, allow_redirects=False)).headers["Location"] == "/phone"


@pytest.mark.parametrize("right", [True, False])
async def test_the_agreed_word_is_noted_and_the_phone_does_not_say_whether_it_was_right(enter, book, database, right):
    appointment = await book()
    client = await enter(appointment)
    await answer(client)
    word = appointment.agreed_word.upper() if right else "wrong guess"
    reply = await client.post("/phone/word", data={"word": word}, allow_redirects=False)
    assert (reply.status, reply.headers["Location"]) == (303, "/phone/call")
    async with database.read() as db:
        (person,) = (await calls.view(db, appointment.id)).participants
    assert person.word is (Word.RIGHT if right else Word.WRONG)
    assert (await client.post("/phone/word", data={"word": " "})).status == 422
    assert (await client.post("/phone/word", data={"word": "x" * 61})).status == 422


@pytest.mark.parametrize(
    ("state", "starts_in_minutes", "step"),
    [
        (None, 60, Step.EARLY),
        (None, 30, Step.SAFETY),
        (State.ARRIVED, 0, Step.SAFETY),
        (State.CHECKING, 0, Step.CALL),
        (State.LEFT, 0, Step.CALL),
        (State.UNSAFE, 60, Step.UNSAFE),
        (State.ENDED, 0, Step.ENDED),
    ],
)
async def test_where_a_person_stands_follows_from_state_and_time(book, clock, state, starts_in_minutes, step):
    appointment = await book(starts_in=timedelta(minutes=starts_in_minutes))
    opens_at = appointment.starts_at - FORCE.room_opens_before
    assert next_step(appointment, state, opens_at=opens_at, now=clock()) is step


# --- the way out ---


async def test_exit_ends_the_session_tells_the_booth_and_leads_to_the_neutral_site(enter, book, database):
    appointment = await book()
    client = await enter(appointment)
    await answer(client)
    reply = await client.post("/phone/exit", allow_redirects=False)
    assert reply.status == 200
    assert reply.headers["Refresh"] == f"0; url={NEUTRAL}"
    assert [word for word in REVEALING if word in (await reply.text()).lower()] == []
    assert not [cookie for cookie in client.session.cookie_jar if cookie.key == "__Host-phone" and cookie.value]
    async with database.read() as db:
        view = await calls.view(db, appointment.id)
        assert [alert.kind for alert in view.alerts] == [AlertKind.EXITED]
        assert [person.state for person in view.participants] == [State.EXITED]
        assert (await appointments.get(db, appointment.id)).state == "booked"
    assert (await client.get("/phone/call")).status == 403


async def test_the_old_cookie_is_worth_nothing_after_exit(enter, book):
    client = await enter(await book())
    secret = next(cookie.value for cookie in client.session.cookie_jar if cookie.key == "__Host-phone")
    await client.post("/phone/exit")
    reply = await client.get("/phone", headers={"Cookie": f"__Host-phone={secret}"})
    assert reply.status == 403


async def test_exit_without_a_session_leads_away_all_the_same_and_writes_nothing(browser, database):
    client = await browser()
    before = await count_rows(database)
    for send in (client.post, client.post, client.get):
        reply = await send("/phone/exit")
        assert (reply.status, reply.headers["Refresh"]) == (200, f"0; url={NEUTRAL}")
    assert await count_rows(database) == before


async def test_exit_leads_away_even_when_nothing_can_be_recorded(enter, book, database):
    client = await enter(await book())
    async with database.begin() as db:
        await db.execute(text("DROP TABLE sessions"))
    reply = await client.post("/phone/exit")
    assert (reply.status, reply.headers["Refresh"]) == (200, f"0; url={NEUTRAL}")


async def test_whoever_left_may_come_back_by_the_link_and_is_asked_again(enter, book, database):
    appointment = await book()
    first = await enter(appointment)
    await answer(first)
    await first.post("/phone/exit")
    second = await enter(appointment)
    assert (await second.get("/phone/call", allow_redirects=False)).headers["Location"] == "/phone"
    assert await answer(second) == "/phone/word"


# --- in a real browser ---


class Phone:
    """A real browser with a phone's screen, looking at a running application; the neutral site is a stand-in."""

    def __init__(self, server: TestServer, context: BrowserContext, page: Page) -> None:
        self.server = server
        self.context = context
        self.page = page

    async def go(self, path: str) -> None:
        await self.page.goto(str(self.server.make_url(path)))


OpenPhone = Callable[..., Awaitable[Phone]]


@pytest.fixture
async def phone(
    database: Database, settings: Settings, key_ring: KeyRing, clock: HeldClock
) -> AsyncIterator[OpenPhone]:
    """Open browsers: await phone(javascript=True, bypass_csp=False, width=375, height=667)."""
    server = TestServer(make_app(settings, key_ring, clock=clock))
    await server.start_server()

    async def neutral(route: Route) -> None:
        await route.fulfill(body="<title>Weather</title><h1>Sunny</h1>", content_type="text/html")

    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"],
        )

        async def open_phone(
            *, javascript: bool = True, bypass_csp: bool = False, width: int = 375, height: int = 667
        ) -> Phone:
            context = await chromium.new_context(
                viewport={"width": width, "height": height},
                has_touch=True,
                is_mobile=True,
                java_script_enabled=javascript,
                bypass_csp=bypass_csp,
                locale="en-GB",
            )
            context.set_default_timeout(PATIENCE_MS)
            await context.route("https://www.bbc.co.uk/**", neutral)
            return Phone(server, context, await context.new_page())

        yield open_phone
        await chromium.close()
    await server.close()


async def enter_on(phone: Phone, path: str) -> None:
    """Open a link and press its button."""
    await phone.go(path)
    await phone.page.get_by_role("button", name="Continue").tap()
    await phone.page.wait_for_url("**/phone")


async def press(page: Page, name: str, *, leads_to: str) -> None:
    """Press a button and wait until its page has come: the next one may have the same labels."""
    await page.get_by_role("button", name=name).tap()
    await page.wait_for_url(f"**{leads_to}")


async def reach_call(phone: Phone, path: str) -> None:
    """Go all the way to the check of camera and microphone."""
    page = phone.page
    await enter_on(phone, path)
    await press(page, "Start", leads_to="/phone/safe")
    await page.get_by_label("Yes", exact=True).check()
    await press(page, "Continue", leads_to="/phone/watched")
    await page.get_by_label("No", exact=True).check()
    await press(page, "Continue", leads_to="/phone/word")
    await page.get_by_role("link", name="I do not remember").tap()
    await page.get_by_role("button", name="Turn on camera and microphone").wait_for()


async def until(page: Page, expression: str) -> None:
    """Wait until an expression holds (Playwright's own way is an `eval`, which our policy forbids)."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await page.evaluate(expression):
            await page.wait_for_timeout(50)


async def wait_for_exit(database: Database, appointment: Appointment, page: Page) -> None:
    """Wait until the booth knows that the person left on purpose; the beacon is on its own way."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while State.EXITED not in await state_of(database, appointment):
            await page.wait_for_timeout(50)


async def test_exit_replaces_the_history_entry_and_going_back_shows_nothing(phone, book, link, database):
    appointment = await book()
    handset = await phone()
    await enter_on(handset, link(appointment))
    entries = await handset.page.evaluate("history.length")
    await handset.page.evaluate("sessionStorage.setItem('upload', 'bruise.jpg')")  # as upload.js does, for a reload
    await handset.page.get_by_role("button", name="Exit this page").tap()
    await handset.page.wait_for_url(NEUTRAL)
    assert await handset.page.evaluate("history.length") == entries
    await wait_for_exit(database, appointment, handset.page)
    async with asyncio.timeout(PATIENCE_SECONDS):  # the beacon's answer takes the cookie away
        while "__Host-phone" in {cookie["name"] for cookie in await handset.context.cookies()}:
            await handset.page.wait_for_timeout(50)
    await handset.page.go_back()
    assert "/j/" in handset.page.url
    assert [word for word in REVEALING if word in (await handset.page.inner_text("body")).lower()] == []
    await handset.go("/phone")
    await expect(handset.page.locator("main")).to_contain_text("This page is closed")
    assert await handset.page.evaluate("sessionStorage.length") == 0


async def keep_old_page(handset: Phone) -> None:
    """Let the neutral site answer "no content": the browser stays on the page that was left, to be looked at."""

    async def nothing(route: Route) -> None:
        await route.fulfill(status=204)

    await handset.context.unroute("https://www.bbc.co.uk/**")
    await handset.context.route("https://www.bbc.co.uk/**", nothing)


async def test_exit_hides_the_content_even_when_the_neutral_site_does_not_come(phone, book, link):
    handset = await phone()
    await enter_on(handset, link(await book()))

    await keep_old_page(handset)
    await handset.page.get_by_role("button", name="Exit this page").tap()
    await until(handset.page, "document.documentElement.classList.contains('app-hidden')")
    await expect(handset.page.locator("h1")).to_be_hidden()
    await expect(handset.page).to_have_title("Loading")


async def test_shift_three_times_leaves_and_escape_does_not(phone, book, link, database):
    appointment = await book()
    handset = await phone()
    await enter_on(handset, link(appointment))
    keyboard = handset.page.keyboard
    for _ in range(4):
        await keyboard.press("Escape")
    await keyboard.press("Shift")
    await keyboard.press("Shift")
    await expect(handset.page.locator("[data-exit] [role=status]")).to_contain_text("once more")
    await keyboard.press("a")  # anything between begins the count anew
    await keyboard.press("Shift")
    await keyboard.press("Shift")
    assert handset.page.url.endswith("/phone")
    await keyboard.press("Shift")
    await handset.page.wait_for_url(NEUTRAL)
    await wait_for_exit(database, appointment, handset.page)


async def test_capital_letters_in_an_answer_do_not_lead_away(phone, book, link):
    handset = await phone()
    await reach_call(handset, link(await book()))
    await handset.go("/phone/word")
    await handset.page.locator("#word").press_sequentially("AMBER Apple TEAPOT")
    await handset.page.wait_for_timeout(200)
    assert handset.page.url.endswith("/phone/word")


async def test_exit_works_without_javascript_under_our_own_policy(phone, book, link, database):
    appointment = await book()
    handset = await phone(javascript=False)
    await enter_on(handset, link(appointment))
    await handset.page.get_by_role("button", name="Exit this page").tap()
    await handset.page.wait_for_url(NEUTRAL)
    await wait_for_exit(database, appointment, handset.page)
    await handset.go("/phone")
    await expect(handset.page.locator("main")).to_contain_text("This page is closed")


async def test_everything_up_to_the_call_works_without_javascript(phone, book, link, database):
    appointment = await book()
    handset = await phone(javascript=False)
    page = handset.page
    await enter_on(handset, link(appointment))
    await press(page, "Start", leads_to="/phone/safe")
    await page.get_by_role("button", name="Continue").tap()
    await expect(page.locator(".govuk-error-summary")).to_contain_text("Select yes if you are somewhere safe")
    await page.get_by_label("Yes", exact=True).check()
    await press(page, "Continue", leads_to="/phone/watched")
    await page.get_by_label("I do not know who did it").check()
    await press(page, "Continue", leads_to="/phone/word")
    await page.locator("#word").fill(appointment.agreed_word)
    await press(page, "Continue", leads_to="/phone/call")
    await expect(page.locator("main")).to_contain_text("needs JavaScript", use_inner_text=True)
    assert await state_of(database, appointment) == [State.CHECKING]


async def test_exit_from_the_call_page_stops_camera_and_microphone_and_never_rejoins(phone, book, link, database):
    appointment = await book()
    handset = await phone()
    await reach_call(handset, link(appointment))
    await handset.page.evaluate(
        """() => {
            const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
            window.opened = [];
            navigator.mediaDevices.getUserMedia = async (wish) => {
                const stream = await open(wish);
                window.opened.push(...stream.getTracks());
                return stream;
            };
        }"""
    )
    await handset.page.get_by_role("button", name="Turn on camera and microphone").tap()
    await until(handset.page, "window.opened.length === 2")

    await keep_old_page(handset)
    await handset.page.get_by_role("button", name="Exit this page").tap()
    await until(handset.page, "window.opened.every((track) => track.readyState === 'ended')")
    await wait_for_exit(database, appointment, handset.page)
    again = await handset.context.new_page()
    await again.goto(str(handset.server.make_url("/phone/call")))
    assert [word for word in REVEALING if word in (await again.inner_text("body")).lower()] == []


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("NotAllowedError", "not allowed"),
        ("NotFoundError", "found no camera"),
        ("NotReadableError", "Another app is using"),
        ("TypeError", "did not start"),
    ],
)
async def test_each_fault_of_the_camera_is_told_in_words_with_a_way_on(phone, book, link, fault, words):
    handset = await phone()
    await reach_call(handset, link(await book()))
    await handset.page.evaluate(
        """(name) => {
            navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("", name));
        }""",
        fault,
    )
    await handset.page.get_by_role("button", name="Turn on camera and microphone").tap()
    problem = handset.page.locator("[data-part=problem]")
    await expect(problem).to_contain_text(words)
    await expect(problem).to_contain_text("ring us on 101")
    await expect(problem.get_by_role("button", name="Try again")).to_be_visible()
    await expect(problem.get_by_role("button", name="Continue without camera")).to_be_visible()


OVER_THE_WAY_OUT = """() => {
  document.body.dataset.stage = "call";
  for (const one of document.querySelectorAll("#call > section")) one.hidden = one.dataset.section !== "call";
  const signal = document.querySelector("[data-signal]");
  signal.hidden = false;
  const { words } = JSON.parse(document.querySelector("#call-data").textContent);
  const exit = document.querySelector(".app-exit__button").getBoundingClientRect();
  return ["signal_good", "signal_poor"].filter((name) => {
    signal.querySelector(".app-signal__words").textContent = words[name];
    const box = signal.getBoundingClientRect();
    const isBeside = box.right <= exit.left || box.left >= exit.right;
    const isBelow = box.top >= exit.bottom || box.bottom <= exit.top;
    return !box.width || !(isBeside || isBelow);
  });
}"""


async def test_the_signal_never_lies_over_the_way_out_in_either_language(phone, book, link):
    handset = await phone(width=320, height=568)
    page = handset.page
    await reach_call(handset, link(await book()))
    for language, label in (("en", "Exit this page"), ("cy", "Gadael y dudalen hon")):
        await page.goto(f"{page.url.partition('?')[0]}?lang={language}")
        await expect(page.locator(".app-exit__button")).to_contain_text(label)
        await expect(page.locator("[data-section=check]")).to_be_visible()
        for width in (320, 375, 390):
            await page.set_viewport_size({"width": width, "height": 568})
            assert await page.evaluate(OVER_THE_WAY_OUT) == [], f"{language} at {width} pixels"


async def test_at_twice_the_text_size_the_first_page_is_no_wider_than_the_phone(phone, book, link):
    handset = await phone()
    await enter_on(handset, link(await book()))
    await handset.page.evaluate("document.documentElement.style.fontSize = '200%'")
    width = await handset.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert width <= 0


async def be_checked(handset: Phone, path: str) -> None:
    """Stand before the result of the check."""
    await reach_call(handset, path)
    await handset.page.get_by_role("button", name="Turn on camera and microphone").tap()
    await expect(handset.page.get_by_role("button", name="I am ready")).to_be_visible()


@pytest.mark.parametrize("by", ["mouse", "finger", "finger without a click"])
async def test_one_press_of_i_am_ready_is_taken_although_what_stands_above_it_grows_meanwhile(
    phone, book, link, database, by
):
    appointment = await book()
    handset = await phone(height=1200)  # nothing is scrolled, so nothing makes up for what has grown
    page = handset.page
    await be_checked(handset, link(appointment))
    ready = page.get_by_role("button", name="I am ready")
    box = await ready.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    if by == "mouse":
        await page.mouse.move(x, y)
        down, up = page.mouse.down, page.mouse.up
    elif by == "finger without a click":  # as Safari does on a phone when the button is not there any more
        how = "{ bubbles: true, isPrimary: true, pointerType: 'touch', button: 0, clientX: x, clientY: y }"
        tell = f"(button, [name, x, y]) => button.dispatchEvent(new PointerEvent(name, {how}))"

        async def down() -> None:
            await ready.evaluate(tell, ["pointerdown", x, y])

        async def up() -> None:
            await ready.evaluate(tell, ["pointerup", x, y])

    else:
        touch = await handset.context.new_cdp_session(page)

        async def down() -> None:
            await touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})

        async def up() -> None:
            await touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    await down()
    await page.evaluate("document.querySelector('[data-part=problem]').hidden = false")
    assert (await ready.bounding_box())["y"] > y, "the button is not under the finger any more"
    await up()
    await expect(page.locator("[data-section=waiting]")).to_be_visible()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await state_of(database, appointment) != [State.WAITING]:
            await page.wait_for_timeout(50)


async def test_a_finger_that_is_moved_away_from_a_button_presses_nothing(phone, book, link):
    handset = await phone(height=1200)
    page = handset.page
    await be_checked(handset, link(await book()))
    box = await page.get_by_role("button", name="I am ready").bounding_box()
    await page.mouse.move(box["x"] + 5, box["y"] + 5)
    await page.mouse.down()
    await page.mouse.move(box["x"] + 5, box["y"] - 60)
    await page.mouse.up()
    await page.get_by_role("button", name="I am ready").focus()
    await expect(page.locator("[data-section=waiting]")).to_be_hidden()
    await page.keyboard.press("Enter")
    await expect(page.locator("[data-section=waiting]")).to_be_visible()


async def test_who_is_ready_while_the_camera_is_changed_goes_on_with_the_new_one(phone, book, link):
    handset = await phone()
    page = handset.page
    await page.add_init_script(
        """(() => {
            const media = navigator.mediaDevices;
            const [open, list] = [media.getUserMedia.bind(media), media.enumerateDevices.bind(media)];
            const come = new Promise((resolve) => (window.comes = resolve));
            media.getUserMedia = async (wish) => {
                if (!wish.audio) await come;  // the other camera is slow to start
                return open(wish);
            };
            const behind = { kind: "videoinput", deviceId: "c2", groupId: "c", label: "Back camera" };
            media.enumerateDevices = async () => [...(await list()), behind];
        })();"""
    )
    await be_checked(handset, link(await book()))
    await page.get_by_role("button", name="Use the back camera").tap()
    await page.get_by_role("button", name="I am ready").tap()
    await page.evaluate("window.comes()")
    await expect(page.locator("[data-section=waiting]")).to_be_visible()
    lives = "document.querySelector('[data-preview]').srcObject.getTracks().map((track) => track.readyState)"
    assert await page.evaluate(lives) == ["live", "live"]


async def wait_in_line(handset: Phone, path: str, database: Database, appointment: Appointment) -> None:
    """Be ready, and known to be."""
    await be_checked(handset, path)
    await handset.page.get_by_role("button", name="I am ready").tap()
    await expect(handset.page.locator("[data-section=waiting]")).to_be_visible()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await state_of(database, appointment) != [State.WAITING]:
            await handset.page.wait_for_timeout(50)


async def let_in(database: Database, appointment: Appointment, clock: HeldClock) -> Participant:
    async with database.begin() as db:
        [person] = (await calls.view(db, appointment.id)).participants
        return await calls.admit(db, appointment, person.id, by=appointment.officer_id, now=clock())


async def test_each_press_on_a_slow_line_counts_and_a_statement_taken_back_stays_away(
    phone, book, link, database, clock
):
    appointment = await book()
    handset = await phone()
    page = handset.page
    await wait_in_line(handset, link(appointment), database, appointment)
    witness = await let_in(database, appointment, clock)
    desk = Desk(database, appointment, witness, handset.server.app[PRINTER], clock)
    statement = await desk.offer(await desk.write(await desk.begin(), TEXT))
    right = page.get_by_role("button", name="Yes, this is right")
    await expect(right).to_have_count(3)
    held: asyncio.Queue[Route] = asyncio.Queue()
    await page.route("**/phone/statement/answer", held.put)
    for n in range(3):
        await right.nth(n).tap()
    async with asyncio.timeout(PATIENCE_SECONDS):
        for _ in range(3):
            await (await held.get()).continue_()
    await expect(page.locator("[data-statement-declaration-title]")).to_be_focused()

    asked: asyncio.Queue[Route] = asyncio.Queue()
    await page.route("**/phone/statement", asked.put)
    await desk.write(statement, f"{TEXT} It was red.")
    async with asyncio.timeout(PATIENCE_SECONDS):
        route = await asked.get()
    answer = await route.fetch()
    async with database.begin() as db:
        await statements.take_back(db, appointment.id, statement.id, by=appointment.officer_id, now=clock())
    await expect(page.locator("[data-statement]")).to_be_hidden()
    await route.fulfill(response=answer)
    await page.wait_for_timeout(200)  # for what must not happen
    await expect(page.locator("[data-statement]")).to_be_hidden()


async def test_camera_and_microphone_that_stop_together_are_opened_once_and_need_no_press(phone, book, link, database):
    appointment = await book()
    handset = await phone()
    page = handset.page
    await wait_in_line(handset, link(appointment), database, appointment)
    await page.evaluate(
        """() => {
            const media = navigator.mediaDevices, open = media.getUserMedia.bind(media);
            window.opens = [];
            media.getUserMedia = (wish) => {
                const opened = open(wish);
                window.opens.push(opened);
                return opened;
            };
            const tracks = document.querySelector("[data-preview]").srcObject.getTracks();
            for (const track of tracks) track.stop();
            for (const track of tracks) track.dispatchEvent(new Event("ended"));
        }"""
    )
    lives = "document.querySelector('[data-preview]').srcObject.getTracks().every((one) => one.readyState === 'live')"
    await until(page, lives)
    await page.evaluate("Promise.all(opens).then(() => true)")
    await page.wait_for_timeout(200)  # for what must not happen
    restart = page.locator("[data-section=call] [data-do=restart]")
    assert await restart.evaluate("(button) => button.hidden"), "nothing needs a press"
    assert await page.evaluate("opens.length") == 1


async def test_photos_chosen_after_the_call_was_left_are_not_kept_for_the_next(phone, book, link, database, clock):
    appointment = await book()
    handset = await phone()
    page = handset.page
    await wait_in_line(handset, link(appointment), database, appointment)
    await let_in(database, appointment, clock)
    await page.evaluate(
        """() => {
            const capture = HTMLCanvasElement.prototype.captureStream;
            window.shown = [];
            HTMLCanvasElement.prototype.captureStream = function (rate) {
                const stream = capture.call(this, rate);
                window.shown.push(...stream.getTracks());
                return stream;
            };
        }"""
    )
    call = page.locator("[data-section=call]")
    await call.locator('[data-do="more"]').tap()
    async with page.expect_file_chooser() as choosing:
        await call.locator('[data-do="share"]').tap()
    chooser = await choosing.value
    await call.locator('[data-do="ask_leave"]').tap()
    await call.locator('[data-do="leave"]').tap()
    await expect(page.locator("[data-section=left]")).to_be_visible()
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30)).save(buffer, "PNG")
    await chooser.set_files({"name": "a.png", "mimeType": "image/png", "buffer": buffer.getvalue()})
    await until(page, "shown.length === 1 && shown[0].readyState === 'ended'")


async def test_a_second_tab_of_a_phone_takes_the_call_over_only_when_told_to(phone, book, link, database):
    appointment = await book()
    handset = await phone()
    first = handset.page
    await be_checked(handset, link(appointment))
    await first.get_by_role("button", name="I am ready").tap()
    await expect(first.locator("[data-section=waiting]")).to_be_visible()

    second = await handset.context.new_page()
    await second.goto(str(handset.server.make_url("/phone/call")))
    await expect(second.locator("[data-section=elsewhere]")).to_contain_text("open in another tab or window")
    await expect(first.locator("[data-section=waiting]")).to_be_visible()

    await second.get_by_role("button", name="Go on here").tap()
    await expect(second.get_by_role("button", name="Turn on camera and microphone")).to_be_visible()
    await expect(first.locator("[data-section=elsewhere]")).to_be_visible()
    assert await first.evaluate("document.querySelector('[data-preview]').srcObject") is None
    await second.get_by_role("button", name="Turn on camera and microphone").tap()
    await expect(second.locator("[data-section=waiting]")).to_be_visible()

    await second.close()
    await first.get_by_role("button", name="Go on here").tap()
    await expect(first.get_by_role("button", name="Turn on camera and microphone")).to_be_visible()
    assert await state_of(database, appointment) == [State.WAITING], "the same session all along"


CALM = {
    "brokenSince": 0,
    "downSince": 0,
    "isCrowded": False,
    "officerSince": 0,
    "officerPresent": True,
    "mendedAt": 0,
    "inCall": True,
    "isMuted": False,
    "hasMet": True,
    "deviceLost": False,
    "rung": "full",
    "climbedAt": 0,
    "isInterrupted": False,
    "cameraTaken": False,
    "soundOnly": False,
    "isSharing": False,
    "news": "",
    "newsAt": 0,
}
NOTICES = [
    *("lost", "lost_long", "ring", "officer_lost", "officer_gone", "device_lost", "connecting", "back"),
    *("you_are_muted", "you_have_sound_only", "you_share", "interrupted", "camera_taken"),
    *("rung_no_picture", "rung_sound_only", "rung_ring", "rung_up", "crowded"),
]


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        pytest.param({}, "", id="all is well"),
        pytest.param({"brokenSince": 99_000}, "", id="a flicker"),
        pytest.param({"brokenSince": 95_000}, "lost", id="our connection"),
        pytest.param({"brokenSince": 70_000}, "lost_long ring", id="our connection for long"),
        pytest.param({"downSince": 70_000}, "", id="only the line to the server, while the picture flows"),
        pytest.param({"downSince": 70_000, "inCall": False}, "lost_long ring", id="the line, while waiting"),
        pytest.param({"downSince": 99_900, "isCrowded": True}, "crowded ring", id="opened too often"),
        pytest.param({"officerSince": 95_000}, "officer_lost", id="the officer's picture"),
        pytest.param({"officerSince": 70_000, "officerPresent": False}, "officer_gone ring", id="the officer is away"),
        pytest.param({"officerSince": 70_000, "brokenSince": 95_000}, "lost", id="ours before theirs"),
        pytest.param({"hasMet": False}, "connecting", id="nothing has arrived yet"),
        pytest.param({"mendedAt": 98_000}, "back", id="just mended"),
        pytest.param({"isMuted": True}, "you_are_muted", id="muted"),
        pytest.param({"isMuted": True, "deviceLost": True}, "device_lost", id="camera taken away"),
        pytest.param({"rung": "smaller"}, "", id="a smaller picture disturbs nobody"),
        pytest.param({"rung": "no_picture"}, "rung_no_picture", id="a link too weak to be sent a picture"),
        pytest.param({"rung": "sound_only"}, "rung_sound_only", id="a link that carries only sound"),
        pytest.param({"rung": "ring", "deviceLost": True}, "rung_ring", id="not even sound"),
        pytest.param({"rung": "ring", "brokenSince": 95_000}, "lost", id="broken comes before weak"),
        pytest.param({"climbedAt": 98_000}, "rung_up", id="the picture is back"),
        pytest.param({"isInterrupted": True, "isMuted": True}, "interrupted", id="a phone call has the microphone"),
        pytest.param({"cameraTaken": True, "isMuted": True}, "you_are_muted camera_taken", id="two things at once"),
        pytest.param({"soundOnly": True, "rung": "sound_only"}, "you_have_sound_only", id="sound only by wish"),
        pytest.param({"isSharing": True}, "you_share", id="showing photos"),
        pytest.param(
            {"isSharing": True, "soundOnly": True}, "you_have_sound_only", id="nothing is shown by sound alone"
        ),
        pytest.param(
            {"isSharing": True, "rung": "sound_only"}, "rung_sound_only", id="nor over a link that is too weak"
        ),
        pytest.param({"news": "came", "newsAt": 98_000, "isMuted": True}, "came", id="a headset came"),
        pytest.param({"news": "came", "newsAt": 80_000}, "", id="a headset came long ago"),
    ],
)
async def test_the_sentence_that_matters_most_is_said(phone, trouble, said):
    handset = await phone()
    await handset.go("/j/anything")
    words = {name: name for name in NOTICES}
    answer = await handset.page.evaluate(
        """async ([trouble, words]) => {
            const { notice } = await import("/static/now/pages/phone_notices.js");
            return notice(trouble, 100_000, words);
        }""",
        [CALM | trouble, words],
    )
    assert answer == said


AXE_RUN = """() => axe.run(document, {
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
}).then((found) => found.violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html).join(" | ")}`))"""


async def audit_page(handset: Phone) -> list[str]:
    """Return what axe finds wrong on the page at hand, and whether it is wider than its screen."""
    await handset.page.evaluate(AXE.read_text())
    found: list[str] = await handset.page.evaluate(AXE_RUN)
    if await handset.page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        found.append("wider than the screen")
    return found


async def test_no_page_has_an_accessibility_fault_at_320_pixels(phone, book, link, database, clock):
    appointment = await book()
    handset = await phone(bypass_csp=True, width=320, height=568)
    faults: dict[str, list[str]] = {}

    async def look(name: str) -> None:
        if found := await audit_page(handset):
            faults[name] = found

    for path in ("/j/unknown", "/phone", link(appointment)):
        await handset.go(path)
        await look(path)
    await enter_on(handset, link(appointment))
    await look("show")
    for path in ("/phone/safe", "/phone/watched"):
        await handset.go(path)
        await look(path)
        await handset.page.get_by_role("button", name="Continue").tap()
        await handset.page.locator(".govuk-error-summary").wait_for()
        await look(f"{path} with an error")
    await reach_call(handset, link(appointment))
    await look("check")
    for section in ("check", "waiting", "call", "ended", "left", "replaced", "elsewhere", "closed"):
        await handset.page.evaluate(
            """(name) => {
                document.body.dataset.stage = name;
                const all = (selector) => document.querySelectorAll(selector);
                for (const one of all("[data-section]")) one.hidden = one.dataset.section !== name;
                for (const one of all("[data-part], [data-problem]")) one.hidden = false;
            }""",
            section,
        )
        await look(section)
    await handset.go("/phone/word")
    await look("word")
    await handset.page.get_by_role("button", name="Continue").tap()
    await handset.page.locator(".govuk-error-summary").wait_for()
    await look("word with an error")
    await enter_on(handset, link(appointment))
    await handset.go("/phone/safe")
    await handset.page.get_by_label("No", exact=True).check()
    await handset.page.get_by_role("button", name="Continue").tap()
    await handset.page.locator("[data-closed=thanks]").wait_for()
    await look("thanks")
    await enter_on(handset, link(appointment))
    async with database.begin() as db:
        await calls.end_call(db, appointment.id, outcome="seen", by="staff", now=clock())
    await handset.go("/phone")
    await look("ended")
    assert faults == {}
