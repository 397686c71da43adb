"""Evidence staff in a real browser: from signing in to a certificate of disposal, and once with the keyboard alone."""

import os
import random
import re
import subprocess
import sys
import zipfile
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pypdf
import pytest
from aiohttp import ClientSession, UnixConnector
from playwright.sync_api import Browser, Page, expect

from evidence_store.client import StoreClient, make_grant, new_object_id
from evidence_store.sealing.files import read_key
from tests.conftest import apart
from tests.evidence import samples
from tests.evidence_support import read_token
from tests.product import Product, until
from tests.test_journeys import PATIENCE_MS, playwright, sign_in  # noqa: F401 (a fixture)

AXE = Path(__file__).parent.parent / "node_modules/axe-core/axe.min.js"
AXE_RUN = """() => axe
  .run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] })
  .then((found) => found.violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html).join(" | ")}`))"""
INCIDENT, OTHER, SET_ASIDE = "AP-7F4K-92QD", "AP-9M2X-41TR", "AP-3M8W-61TC"
LETTER = samples.picture(size=(600, 400), about=samples.exif(place=samples.BIG_BEN))
PHOTO = b"\xff\xd8\xff\xe0" + random.Random(5).randbytes(4000)


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """The running server, with three exhibits in its store."""
    product = Product(tmp_path_factory.mktemp("evidence") / "data").start()
    apart(fill(product))
    yield product
    product.stop()


async def fill(product: Product) -> None:
    token = read_token(product.data / "demo" / "keys")
    async with StoreClient(f"unix:{product.data / 'run' / 'evidence.sock'}", token) as store:
        for name in ("door.jpg", "letter.jpg", "window.jpg"):
            data = LETTER if name == "letter.jpg" else PHOTO + name.encode()
            await store.put_object(
                new_object_id(), data, incident=INCIDENT, kind="photo", media_type="image/jpeg",
                filename=name, officer="1234",
            )  # fmt: skip
        for name, data, media_type in (
            ("kitchen.mp4", samples.film(seconds=5), "video/mp4"),
            ("voicemail.wav", samples.film(seconds=5, sight=False, fmt="wav", voice="pcm_s16le"), "audio/wav"),
        ):
            await store.put_object(
                new_object_id(), data, incident=OTHER, kind="video", media_type=media_type, filename=name
            )  # fmt: skip


@pytest.fixture(scope="module")
def chromium(playwright) -> Iterator[Browser]:  # noqa: F811
    browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
    yield browser
    browser.close()


def open_page(chromium: Browser, product: Product, username: str, **how: bool) -> Page:
    """Sign in at the web server and go into the store by its button."""
    page = chromium.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB", **how).new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.errors = []
    page.on("pageerror", lambda problem: page.errors.append(str(problem)))
    page.on("console", lambda line: page.errors.append(line.text) if "Content Security Policy" in line.text else None)
    page.sent = []
    page.on("request", lambda request: page.sent.append(request))
    sign_in(page, product, username)
    return page


def look(page: Page) -> None:
    """Nothing is wrong for anybody on this page, and it is no wider than the narrowest phone."""
    page.set_viewport_size({"width": 320, "height": 800})
    wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wider <= 0, f"{page.url} scrolls sideways by {wider}"
    page.set_viewport_size({"width": 1280, "height": 800})
    page.evaluate(f"{AXE.read_text()};0")
    assert page.evaluate(AXE_RUN) == [], page.url


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def follow(page: Page, name: str) -> None:
    page.get_by_role("link", name=name, exact=True).click()


def heading(page: Page, name: str | re.Pattern[str]) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(name)


