"""A person with a link, and the phone on which they open it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from playwright.async_api import BrowserContext, Page, Route, expect
from sqlalchemy import text

from tests.chromium import OpenContext
from tests.conftest import AddStaff, Browser, HeldClock, MakeBrowser
from video_server.accounts.model import Role
from video_server.appointments import service as appointments
from video_server.appointments.model import Appointment
from video_server.calls import service as calls
from video_server.calls.model import State
from video_server.core.database import Database
from video_server.core.force import Force
from video_server.core.keys import KeyRing
from video_server.incidents import service as incidents
from video_server.incidents.eligibility import Eligibility
from video_server.incidents.model import SafeContact, Wording
from video_server.migrations import all_tables

FORCE = Force()
NEUTRAL = FORCE.neutral_site
REVEALING = ("police", "smith", "1234", "bloggs", "burglary", "appointment", "officer", "10am", "10:", "march")

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


def seen(page: str) -> str:
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
def phone(served: TestServer, open_context: OpenContext) -> OpenPhone:
    """Open browsers: await phone(javascript=True, bypass_csp=False, width=375, height=667)."""

    async def neutral(route: Route) -> None:
        await route.fulfill(body="<title>Weather</title><h1>Sunny</h1>", content_type="text/html")

    async def open_phone(
        *, javascript: bool = True, bypass_csp: bool = False, width: int = 375, height: int = 667
    ) -> Phone:
        context = await open_context(
            viewport={"width": width, "height": height},
            has_touch=True,
            is_mobile=True,
            java_script_enabled=javascript,
            bypass_csp=bypass_csp,
        )
        await context.route("https://www.bbc.co.uk/**", neutral)
        return Phone(served, context, await context.new_page())

    return open_phone


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


async def be_checked(handset: Phone, path: str) -> None:
    """Stand before the result of the check."""
    await reach_call(handset, path)
    await handset.page.get_by_role("button", name="Turn on camera and microphone").tap()
    await expect(handset.page.get_by_role("button", name="I am ready")).to_be_visible()
