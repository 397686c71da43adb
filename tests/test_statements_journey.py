"""The statement in two real browsers: drafted, shown live, confirmed, corrected, signed with a finger, sealed, kept."""

import io
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pypdf
import pytest
from playwright.sync_api import Page, expect
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import SignatureCoverageLevel, validate_pdf_signature
from pyhanko_certvalidator import ValidationContext

from tests.product import until
from tests.test_journeys import (  # noqa: F401 (fixtures)
    book_as_call_handler,
    booth,
    browsers,
    handler,
    meet,
    phone,
    playwright,
    product,
)

pytestmark = pytest.mark.usefixtures("playwright")
AXE = Path(__file__).parent.parent / "node_modules/axe-core/axe.min.js"
TEXT = "I live at 1 The Street.\n\nOn Monday my bicycle was taken.\n\nI took the photo JB/1."


def panel(page: Page):
    return page.locator("[data-statement]")


def faults_of(page: Page) -> list[str]:
    """Return what axe finds wrong on the page as it stands."""
    page.evaluate(f"{AXE.read_text()};0")
    return page.evaluate(
        """() => axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }).then(
          (result) => result.violations.map((one) => `${one.id}: ${one.nodes[0].html}`))"""
    )


def draw_signature(page: Page) -> None:
    """Draw a wave with a finger that is a mouse; each point waits until the box stands still, wherever it then is."""
    pad = page.locator("[data-statement-pad]")
    pad.hover(position={"x": 30, "y": 80})
    page.mouse.down()
    for step in range(1, 16):
        pad.hover(position={"x": 30 + step * 12, "y": 80 + (25 if step % 2 else -25)})
    page.mouse.up()


@pytest.fixture
def elsewhere(product):  # noqa: F811
    """Another web process, for the phone: what the booth does reaches it through the database."""
    with product.another_web() as url:
        yield url


