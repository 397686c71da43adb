"""Each page of the phone at 320 pixels: no fault that axe finds, nothing wider than the screen."""

from tests.chromium import IN_A_BROWSER, find_faults
from tests.phone.conftest import enter_on, reach_call
from video_server.calls import service as calls

pytestmark = IN_A_BROWSER


async def test_no_page_has_an_accessibility_fault_at_320_pixels(phone, book, link, database, clock):
    appointment = await book()
    handset = await phone(bypass_csp=True, width=320, height=568)
    faults: dict[str, list[str]] = {}

    async def look(name: str) -> None:
        if found := await find_faults(handset.page):
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


async def test_at_twice_the_text_size_the_first_page_is_no_wider_than_the_phone(phone, book, link):
    handset = await phone()
    await enter_on(handset, link(await book()))
    await handset.page.evaluate("document.documentElement.style.fontSize = '200%'")
    width = await handset.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert width <= 0
