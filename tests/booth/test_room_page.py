"""The diary and the call's page in a real browser: who waits, who is let in, what is told by itself."""

import asyncio
from collections.abc import Callable

import pytest
from playwright.async_api import Page, Response, Route, expect

from tests.booth.conftest import NASTY, path_of
from tests.chromium import IN_A_BROWSER, close
from tests.evidence_support import until
from video_server.accounts.model import Role
from video_server.calls import page_news
from video_server.calls import service as calls
from video_server.calls.model import Role as InRoom
from video_server.calls.model import State
from video_server.incidents import service as incidents

pytestmark = IN_A_BROWSER


async def test_the_diary_tells_by_itself_that_somebody_started_to_wait(booth, add_staff, book, guest):
    appointment = await book(await add_staff("smith", Role.OFFICER), name=NASTY)
    page = await booth("smith")
    await page.locator(f"#open-{appointment.id}").focus()
    await guest(appointment)
    await expect(page.locator("[data-standing=waiting]")).to_be_visible()
    await expect(page.locator("#diary-news")).to_contain_text("O'Brien is waiting")
    await expect(page).to_have_title("(1 waiting) Diary, Monday 2 March 2026")
    await expect(page.locator(f"#open-{appointment.id}")).to_be_focused()


async def test_a_press_in_the_diary_is_taken_although_the_diary_changes_under_it(booth, add_staff, book, guest):
    appointment = await book(await add_staff("smith", Role.OFFICER))
    page = await booth("smith")
    opens = page.locator(f"#open-{appointment.id}")

    def looked(status: int) -> Callable[[Response], bool]:
        return lambda one: "fragment" in one.url and one.status == status

    async with page.expect_response(looked(204)):
        await opens.hover()
    await page.mouse.down()
    async with page.expect_response(looked(200)) as coming:
        await guest(appointment)
    await (await coming.value).finished()
    await page.wait_for_timeout(200)  # for what must not happen
    await page.mouse.up()
    await page.wait_for_url(f"**{path_of(appointment)}")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_second_tab_takes_a_call_over_only_when_told_to_and_says_so_in_the_first(
    booth, add_staff, book, database
):
    appointment = await book(await add_staff("smith", Role.OFFICER))
    await add_staff("boss", Role.SUPERVISOR, name="Sgt Boss")
    first = await booth("boss")

    async def joins(page: Page, listening: str) -> None:
        await expect(page.locator("#headline-more")).to_have_text("They have not opened the link yet.")
        await expect(page.locator("#people-listening")).to_have_text(listening)
        await expect(page.locator("#elsewhere")).to_be_hidden()

    async def stands_aside(page: Page) -> None:
        await expect(page.locator("#elsewhere")).to_contain_text("You have this call open in another tab")
        await expect(page.locator("#people-panel")).to_be_hidden()
        await expect(page.get_by_label("Notes", exact=True)).to_be_visible()

    listens = "A supervisor, Sgt Boss, is listening."
    await first.goto(path_of(appointment))
    await joins(first, "")
    await first.reload()
    await joins(first, "")
    second = await first.context.new_page()
    await second.goto(f"{path_of(appointment)}?listen")
    await stands_aside(second)

    async def first_is_in_the_call() -> bool:
        async with database.read() as db:
            [person] = (await calls.view(db, appointment.id)).participants
        assert (person.role, person.state) == (InRoom.OFFICER, State.ADMITTED)
        return person.connected

    await until("the first tab's line", first_is_in_the_call)
    await second.get_by_role("button", name="Listen here instead").click()
    await joins(second, listens)
    await stands_aside(first)
    await first.get_by_role("button", name="Go on here").click()
    await joins(first, "")
    await stands_aside(second)
    await second.reload()
    await stands_aside(second)
    await close(first)
    await joins(second, listens)


async def test_the_officer_sees_devices_apart_and_is_asked_before_a_wrong_word_gets_in(booth, add_staff, book, guest):
    appointment = await book(await add_staff("smith", Role.OFFICER), name=NASTY)
    page = await booth("smith")
    await page.goto(path_of(appointment))
    await expect(page.locator("#headline")).to_contain_text("Waiting for")
    await guest(appointment, word=appointment.agreed_word)
    await guest(appointment, word="guessed", device="Android, Chrome")
    right, wrong = page.locator(".app-wait", has_text="iPhone, Safari"), page.locator(".app-wait", has_text="Android")
    await expect(right).to_contain_text("Gave the right agreed word")
    await expect(wrong).to_contain_text("Gave a wrong agreed word")
    await expect(page.locator("#headline")).to_contain_text("2 devices wait")
    await wrong.get_by_role("button").click()
    await expect(page.get_by_role("dialog")).to_contain_text("gave a wrong agreed word")
    await page.keyboard.press("Escape")
    await expect(wrong.get_by_role("button")).to_be_focused()
    await right.get_by_role("button").click()
    await page.get_by_role("dialog").get_by_role("button", name="Let in").click()
    await expect(right).to_contain_text("In the call since 10am")
    await expect(wrong).to_contain_text("Ended: another device was let in")
    assert "owned" not in await page.title()


