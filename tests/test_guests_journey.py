"""Three browsers in one call: the person, the officer, and an interpreter who came by a link for this call alone."""

# ruff: noqa: F811 (fixtures)

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.fake_media import GREEN
from tests.product import until
from tests.test_journeys import (  # noqa: F401 (fixtures)
    DESKTOP,
    book_as_call_handler,
    booth,
    browsers,
    frozen,
    handler,
    launch,
    leave,
    meet,
    open_page,
    phone,
    photograph,
    playwright,
    product,
    say_ready,
    sees,
    sign_in,
)
from tests.test_statements_journey import faults_of

pytestmark = pytest.mark.parametrize("product", ["postgresql"], indirect=True)


@pytest.fixture
def interpreter(playwright, tmp_path) -> Iterator[Page]:
    """The interpreter at a computer; their camera is green."""
    browser: Browser = launch(playwright, tmp_path, "interpreter", GREEN, 660)
    page = open_page(browser, **DESKTOP)
    yield page
    assert page.errors == []
    browser.close()


def decodes(page: Page, *, going_on: bool) -> None:
    """Wait until pictures come, or until none has come for a second."""

    def look() -> bool:
        before = page.evaluate("window.witness.framesDecoded()")
        page.wait_for_timeout(1000)
        return (page.evaluate("window.witness.framesDecoded()") > before) is going_on

    until(look, "pictures" if going_on else "no more pictures")


def invite(booth: Page, name: str, role: str = "interpreter", *, signs: bool = False) -> str:
    """Invite a guest without a text; return the link that is shown to pass on."""
    booth.get_by_text("Invite somebody").click()
    booth.get_by_label("As", exact=True).select_option(role)
    booth.get_by_label("Name, as all in the call are told").fill(name)
    booth.get_by_label("Interprets British Sign Language").set_checked(signs)
    booth.get_by_role("button", name="Invite").click()
    address = booth.get_by_label("The guest's link, to pass on")
    expect(address).to_be_visible()
    expect(booth.get_by_alt_text("The link as a QR code")).to_be_visible()
    return address.input_value()