def test_evidence_is_found_labelled_held_released_and_disposed_of_by_two(product, chromium):
    page = open_page(chromium, product, "hughes")
    heading(page, "Open the evidence store")
    press(page, "Continue")
    heading(page, "Find evidence")
    look(page)
    page.get_by_label("Incident").fill(INCIDENT)
    press(page, "Search")
    expect(page.get_by_role("heading", name="3 exhibits, newest first")).to_be_focused()
    look(page)
    follow(page, "window.jpg")
    heading(page, re.compile("window.jpg"))
    exhibit = page.url
    look(page)
    follow(page, "Back to what was found")
    expect(page.get_by_role("heading", name="3 exhibits, newest first")).to_be_focused()
    follow(page, "window.jpg")
    heading(page, re.compile("window.jpg"))

    follow(page, "Label as an exhibit")
    heading(page, "Label as an exhibit")
    press(page, "Save the label")
    expect(page.locator(".govuk-error-summary")).to_be_focused()
    look(page)
    page.get_by_label("Exhibit mark").fill("js/1")
    page.get_by_label("What it is").fill("The broken window <b>from the street</b>")
    page.get_by_label("Who produces it").fill("Jo Smith")
    press(page, "Save the label")
    expect(page.get_by_text("The label is saved.")).to_be_visible()
    heading(page, re.compile("JS/1"))

    follow(page, "Add a note")
    heading(page, "Add a note")
    look(page)
    page.get_by_label("Note").fill("Compared <script>alert(1)</script> with the door")
    press(page, "Add the note")
    expect(page.get_by_text("Compared <script>alert(1)</script> with the door")).to_be_visible()

    follow(page, "Place a hold")
    heading(page, "Place a hold")
    look(page)
    page.get_by_label("This exhibit").check()
    page.get_by_label("Why?").fill("Appeal is open")
    press(page, "Continue")
    heading(page, "Check before you place the hold")
    look(page)
    press(page, "Place the hold")
    expect(page.get_by_text("The hold is placed.")).to_be_visible()

    follow(page, "Set how long it is kept")
    heading(page, "How long it is kept")
    look(page)
    page.get_by_label("All other offences (6 years)").check()
    page.get_by_label("Counted from, for All other offences").fill("2010-01-01")
    page.get_by_label("Why?").fill("Case closed")
    press(page, "Save")
    expect(page.get_by_text("Its time ended on 1 January 2016.")).to_be_visible()

    follow(page, "Save the original")
    heading(page, "Save the original")
    look(page)
    page.get_by_label("Why do you need it?").fill("Disclosure to the defence")
    with page.expect_download() as download:
        press(page, "Save the original")
    assert download.value.path().read_bytes() == PHOTO + b"window.jpg"

    follow(page, "Back to the exhibit")
    heading(page, re.compile("JS/1"))
    history = page.locator(".ev-history__what")
    expect(history).to_have_text(
        ["Received; the sender's digest is the same", "Looked at", "Labelled JS/1", "Note added", "Hold placed",
         "To be kept until 1 January 2016", "Original given out"]
    )  # fmt: skip
    expect(page.locator(".ev-lane__who")).to_have_text(["web (system)", "hughes"])
    expect(page.locator(".ev-lane__line .ev-mark")).to_have_count(7)
    look(page)
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=f"{folder}/evidence.png")

    follow(page, "To do")
    heading(page, "To do")
    look(page)
    page.get_by_role("link", name=re.compile("^Release")).click()
    heading(page, "Release a hold")
    page.get_by_label("Why is it released?").fill("Appeal was decided")
    press(page, "Continue")
    heading(page, "Check before you release the hold")
    look(page)
    press(page, "Release the hold")
    expect(page.get_by_text("The hold is released.")).to_be_visible()
    follow(page, "Review: keep or dispose")
    heading(page, "Review")
    look(page)
    page.get_by_label("Propose disposal").check()
    page.get_by_label("Why?").fill("Time has ended")
    press(page, "Continue")
    heading(page, "Check before you propose disposal")
    look(page)
    press(page, "Propose disposal")
    follow(page, "Decide as a second person")
    expect(page.get_by_text("Another person must decide it")).to_be_visible()

    other = open_page(chromium, product, "owen")
    press(other, "Evidence")
    follow(other, "To do")
    follow(other, "JS/1")
    heading(other, "Decide a disposal")
    look(other)
    other.get_by_label("Approve the disposal").check()
    other.get_by_label("Why?").fill("Checked with the case file")
    press(other, "Continue")
    expect(other.get_by_text("This cannot be undone.")).to_be_visible()
    look(other)
    press(other, "Approve and destroy")
    expect(other.get_by_text("Disposal was approved").first).to_be_visible()
    certificate = other.get_by_role("link", name="Open the certificate")
    until(lambda: other.goto(exhibit) and certificate.count(), "the end of it")
    expect(other.get_by_role("link", name="Save the original")).to_have_count(0)
    look(other)
    follow(other, "Open the certificate")
    heading(other, "Certificate of disposal")
    expect(other.get_by_text("hughes, ")).to_be_visible()
    expect(other.get_by_text("owen, ")).to_be_visible()
    look(other)
    expect(other.get_by_role("button", name="Print this certificate")).to_be_visible()
    other.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    expect(other.get_by_role("heading", name="Checkpoint")).to_be_visible()  # nobody opens anything on paper

    press(page, "Leave")
    heading(page, "Open the evidence store")
    press(page, "Sign out")
    page.wait_for_url("**/sign-in")
    page.goto(exhibit)
    expect(page.get_by_label("Username")).to_be_visible()
    for one in (page, other):
        assert one.errors == []
        check_cookies(one)


