"""Each page of the booth, on a phone and on a desktop: no fault that axe finds, nothing wider than the screen."""

import pytest
from playwright.async_api import Page, expect

from tests.booth.conftest import path_of
from tests.chromium import IN_A_BROWSER, find_faults
from video_server.accounts.model import Role
from video_server.calls import notes
from video_server.calls import service as calls

pytestmark = IN_A_BROWSER


@pytest.mark.parametrize("width", [375, 1280])
async def test_no_page_has_an_accessibility_fault_or_is_wider_than_its_screen(
    booth, add_staff, book, guest, database, clock, width
):
    smith = await add_staff("smith", Role.OFFICER)
    jones = await add_staff("jones", Role.OFFICER, name="PC Jones")
    await add_staff("boss", Role.SUPERVISOR, name="Sgt Boss", collar_number="77")
    ended = await book(smith, hours=-2, name="Abigail Featherstonehaugh-Cholmondeley")
    unsafe, waiting, later = await book(smith, hours=-1), await book(smith), await book(smith, hours=1)
    theirs = await book(jones, hours=1, name="Ann Other")
    await guest(unsafe, "unsafe")
    await guest(later, "exited")
    await guest(waiting, word="guessed")
    await guest(waiting, word=waiting.agreed_word, device="Android, Chrome")
    async with database.begin() as db:
        await notes.save_note(db, ended.id, text="Blue van.\n" * 5, version=0, by=smith.id, now=clock())
        await calls.end_call(db, ended.id, outcome="seen", by=smith.id, now=clock())
    faults: dict[str, list[str]] = {}

    async def look(page: Page, name: str) -> None:
        if found := await find_faults(page):
            faults[name] = found

    height = 800 if width == 1280 else 667
    page = await booth("smith", width=width, height=height, bypass_csp=True)
    await look(page, "diary")
    for name, path in {
        "diary-empty": "/booth?day=2026-03-08",
        "cover": "/booth/cover",
        "take-over": path_of(theirs),
        "summary": path_of(ended, "summary"),
    }.items():
        await page.goto(path)
        await look(page, name)
    await page.goto(path_of(waiting))
    await expect(page.locator(".app-wait")).to_have_count(2)
    await look(page, "call")
    await page.get_by_role("button", name="Let in").first.click()
    await look(page, "call-asked")
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Go on camera").click()
    await page.locator("#note-conflict").evaluate("element => (element.hidden = false)")
    await page.locator("details").evaluate_all("all => all.forEach((one) => (one.open = true))")
    await look(page, "call-open")
    boss = await booth("boss", width=width, height=height, bypass_csp=True)
    await look(boss, "diary-of-all")
    assert faults == {}
