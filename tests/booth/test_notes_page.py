"""Notes in a real browser: nothing typed is lost, whatever line, window or end comes between."""

import asyncio

from playwright.async_api import Route, expect

from tests.booth.conftest import path_of
from tests.chromium import IN_A_BROWSER
from video_server.accounts.model import Role

pytestmark = IN_A_BROWSER


async def test_notes_survive_a_reload_and_two_windows_lose_nothing(booth, add_staff, book):
    appointment = await book(await add_staff("smith", Role.OFFICER))
    page = await booth("smith")
    await page.goto(path_of(appointment))
    await page.get_by_label("Notes").fill("Blue van")
    await expect(page.locator("#note-state")).to_have_text("Saved at 10am")
    await page.reload()
    await expect(page.get_by_label("Notes")).to_have_value("Blue van")
    other = await page.context.new_page()
    await other.goto(path_of(appointment))
    await other.get_by_label("Notes").fill("Blue van, broken light")
    await expect(other.locator("#note-state")).to_have_text("Saved at 10am")
    await page.get_by_label("Notes").fill("Blue van, two men")
    await expect(page.get_by_label("What was saved there")).to_have_value("Blue van, broken light")
    await expect(page.get_by_label("Notes")).to_have_value("Blue van, two men")
    await page.get_by_role("button", name="Put both together").click()
    await expect(page.locator("#note-state")).to_have_text("Saved at 10am")
    await other.reload()
    await expect(other.get_by_label("Notes")).to_have_value("Blue van, broken light\n\nBlue van, two men")


async def test_notes_whose_answer_was_lost_are_not_taken_for_another_window_s(booth, add_staff, book):
    appointment = await book(await add_staff("smith", Role.OFFICER))
    page = await booth("smith")
    await page.goto(path_of(appointment))
    lost = asyncio.Event()

    async def lose(route: Route) -> None:
        await route.fetch()
        await route.abort()
        lost.set()

    await page.route("**/note", lose, times=1)
    await page.get_by_label("Notes", exact=True).fill("Blue van")
    await lost.wait()
    await page.get_by_label("Notes", exact=True).fill("Blue van, two men")
    await expect(page.locator("#note-state")).to_have_text("Saved at 10am")
    await expect(page.locator("#note-conflict")).to_be_hidden()
    await page.reload()
    await expect(page.get_by_label("Notes", exact=True)).to_have_value("Blue van, two men")


async def test_the_call_does_not_end_over_words_that_are_not_saved(booth, add_staff, book):
    appointment = await book(await add_staff("smith", Role.OFFICER))
    page = await booth("smith")
    await page.goto(path_of(appointment))
    await page.route("**/note", lambda route: route.abort())
    await page.get_by_label("Notes").fill("Blue van")
    await page.get_by_label("The person did not join").check()
    end = page.locator("#end-form").get_by_role("button", name="End the call")
    await end.click()
    await page.get_by_role("dialog").get_by_role("button", name="End the call").click()
    await expect(page.locator("#end-problem")).to_contain_text("not saved yet, so the call goes on")
    await page.unroute("**/note")
    await expect(page.locator("#note-state")).to_have_text("Saved at 10am")  # tried again in a while
    await end.click()
    await page.get_by_role("dialog").get_by_role("button", name="End the call").click()
    await page.wait_for_url("**/summary")