def check_cookies(page: Page) -> None:
    """The store's cookie went to the store's paths alone; nothing secret stood in an address."""
    for request in page.sent:
        path = request.url.partition("://")[2].partition("/")[2]
        cookies = request.all_headers().get("cookie", "")
        assert "__Secure-evidence=" not in cookies or path.startswith("evidence/"), path
        assert "ticket" not in request.url


def test_a_preview_is_seen_and_an_audit_trail_and_a_court_package_are_saved_and_checked(product, chromium, tmp_path):
    page = open_page(chromium, product, "owen")
    press(page, "Evidence")
    press(page, "Search")
    follow(page, "letter.jpg")
    heading(page, re.compile("letter.jpg"))
    picture = page.get_by_role("img", name="Preview of letter.jpg")
    until(lambda: page.goto(page.url) and picture.count(), "the preview")
    until(lambda: picture.evaluate("one => one.naturalWidth") == 600, "the picture")
    expect(page.get_by_text("Fruit Phone 12")).to_be_visible()
    expect(page.get_by_text("The file says where it was taken.")).to_be_visible()
    look(page)
    shoot(page, "exhibit")
    with page.expect_download() as download:
        follow(page, "Save the audit trail (PDF)")
    assert len(pypdf.PdfReader(download.value.path()).pages) > 0

    press(page, "Choose for a court package")
    heading(page, "Chosen for a court package")
    look(page)
    shoot(page, "chosen")
    follow(page, "Make a court package")
    heading(page, "Make a court package")
    press(page, "Continue")
    expect(page.locator(".govuk-error-summary")).to_be_focused()
    look(page)
    page.get_by_label("Whom is it for?").fill("Crown Prosecution Service")
    page.get_by_label("Why is it given out?").fill("Disclosure")
    shoot(page, "package")
    press(page, "Continue")
    heading(page, "Check before you make the court package")
    look(page)
    shoot(page, "confirm")
    key = page.locator("pre").inner_text().rpartition(" ")[2]
    with page.expect_download() as download:
        press(page, "Make the package")
    saved = tmp_path / "package.zip"
    download.value.save_as(saved)
    with zipfile.ZipFile(saved) as file:
        assert file.testzip() is None
        [exhibit] = [name for name in file.namelist() if name.startswith("exhibits/")]
        assert file.read(exhibit) == LETTER
        file.extract("verify.py", tmp_path)
    for more, code in (["--key", key], 0), ([], 3):
        command = [sys.executable, "-I", str(tmp_path / "verify.py"), str(saved), *more]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout
    expect(page.get_by_text("All of it was sent", exact=True)).to_be_visible()
    expect(page.locator("[data-given-says]")).to_contain_text("All of the package was sent.")
    look(page)
    shoot(page, "given")
    follow(page, "See how far it is, and whether all of it was sent")
    heading(page, "Chosen for a court package")
    expect(page.get_by_text("All of it was sent", exact=True)).to_be_visible()
    look(page)
    assert page.errors == []


def test_who_does_nothing_for_long_is_told_in_time_and_can_stay(product, chromium):
    page = open_page(chromium, product, "owen")
    page.clock.install()
    press(page, "Evidence")
    heading(page, "Find evidence")
    page.wait_for_load_state()  # the page's script has begun to count
    page.clock.fast_forward("25:00")
    expect(page.get_by_text("In 5 minutes you are out")).to_be_visible()
    look(page)
    shoot(page, "stay")
    press(page, "Stay in")
    expect(page.get_by_role("button", name="Stay in")).to_be_hidden()
    expect(page.locator("main")).to_be_focused()
    assert page.errors == []