def test_an_interpreter_joins_is_asked_to_mute_waits_out_a_pause_and_is_taken_out(
    product, handler, booth, phone, interpreter
):
    booked = book_as_call_handler(handler, product, "Jo Bloggs")
    meet(booth, phone, booked)

    interpreter.goto(invite(booth, "Sam Jones"))
    interpreter.get_by_role("button", name="Continue").click()
    expect(interpreter.locator("main")).to_contain_text("Interpreter: Sam Jones")
    interpreter.get_by_role("button", name="Start").click()
    interpreter.get_by_role("button", name="Turn on camera and microphone").click()
    sees(interpreter, "[data-echo]", GREEN)
    say_ready(interpreter)
    booth.get_by_role("button", name="Let in: Sam Jones, Interpreter").click()
    everybody = "In this call: {}, PC Smith (Officer)"
    expect(interpreter.locator("[data-others-people]")).to_have_text(
        "In this call: The person whose call it is (Victim or witness), PC Smith (Officer), you"
    )
    expect(phone.locator("[data-others-people]")).to_have_text(everybody.format("you") + ", Sam Jones (Interpreter)")
    decodes(interpreter, going_on=True)
    expect(booth.locator("#remotes video")).to_have_count(2)
    assert "Bloggs" not in interpreter.content()
    signal = booth.locator(".app-people__one", has_text="Sam Jones").locator(".app-people__signal")
    expect(signal).to_contain_text("Connection")
    names = booth.locator("#remotes .app-tile__name")
    expect(names).to_have_count(2)
    expect(names.filter(has_text="Sam Jones")).to_be_visible()
    expect(booth.get_by_label("The guest's link, to pass on")).to_be_hidden()

    booth.get_by_role("button", name="Ask to mute: Sam Jones, Interpreter").click()
    asked = interpreter.locator("[data-others-asked]")
    expect(asked).to_contain_text("PC Smith asks you to mute your microphone.")
    asked.get_by_role("button", name="Mute").click()
    expect(asked).to_be_hidden()
    expect(interpreter.locator("[data-controls]")).to_contain_text("Unmute")

    phone.get_by_role("button", name="Ask for a pause").click()
    expect(booth.locator("#people-pause")).to_have_text("Jo Bloggs asks for a pause.")
    expect(phone.locator("[data-others-held]")).to_have_text("You asked for a pause. The officer has been told.")
    booth.get_by_role("button", name="No pause now").click()
    interpreter.get_by_role("button", name="Ask for a pause").click()
    expect(booth.locator("#people-pause")).to_have_text("Sam Jones asks for a pause.")
    expect(phone.locator("[data-others-held]")).to_have_text("Sam Jones asked for a pause. The officer has been told.")
    booth.get_by_role("button", name="Pause the call").click()
    expect(booth.locator("#headline")).to_contain_text("The call is paused: nobody sees or hears anybody.")
    for page in (phone, interpreter):
        expect(page.locator("[data-others-held]")).to_contain_text("The call is paused.")
        decodes(page, going_on=False)
    expect(booth.locator("#remotes video").first).to_be_hidden()
    booth.get_by_role("button", name="Go on with the call").click()
    for page in (phone, interpreter):
        expect(page.locator("[data-others-held]")).to_be_hidden()
        decodes(page, going_on=True)

    line = booth.locator(".app-people__one", has_text="Sam Jones").locator(".app-people__state")
    with frozen(interpreter.context.browser):
        expect(line).to_contain_text(re.compile("Since .*: connection lost"))
        tile = phone.locator(".app-tile", has_text="Sam Jones")
        expect(tile).to_contain_text("Connection lost")
        expect(tile.locator("video")).to_be_hidden()
    expect(line).to_have_text("In the call")
    expect(tile.locator("video")).to_be_visible()
    expect(booth.locator("#people-panel")).not_to_contain_text("connection lost")

    take_a_statement_through(booth, phone, interpreter)

    booth.get_by_role("button", name="Remove: Sam Jones, Interpreter").click()
    booth.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(interpreter.get_by_role("heading", name="You are not in the call any more")).to_be_visible()
    expect(phone.locator("[data-others-people]")).to_have_text(everybody.format("you"))
    decodes(phone, going_on=True)


COVERED = """() => {
  const box = (name) => document.querySelector(name).getBoundingClientRect();
  const [notice, tiles, own, pause, controls] =
    ["[data-call-notice]", "[data-tiles]", "[data-own-box]", "[data-others-do=pause]", "[data-controls]"].map(box);
  const over = (one, other) =>
    Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top) > 1 &&
    Math.min(one.right, other.right) - Math.max(one.left, other.left) > 1;
  return {
    "notice and pause": over(notice, pause),
    "notice and pictures": over(notice, tiles),
    "own picture and pause": over(own, pause),
    "pictures and pause": over(tiles, pause),
    "controls below the screen": controls.bottom > innerHeight + 1,
    "wider than the screen": document.documentElement.scrollWidth > innerWidth,
  };
}"""


def lies_free(page: Page) -> None:
    """Wait until nothing on a phone lies over another and all that is pressed can be reached."""
    for width, height in ((375, 667), (320, 568)):
        page.set_viewport_size({"width": width, "height": height})
        until(lambda: not any(page.evaluate(COVERED).values()), f"nothing covered at {width} pixels")


