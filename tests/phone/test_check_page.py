"""Up to the call in a real browser: the questions, the check of camera and microphone, one press of “I am ready”."""

import asyncio

import pytest
from playwright.async_api import expect

from tests.chromium import IN_A_BROWSER
from tests.phone.conftest import PATIENCE_SECONDS, be_checked, enter_on, press, reach_call, state_of, until
from video_server.calls.model import State

pytestmark = IN_A_BROWSER


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


GROW = """() => {
  const grown = Object.assign(document.createElement("p"), { textContent: "Something that is said meanwhile" });
  grown.style.height = "200px";
  document.querySelector("[data-part=problem]").before(grown);
}"""


@pytest.mark.parametrize("by", ["mouse", "finger", "finger without a click"])
async def test_one_press_of_i_am_ready_is_taken_although_what_stands_above_it_grows_meanwhile(
    phone, book, link, database, by
):
    appointment = await book()
    handset = await phone(height=1200)  # nothing is scrolled, so nothing makes up for what has grown
    page = handset.page
    await be_checked(handset, link(appointment))
    ready = page.get_by_role("button", name="I am ready")
    await ready.click(trial=True)  # it stands still
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
    await page.evaluate(GROW)
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
    tracks = "document.querySelector('[data-preview]').srcObject.getTracks()"
    await until(page, f"{tracks}.map((track) => track.readyState).join() === 'live,live'")