@pytest.mark.parametrize(
    ("name", "button", "tag"),
    [
        pytest.param("kitchen.mp4", "Prepare it to be played", "video", id="film"),
        pytest.param("voicemail.wav", "Prepare it to be heard", "audio", id="sound"),
    ],
)
def test_films_and_sounds_are_played_by_the_keyboard_and_never_by_themselves(product, chromium, name, button, tag):
    page = open_page(chromium, product, "owen")
    press(page, "Evidence")
    page.get_by_label("Incident").fill(OTHER)
    press(page, "Search")
    follow(page, name)
    heading(page, re.compile(name))
    look(page)
    shoot(page, f"{tag}-offered")
    tab_to(page, button)
    page.keyboard.press("Enter")
    player = page.locator(f"{tag}[controls]")
    expect(player).to_be_visible()
    expect(page.get_by_text("It is not the evidence; the original is untouched.")).to_be_visible()
    expect(page.locator("[data-still]")).to_have_count(0)
    look(page)
    shoot(page, f"{tag}-ready")
    assert player.evaluate("one => [one.autoplay, one.paused, one.readyState]") == [False, True, 0]
    player.focus()
    page.keyboard.press("Space")
    until(lambda: player.evaluate("one => one.currentTime > 0.5"), "a part that was played")
    assert player.evaluate("one => one.duration") == pytest.approx(5, abs=0.3)
    assert player.evaluate("one => one.error") is None
    page.keyboard.press("Space")
    until(lambda: player.evaluate("one => one.paused"), "the pause")
    page.reload()
    expect(page.locator(".ev-history__what", has_text="Preview played")).to_have_count(1)
    assert page.errors == []


def test_the_player_comes_without_scripts_too(product, chromium):
    page = open_page(chromium, product, "owen", java_script_enabled=False)
    press(page, "Evidence")
    page.get_by_label("Incident").fill(OTHER)
    press(page, "Search")
    follow(page, "kitchen.mp4")
    heading(page, re.compile("kitchen.mp4"))
    page.wait_for_load_state()
    prepare, again = page.get_by_role("button", name="Prepare it"), page.get_by_role("link", name="See how far it is")
    if prepare.count():
        prepare.click()
    player = page.locator("video[controls]")
    until(lambda: player.or_(again).count() and (player.count() or again.click()), "the player")


def test_an_officer_comes_from_an_appointment_and_opens_another_incident_in_an_emergency(product, chromium):
    booth = open_page(chromium, product, "smith")
    open_demos_appointment(booth, product)
    with booth.expect_popup() as opened:
        press(booth, "All evidence of this incident (opens in a new tab)")
    page = opened.value
    page.set_default_timeout(PATIENCE_MS)
    expect(page.get_by_role("heading", name="Nothing was found")).to_be_visible()
    expect(page.get_by_role("link", name="To do")).to_have_count(0)
    page.get_by_label("Incident").fill(OTHER)
    press(page, "Search")
    heading(page, "There is a problem")
    expect(page.get_by_text("belongs to another incident than the one you came in for")).to_be_visible()
    look(page)
    shoot(page, "refused")
    follow(page, "Open it in an emergency")
    heading(page, "Open evidence in an emergency")
    look(page)
    shoot(page, "glass")
    press(page, "Open it and tell the supervisors")
    expect(page.locator(".govuk-error-summary")).to_be_focused()
    look(page)
    page.get_by_label("A child may be at risk").check()
    page.get_by_label("Why can it not wait?").fill("The child is in the flat with the suspect")
    press(page, "Open it and tell the supervisors")
    expect(page.get_by_text("Supervisors were told.", exact=False).first).to_be_visible()
    look(page)
    shoot(page, "opened")
    follow(page, "kitchen.mp4")
    expect(page.get_by_text("This is not your incident.")).to_be_visible()
    look(page)
    boss = open_page(chromium, product, "supervisor")
    alarm = boss.get_by_text("smith had no access to this incident and opened all its files")
    until(lambda: boss.goto(f"{product.url}/desk") and alarm.count(), "the alarm")
    expect(boss.get_by_text("The child is in the flat with the suspect")).to_be_visible()
    shoot(boss, "alarm")


def open_demos_appointment(booth: Page, product: Product) -> None:
    """Open the one that the demo made as it started: today, or yesterday where midnight came in between."""
    today = datetime.now(ZoneInfo("Europe/London")).date()
    opened = booth.locator(".app-diary__do a")
    for day in (today, today - timedelta(days=1)):
        booth.goto(f"{product.url}/booth?day={day}")
        if opened.count():
            break
    opened.first.click()


def shoot(page: Page, name: str) -> None:
    """Take pictures to look at, on a phone and on a desktop, where a folder for them is given."""
    folder = os.environ.get("SCREENSHOTS")
    for width in (320, 375, 1280) if folder else ():
        page.set_viewport_size({"width": width, "height": 800})
        page.screenshot(path=f"{folder}/{name}-{width}.png", full_page=True)