def take_a_statement_through(booth: Page, phone: Page, interpreter: Page) -> None:
    """Both languages are written, read and signed for, each on its own page; Urdu runs from the right."""
    interpreter.set_viewport_size({"width": 375, "height": 667})
    booth.get_by_role("button", name="Begin a statement").click()
    booth.get_by_label("What they say").fill("I live here.\n\nIt was dark.")
    expect(booth.get_by_label("Interpreter’s full name", exact=True)).to_be_hidden()
    booth.get_by_text("Taken through an interpreter").click()
    expect(booth.locator("#interpreters-here option")).to_have_attribute("value", "Sam Jones")
    booth.get_by_label("Interpreter’s full name", exact=True).fill("Sam Jones")
    booth.get_by_label("Language of the witness").select_option("ur")
    own = interpreter.locator("#interpreting")
    expect(own).to_contain_text("It was dark.")
    expect(own).to_contain_text("Urdu")
    panel = phone.locator("[data-statement]")
    interpreter.get_by_label("What the witness says").fill("میں یہاں رہتا ہوں۔")
    expect(interpreter.locator("#original-count")).to_have_text("Paragraphs: 1 by you, 2 by the officer.")
    expect(booth.locator("#original-count")).to_have_text("Paragraphs: 1 here, 2 in the translation below.")
    booth.get_by_label("Show it on their phone while I write").check()
    expect(panel).to_contain_text("This is not written in your language yet.")
    booth.get_by_role("button", name="Ask them to read and sign").click()
    expect(booth.locator("#statement-problem")).to_contain_text("same number of paragraphs")
    expect(booth.locator("#statement-problem")).to_be_in_viewport()
    interpreter.get_by_label("What the witness says").fill("میں یہاں رہتا ہوں۔\n\nاندھیرا تھا۔")
    expect(interpreter.locator("#original-save")).to_have_text("Saved.")
    expect(booth.get_by_label("The same in the witness’s own language")).to_have_value(re.compile("اندھیرا"))
    booth.get_by_role("button", name="Ask them to read and sign").click()
    expect(own).to_contain_text("The witness reads your text now.")
    expect(interpreter.locator("#interpreting-title")).to_be_in_viewport()

    words = panel.locator(".app-statement__paragraph > .app-statement__words")
    expect(words).to_have_text(["میں یہاں رہتا ہوں۔", "اندھیرا تھا۔"])
    expect(words.first).to_have_attribute("lang", "ur")
    expect(words.first).to_have_attribute("dir", "rtl")
    panel.get_by_text("In English").first.click()
    expect(panel.get_by_text("I live here.")).to_be_visible()
    for number in (0, 1):
        right = panel.get_by_role("button", name="Yes, this is right").nth(number)
        right.click()
        expect(right).to_have_attribute("aria-pressed", "true")
    expect(panel).to_contain_text("Sam Jones now signs that both languages say the same")
    expect(panel.locator("[data-statement-form]")).to_be_hidden()
    expect(booth.locator("#statement-state")).to_contain_text("They can sign when the interpreter has signed")
    photograph(phone, "interpreted-phone")
    photograph(booth, "interpreted-booth")
    for page in (phone, interpreter):
        lies_free(page)
    interpreter.get_by_label("Type your full name").fill("Sam J")
    interpreter.get_by_role("button", name="Sign as the interpreter").click()
    expect(interpreter.locator("#interpreting-problem")).to_contain_text("exactly as it stands")
    expect(interpreter.locator("#interpreting-problem")).to_be_in_viewport()
    expect(interpreter.get_by_label("Type your full name")).to_be_focused()
    interpreter.get_by_label("Type your full name").fill("Sam Jones")
    photograph(interpreter, "interpreted-own-page")
    for page in (booth, phone, interpreter):
        assert faults_of(page) == []
    interpreter.get_by_role("button", name="Sign as the interpreter").click()
    expect(own).to_contain_text("You have signed.")
    expect(interpreter.locator("#interpreting-title")).to_be_focused()
    sign_again(booth, panel, interpreter)
    panel.get_by_label("I declare this").check()
    panel.get_by_text("I cannot sign with a finger").click()
    panel.get_by_label("Type your full name").fill("Jo Bloggs")
    panel.get_by_role("button", name="Sign the statement").click()
    expect(booth.locator("#statement-state")).to_contain_text("and sealed")
    expect(own).to_be_hidden()


