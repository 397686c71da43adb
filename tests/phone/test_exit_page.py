"""The way out in a real browser: nothing stays in sight, in the history or switched on."""

import asyncio
from datetime import UTC, datetime, timedelta

from playwright.async_api import Page, Route, expect

from tests.chromium import IN_A_BROWSER
from tests.phone.conftest import (
    NEUTRAL,
    PATIENCE_SECONDS,
    REVEALING,
    Phone,
    enter_on,
    reach_call,
    state_of,
    until,
)
from video_server.appointments.model import Appointment
from video_server.calls.model import State
from video_server.core.database import Database

pytestmark = IN_A_BROWSER


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
    await handset.page.clock.install()
    await enter_on(handset, link(appointment))
    keyboard = handset.page.keyboard
    await handset.page.clock.pause_at(datetime.now(UTC) + timedelta(hours=1))  # no press is slow, whatever the machine
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
