"""A statement in a real browser: the officer stays where they write, and is told what an end means."""

import asyncio

from playwright.async_api import Route, expect

from tests.booth.conftest import path_of
from tests.chromium import IN_A_BROWSER
from video_server.accounts.model import Role

pytestmark = IN_A_BROWSER


async def test_ending_with_an_unsigned_statement_says_what_that_means(booth, add_staff, book):
    appointment = await book(await add_staff("smith", Role.OFFICER))
    page = await booth("smith")
    await page.goto(path_of(appointment))
    await page.get_by_role("button", name="Begin a statement").click()
    await expect(page.get_by_label("What they say")).to_be_focused()
    await page.get_by_label("Started, another appointment is needed").check()
    await page.locator("#end-form").get_by_role("button", name="End the call").click()
    await expect(page.get_by_role("dialog")).to_contain_text(
        "The statement is not signed, and after the end it cannot be."
    )
    await page.get_by_role("dialog").get_by_role("button", name="End the call").click()
    await page.wait_for_url("**/summary")
    await expect(page.locator("main")).to_contain_text("Statement 1 was not signed. Its drafts are kept.")


async def test_a_statement_begun_amid_other_news_has_the_cursor_in_its_text(booth, add_staff, book):
    """Each news of the room asks for the statement anew, and makes stale what was asked before it."""
    appointment = await book(await add_staff("smith", Role.OFFICER))
    page, statements = await booth("smith"), path_of(appointment, "statements")
    answers: asyncio.Queue[str] = asyncio.Queue()
    page.on("response", lambda one: one.url.endswith(statements) and answers.put_nowait(one.url))
    await page.goto(path_of(appointment))
    for _ in ("when it was opened", "when it joined the room"):
        await answers.get()
    await expect(page.locator("#statement-state")).to_have_text("None yet.")
    begun: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    asked: asyncio.Queue[Route] = asyncio.Queue()
    held: list[Route] = []
    freed = asyncio.Event()

    async def hold(route: Route) -> None:
        if freed.is_set():
            await route.continue_()
        elif route.request.method == "GET":
            asked.put_nowait(route)
        else:
            answer = await route.fetch()
            held.append(await asked.get())  # the room told of the statement before its answer came
            begun.set_result((await answer.json())["id"])
            await route.fulfill(response=answer)

    await page.route(f"**{statements}", hold)
    await page.get_by_role("button", name="Begin a statement").click()
    path = f"{statements}/{await begun}/heading"
    held.append(await asked.get())  # asked because the answer may be older than what the room told
    assert await page.get_by_label("What they say").is_hidden()
    while not asked.empty():
        held.append(asked.get_nowait())
    send = "([path, body]) => import('/static/now/js/post.js').then(({ post }) => post(path, body))"
    await page.evaluate(send, [path, {"name": "Sam", "age": None, "reader": "", "language": "en"}])
    held.append(await asked.get())  # asked for these news
    freed.set()  # the page waits for what it asked last, and may have asked once more
    while not asked.empty():
        held.append(asked.get_nowait())
    for route in held:
        await route.continue_()
    await expect(page.get_by_label("What they say")).to_be_focused()


async def test_an_exhibit_on_a_slow_way_leaves_the_officer_where_they_write_on(booth, add_staff, book):
    appointment = await book(await add_staff("smith", Role.OFFICER))
    page = await booth("smith")
    await page.goto(path_of(appointment))
    await page.get_by_role("button", name="Begin a statement").click()
    field, mark = page.get_by_label("What they say"), page.get_by_label("Mark, such as")
    await expect(field).to_be_focused()
    held: asyncio.Queue[Route] = asyncio.Queue()
    await page.route("**/exhibits", held.put)
    await mark.fill("JB/1")
    await page.get_by_label("What it is").fill("Photo of the door")
    await page.get_by_role("button", name="Add exhibit").click()
    route = await held.get()
    await mark.fill("JB/2")
    await field.focus()
    await route.continue_()
    await expect(page.locator("#statement-exhibits")).to_contain_text("JB/1 Photo of the door")
    await expect(mark).to_have_value("JB/2")
    await expect(field).to_be_focused()

    remove = page.get_by_role("button", name="Remove exhibit JB/1")
    await remove.focus()
    send = "([path, body]) => import('/static/now/js/post.js').then(({ post }) => post(path, body))"
    await page.evaluate(send, [route.request.url.replace("exhibits", "text"), {"text": "I saw it.", "version": 0}])
    await expect(field).to_have_value("I saw it.")  # the statement was drawn anew
    await expect(remove).to_be_focused()