def sign_again(booth: Page, panel: Locator, interpreter: Page) -> None:
    """A word changed after the interpreter signed: both confirm and sign what now stands."""
    booth.get_by_label("What they say").fill("I live here.\n\nIt was very dark.")
    expect(interpreter.locator("#interpreting-said")).to_contain_text("A text was changed after you signed.")
    expect(interpreter.locator("#interpreting-title")).to_be_in_viewport()
    right = panel.get_by_role("button", name="Yes, this is right").nth(1)
    expect(right).to_have_attribute("aria-pressed", "false")
    right.click()
    expect(right).to_have_attribute("aria-pressed", "true")
    interpreter.get_by_label("Type your full name").fill("Sam Jones")
    interpreter.get_by_role("button", name="Sign as the interpreter").click()
    expect(interpreter.locator("#interpreting-said")).to_contain_text("You have signed.")


def test_a_supervisor_hears_a_call_and_everybody_is_told(product, handler, booth, phone, browsers):
    booked = book_as_call_handler(handler, product, "Jo Bloggs")
    meet(booth, phone, booked)
    boss = open_page(browsers[0], **DESKTOP)
    sign_in(boss, product, "supervisor")
    boss.goto(booked.booth)
    boss.get_by_role("button", name="Listen only").click()
    expect(phone.locator("[data-others-listening]")).to_have_text("A supervisor, Sgt Patel, is listening.")
    expect(booth.locator("#people-listening")).to_have_text("A supervisor, Sgt Patel, is listening.")
    decodes(boss, going_on=True)
    expect(boss.locator("#remotes video")).to_have_count(2)
    for deed in (
        *("End the call", "Pause the call", "Ask to mute: Jo Bloggs", "Begin a statement", "Ask for it"),
        *("Mute", "Camera off", "Sound only"),
    ):
        expect(booth.get_by_role("button", name=deed).first).to_be_visible()
        expect(boss.get_by_role("button", name=deed)).to_have_count(0)
    for deed in ("Invite somebody", "Who must be present", "Your camera and microphone", "Keys"):
        expect(booth.locator("summary", has_text=deed)).to_be_visible()
        expect(boss.locator("summary", has_text=deed)).to_be_hidden()
    expect(boss.locator(".app-deed:visible")).to_have_count(0)
    boss.locator("body").press("Alt+KeyM")
    expect(boss.locator("#own-notice")).not_to_contain_text("muted")
    expect(boss.get_by_label("Notes", exact=True)).not_to_be_editable()
    expect(booth.get_by_label("Notes", exact=True)).to_be_editable()
    booth.get_by_role("button", name="Begin a statement").click()
    booth.get_by_label("What they say").fill("I saw a blue van.\n\nIt drove off.")
    expect(boss.locator("#statement-seen-text li")).to_have_text(["I saw a blue van.", "It drove off."])
    expect(boss.locator("#statement-state")).to_have_text("Statement 1: it is being written.")
    booth.get_by_text("Taken through an interpreter").click()
    booth.get_by_label("Interpreter’s full name", exact=True).fill("Ana Kowalska")
    booth.get_by_label("Language of the witness").select_option("pl")
    booth.get_by_label("The same in the witness’s own language").fill("Widziałem furgonetkę.\n\nOdjechała.")
    expect(boss.locator("#statement-seen-about")).to_contain_text("Interpreted by Ana Kowalska from Polish.")
    expect(boss.locator("#statement-seen-text p")).to_have_text(["Widziałem furgonetkę.", "Odjechała."])
    expect(boss.locator("#statement-seen-text p").first).to_have_attribute("lang", "pl")
    booth.get_by_label("Notes", exact=True).fill("Ask about the number plate")
    expect(boss.get_by_label("Notes", exact=True)).to_have_value("Ask about the number plate")
    expect(boss.locator(".app-wait__signal")).to_contain_text("Connection")
    photograph(boss, "listening-boss")
    expect(boss.get_by_role("button", name="Leave the call")).to_be_visible()
    expect(boss.get_by_role("button", name="Take part")).to_be_visible()
    expect(booth.locator("#remotes video")).to_have_count(1)
    assert boss.errors == []
    leave(boss)
    expect(phone.locator("[data-others-listening]")).to_be_hidden()
    expect(booth.locator("#people-listening")).to_be_hidden()