def test_a_statement_is_written_read_corrected_signed_and_kept(product, elsewhere, handler, booth, phone):  # noqa: F811
    booked = book_as_call_handler(handler, product, "Siân Ŵyn")
    booked.link = booked.link.replace(product.url, elsewhere)
    meet(booth, phone, booked)

    booth.get_by_role("button", name="Begin a statement").click()
    field = booth.get_by_label("What they say")
    expect(booth.get_by_label("Witness’s full name")).to_have_value("Siân Ŵyn")
    expect(panel(phone)).to_be_hidden()
    field.fill("I live at 1 The Street.")
    expect(booth.locator("#statement-save")).to_contain_text("Saved at")
    booth.get_by_label("Show it on their phone while I write").check()
    expect(panel(phone)).to_contain_text("I live at 1 The Street.")
    expect(panel(phone)).to_contain_text("Your statement is being written")
    field.fill(TEXT)
    expect(panel(phone)).to_contain_text("I took the photo JB/1.")
    expect(booth.locator("#statement-unlisted")).to_contain_text("JB/1")
    booth.get_by_label("Mark, such as").fill("jb/1")
    booth.get_by_label("What it is").fill("Photo of the door")
    booth.get_by_role("button", name="Add exhibit").click()
    expect(booth.locator("#statement-exhibits")).to_contain_text("JB/1 Photo of the door")

    # a name and an exhibit typed, and the button pressed at once: both belong to what is read, however slow the line
    booth.route("**/statements/*/*", lambda route: (booth.wait_for_timeout(200), route.continue_()))
    booth.get_by_label("Witness’s full name").fill("Siân Ann Ŵyn")
    booth.get_by_label("who reads it to them").fill("PC Smith")
    booth.get_by_label("Mark, such as").fill("JB/2")
    booth.get_by_label("What it is").fill("The lock")
    booth.get_by_role("button", name="Ask them to read and sign").click()
    expect(phone.get_by_role("heading", name="Read your statement")).to_be_visible()
    booth.unroute_all(behavior="wait")
    expect(booth.locator("#statement-problem")).to_be_hidden()
    expect(panel(phone)).to_contain_text("Siân Ann Ŵyn")
    expect(panel(phone)).to_contain_text("JB/2 The lock")
    expect(phone.locator("[data-statement-form]")).to_be_hidden()
    right = phone.get_by_role("button", name="Yes, this is right")
    right.nth(0).click()
    expect(booth.locator("#statement-state")).to_contain_text("1 of 3 paragraphs confirmed")
    phone.get_by_role("button", name="Something is wrong").nth(1).click()
    expect(booth.locator("#statement-checks")).to_contain_text("paragraph 2")
    right.nth(2).click()

    field.fill(TEXT.replace("Monday", "Tuesday"))
    expect(panel(phone)).to_contain_text("On Tuesday")
    expect(panel(phone)).to_contain_text("The statement was changed")
    expect(booth.locator("#statement-state")).to_contain_text("2 of 3")
    right.nth(1).click()
    expect(booth.locator("#statement-state")).to_contain_text("They can sign when the reader has signed")
    expect(panel(phone)).to_contain_text("PC Smith now signs that they were read aloud to you")
    expect(phone.locator("[data-statement-form]")).to_be_hidden()
    expect(phone.get_by_role("heading", name="Read your statement")).to_be_in_viewport()
    assert faults_of(booth) == []
    booth.get_by_label("The reader’s full name").fill("PC Smith")
    booth.get_by_role("button", name="Sign that it was read aloud").click()
    expect(booth.locator("#statement-state")).to_contain_text("They can sign now")
    expect(phone.locator("[data-statement-declaration-title]")).to_be_focused()
    expect(phone.locator("[data-statement-declaration-title]")).to_be_in_viewport()
    assert faults_of(phone) == []

    phone.get_by_role("button", name="Sign the statement").click()
    expect(panel(phone)).to_contain_text("Tick “I declare this” before you sign.")
    phone.get_by_label("I declare this").check()
    phone.get_by_role("button", name="Sign the statement").click()
    expect(panel(phone)).to_contain_text("Sign with your finger in the box, or type your name.")
    draw_signature(phone)
    width = phone.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert width <= 0, "nothing scrolls sideways"
    phone.get_by_role("button", name="Sign the statement").click()

    expect(phone.get_by_role("heading", name="Your statement is signed and sealed")).to_be_visible()
    expect(booth.locator("#statement-state")).to_contain_text("and sealed")
    with phone.expect_download() as download:
        phone.get_by_role("link", name="Save a copy of statement 1").click()
    pdf = download.value.path().read_bytes()
    text = " ".join("".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf)).pages).split())
    for needed in (
        "Siân Ann Ŵyn",
        booked.reference,
        "On Tuesday my bicycle was taken.",
        "JB/1 Photo of the door",
        "JB/2 The lock",
        "DEMO",
        "aloud to the witness",
    ):
        assert needed in text
    [signature] = PdfFileReader(io.BytesIO(pdf)).embedded_signatures
    context = ValidationContext(trust_roots=[signature.signer_cert])
    with ThreadPoolExecutor(1) as apart:  # the browser's loop runs here
        status = apart.submit(validate_pdf_signature, signature, context).result()
    assert status.bottom_line
    assert status.coverage is SignatureCoverageLevel.ENTIRE_FILE
    with booth.expect_download() as download:
        booth.get_by_role("link", name=re.compile("Save the signed statement")).click()
    assert download.value.path().read_bytes() == pdf

    booth.get_by_role("button", name="Begin a further statement").click()
    expect(booth.locator("#statement-state")).to_contain_text("Statement 2")
    booth.get_by_text("Back page: contact").click()
    booth.get_by_label("Preferred contact").select_option("email")
    booth.get_by_role("button", name="Save the back page").click()
    expect(booth.locator("#statement-back-said")).to_contain_text("Not asked yet")
    until(lambda: phone.evaluate("window.witness.framesDecoded()") > 0, "the call to go on")