def test_everything_is_reached_by_the_keyboard_alone(product, chromium):
    page = open_page(chromium, product, "owen")
    tab_to(page, "Evidence")
    page.keyboard.press("Enter")
    heading(page, "Find evidence")
    tab_to(page, "Incident")
    page.keyboard.type(INCIDENT)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=re.compile("exhibits, newest first"))).to_be_focused()
    rows = page.locator(".ev-table__name a")
    tab_to(page, rows.first.inner_text())
    page.keyboard.press("/")  # no key of its own has these pages, so none is pressed by mistake
    expect(rows.first).to_be_focused()
    while not rows.last.evaluate("link => link === document.activeElement"):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    heading(page, re.compile("door.jpg"))
    tab_to(page, "Add a note")
    page.keyboard.press("Enter")
    heading(page, "Add a note")
    tab_to(page, "Note")
    page.keyboard.type("Written without a mouse")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(page.get_by_text("Written without a mouse")).to_be_visible()
    expect(page.locator(".govuk-notification-banner")).to_be_focused()
    tab_to(page, "Keyboard")
    page.keyboard.press("Enter")
    heading(page, "Keyboard")
    look(page)
    tab_to(page, "Search")
    page.keyboard.press("Enter")
    heading(page, "Find evidence")
    page.goto(f"{product.url}/evidence/?search=yes")
    rows = page.locator("input[name=object]")
    rows.first.focus()
    page.keyboard.press("Space")
    tab_to(page, "Choose for a court package")
    page.keyboard.press("Enter")
    heading(page, "Chosen for a court package")
    look(page)
    page.goto(f"{product.url}/evidence/view/objects/{'0' * 32}")
    heading(page, "There is a problem")
    look(page)
    assert page.errors == []


async def send_another(product: Product) -> None:
    """Send a file as a phone does, announcing the digest of another one."""
    grant = make_grant(
        read_key(product.data / "demo" / "keys" / "grant.key"), incident=SET_ASIDE, reference="phone", max_bytes=9000,
        kinds=["photo"], expires_at=datetime.now(UTC) + timedelta(minutes=10),
    )  # fmt: skip
    name, kind = (b64encode(said).decode() for said in (b"changed.jpg", b"image/jpeg"))
    headers = {
        "Authorization": f"Grant {grant}", "Tus-Resumable": "1.0.0", "Upload-Length": str(len(PHOTO)),
        "Upload-Metadata": f"filename {name},filetype {kind}",
        "Content-Type": "application/offset+octet-stream",
    }  # fmt: skip
    connector = UnixConnector(str(product.data / "run" / "evidence.sock"))
    async with ClientSession("http://store", connector=connector, raise_for_status=True) as http:
        async with http.post("/evidence/files/", headers=headers, data=PHOTO) as made:
            place, bearer = made.headers["Location"], {"Authorization": f"Bearer {made.headers['Upload-Bearer']}"}
        async with http.post(f"{place}/digest", headers=bearer, json={"sha256": "0" * 64}) as answer:
            assert (await answer.json())["state"] == "quarantined"


def test_what_came_with_another_digest_is_released_from_quarantine_with_a_reason(product, chromium):
    apart(send_another(product))
    page = open_page(chromium, product, "owen")
    press(page, "Evidence")
    page.get_by_label("Incident").fill(SET_ASIDE)
    press(page, "Search")
    follow(page, "changed.jpg")
    heading(page, re.compile("changed.jpg"))
    expect(page.get_by_text("does not have the digest that the sender announced")).to_be_visible()
    look(page)
    shoot(page, "quarantined")
    follow(page, "Release from quarantine")
    heading(page, "Release from quarantine")
    press(page, "Continue")
    expect(page.locator(".govuk-error-summary")).to_be_focused()
    look(page)
    shoot(page, "unquarantine")
    page.get_by_label("Why is it released?").fill("The sender confirmed by telephone that this is the file")
    press(page, "Continue")
    heading(page, "Check before you release it")
    look(page)
    shoot(page, "unquarantine-check")
    press(page, "Release it")
    expect(page.get_by_text("This is released from quarantine.")).to_be_visible()
    expect(page.locator(".ev-history__what").last).to_have_text("Released from quarantine")
    look(page)
    assert page.errors == []


def tab_to(page: Page, name: str) -> None:
    """Press Tab until what has this name has the focus."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if (
            page.evaluate("() => (document.activeElement.labels?.[0] ?? document.activeElement).textContent.trim()")
            == name
        ):
            return
    raise AssertionError(f"Tab never reached {name}")