async def test_leaving_on_purpose_and_not_safe_are_told_on_the_call_page(booth, add_staff, book, guest):
    appointment = await book(await add_staff("smith", Role.OFFICER))
    page = await booth("smith")
    await page.goto(path_of(appointment))
    await guest(appointment, "exited")
    await expect(page.locator("#headline-text")).to_have_text("Jo Bloggs left on purpose: do not ring back")
    await page.get_by_role("button", name="I have seen this").click()
    await expect(page.locator("#alerts section")).to_have_count(0)
    await guest(appointment, "unsafe", device="Android, Chrome")
    await expect(page.locator("#headline-text")).to_have_text("Jo Bloggs said it is not safe to talk: do not ring back")


async def test_the_call_ends_with_an_outcome_after_one_question(booth, add_staff, book, guest):
    appointment = await book(await add_staff("smith", Role.OFFICER))
    page = await booth("smith")
    await page.goto(path_of(appointment))
    other = await page.context.new_page()
    await other.goto("/booth")
    await page.get_by_role("button", name="End the call").first.click()
    await expect(page.locator("#outcome")).to_be_focused()
    end = page.locator("#end-form").get_by_role("button", name="End the call")
    await end.click()
    await expect(page.locator("#end-problem")).to_have_text("Choose what came of this appointment.")
    await page.get_by_label("Notes").fill("typed just before the end")
    await page.get_by_label("The person did not join").check()
    await end.click()
    await page.get_by_role("dialog").get_by_role("button", name="End the call").click()
    await page.wait_for_url("**/summary")
    await expect(page.locator(".app-outcome")).to_have_text("The person did not join")
    await expect(page.locator(".app-note")).to_have_text("typed just before the end")
    await expect(other.locator("[data-standing=ended]")).to_be_visible()


async def test_a_guest_typed_while_another_is_being_invited_is_the_next_one(booth, add_staff, book):
    appointment = await book(await add_staff("smith", Role.OFFICER))
    page = await booth("smith")
    await page.goto(path_of(appointment))
    held: asyncio.Queue[Route] = asyncio.Queue()
    await page.route("**/guests", held.put)
    await page.get_by_text("Invite somebody").click()
    name = page.get_by_label("Name, as all in the call are told")
    await name.fill("Ann Other")
    await name.press("Enter")
    route = await held.get()
    await name.fill("Ben Other")
    await name.press("Enter")
    await route.continue_()
    await expect(page.locator("#people-said")).to_contain_text("Ann Other")
    await expect(name).to_have_value("Ben Other")
    await name.press("Enter")
    await (await held.get()).continue_()
    await expect(page.locator("#people-said")).to_contain_text("Ben Other")


@pytest.mark.parametrize(("held", "words"), [(False, "07700 900123"), (True, "decide with your supervisor")])
async def test_when_not_even_sound_gets_through_the_number_to_ring_is_shown_unless_contact_is_held(
    booth, add_staff, book, guest, database, clock, held, words
):
    smith = await add_staff("smith", Role.OFFICER)
    appointment = await book(smith)
    person = await guest(appointment)
    async with database.begin() as db:
        await calls.admit(db, appointment, person.id, by=smith.id, now=clock())
        if held:
            await incidents.hold_contact(db, appointment.person_id, why="unsafe_answer", by="system", now=clock())
        reference = (await incidents.get_incident(db, appointment.incident_id)).reference
    page = await booth("smith")
    await page.goto(path_of(appointment))
    await expect(page.locator(".app-wait")).to_have_count(1)
    await expect(page.locator("#ring")).to_be_hidden()
    async with database.begin() as db:
        await page_news.note_ring(db, person.id, on=True, now=clock.move(seconds=1))
    await expect(page.locator("#ring")).to_contain_text(words)
    if held:
        await expect(page.locator("#ring")).not_to_contain_text(reference)
    else:
        await expect(page.locator("#ring")).to_contain_text(reference)
    await expect(page.locator(".app-wait__gap")).to_contain_text("the connection is too weak for sound")
    async with database.begin() as db:
        await page_news.note_ring(db, person.id, on=False, now=clock.move(seconds=1))
    await expect(page.locator("#ring")).to_be_hidden()


async def test_the_picture_stays_in_sight_on_a_desktop_while_the_rest_scrolls(booth, add_staff, book):
    appointment = await book(await add_staff("smith", Role.OFFICER))
    page = await booth("smith", width=1280, height=800)
    await page.goto(path_of(appointment))
    await page.locator("#end-form").get_by_role("button").scroll_into_view_if_needed()
    await page.mouse.wheel(0, 5000)
    await expect(page.locator(".app-picture")).to_be_in_viewport(ratio=1)
    await expect(page.locator("#go-to-end")).to_be_in_viewport(ratio=1)
