"""From a booking to two moving pictures: two real browsers, the real server, everything between them.

The officer's camera is blue, the victim's red; each has a tone. A picture counts when it shows the *other's* colour and
goes on changing; a sound when the other's tone is heard.
"""

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from tests.conftest import apart, on_postgres
from tests.fake_media import BLUE, RED, write_picture, write_tone
from tests.product import Product, until
from video_server.audit import service as audit
from video_server.core.database import Database

PATIENCE_MS = 120_000  # machines differ; how fast things are is printed, not tested
expect.set_options(timeout=PATIENCE_MS)

PHONE = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    "user_agent": "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 Chrome/140.0.0.0 Mobile Safari/537.36",
    "locale": "en-GB",
}
DESKTOP = {"viewport": {"width": 1280, "height": 800}, "locale": "en-GB"}
ARGUMENTS = [
    "--no-sandbox",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--allow-loopback-in-peer-connection",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
]

# Remembers the page's connections and can say of a <video> what it shows and sounds like.
WITNESS = """
(() => {
  const connections = [];
  const Original = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Original {
    constructor(...given) { super(...given); this.madeAt = Date.now(); connections.push(this); }
  };
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d", { willReadFrequently: true });
  window.witness = {
    async framesDecoded() {  // of all connections there were: a fresh one that begins at nothing takes nothing away
      for (const one of connections) {
        if (one.connectionState === "closed") continue;
        let frames = 0;
        (await one.getStats()).forEach((stat) => {
          if (stat.type === "inbound-rtp" && stat.kind === "video") frames += stat.framesDecoded ?? 0;
        });
        one.framesSeen = Math.max(one.framesSeen ?? 0, frames);
      }
      return connections.reduce((sum, one) => sum + (one.framesSeen ?? 0), 0);
    },
    async firstFrame(isNew = () => true) {
      const began = Date.now();
      let before = null;
      for (;;) {
        const one = connections.at(-1);
        if (isNew(one)) {
          let frames = 0;
          (await one.getStats()).forEach((stat) => {
            if (stat.type === "inbound-rtp" && stat.kind === "video") frames += stat.framesDecoded ?? 0;
          });
          if (before === null) before = frames;
          if (frames > before || (frames > 0 && one.fresh)) return Date.now() - Math.max(began, one.madeAt);
        }
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    },
    firstFrameOfNewConnection() {
      const old = connections.at(-1);
      return this.firstFrame((one) => one !== old && (one.fresh = true));
    },
    picture(video) {
      if (!video.videoWidth) return null;
      canvas.width = 64; canvas.height = 48;
      context.drawImage(video, 0, 0, 64, 48);
      const { data } = context.getImageData(0, 0, 64, 48);
      const corner = [0, 0, 0];  // the top rows, where the figure never is
      let all = 0;
      for (let n = 0; n < data.length; n += 4) {
        if (n < 64 * 10 * 4) for (const c of [0, 1, 2]) corner[c] += data[n + c] / 640;
        all = (all * 31 + data[n] + data[n + 1] + data[n + 2]) % 1000003;
      }
      return { corner, all };
    },
    async loudness(video) {
      const stream = video.srcObject;  // the page may take it away meanwhile
      if (!stream?.getAudioTracks().length) return 0;  // between two connections
      const audio = new AudioContext();
      await audio.resume();
      const analyser = audio.createAnalyser();
      audio.createMediaStreamSource(stream).connect(analyser);
      const samples = new Float32Array(analyser.fftSize);
      let loudest = 0;
      for (let n = 0; n < 20; n++) {
        await new Promise((resolve) => setTimeout(resolve, 50));
        analyser.getFloatTimeDomainData(samples);
        loudest = Math.max(loudest, ...samples.map(Math.abs));
      }
      await audio.close();
      return loudest;
    },
  };
})();
"""


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


DATABASES = count(1)  # each module that asks for the product has one of its own


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def product(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """The running server, on each kind of database in turn."""
    environment = {}
    if request.param == "postgresql":
        base, name = request.getfixturevalue("postgres"), f"journey_{next(DATABASES)}"
        apart(on_postgres(base, f"CREATE DATABASE {name}"))
        environment["VIDEO_DATABASE"] = f"{base}/{name}"
    product = Product(tmp_path_factory.mktemp("journey") / "data", environment=environment).start()
    yield product
    product.stop()


def launch(
    playwright: Playwright, folder, name: str, colour, hertz: int, *, shrink: int = 1, program="/usr/bin/chromium"
) -> Browser:
    """Start a browser of its own, because the fake camera belongs to the whole process."""
    picture = write_picture(folder / f"{name}.y4m", colour, shrink=shrink)
    tone = write_tone(folder / f"{name}.wav", hertz)
    browser = playwright.chromium.launch(
        executable_path=str(program),
        ignore_default_args=["--disable-hang-monitor"],  # a page that hangs in its unloading must not keep all waiting
        args=[
            *ARGUMENTS,
            f"--use-file-for-fake-video-capture={picture}",
            f"--use-file-for-fake-audio-capture={tone}",
        ],
    )
    browser.mark = str(picture)  # by which its processes are found
    return browser


@pytest.fixture(scope="module")
def browsers(playwright: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Browser, Browser]]:
    """The officer's browser (blue, 440 Hz) and the victim's (red, 880 Hz)."""
    folder = tmp_path_factory.mktemp("media")
    officer = launch(playwright, folder, "officer", BLUE, 440)
    victim = launch(playwright, folder, "victim", RED, 880)
    yield officer, victim
    officer.close()
    victim.close()


def open_page(browser: Browser, **how) -> Page:
    context = browser.new_context(permissions=["camera", "microphone"], **how)
    context.add_init_script(WITNESS)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.errors = []
    page.on("pageerror", lambda problem: page.errors.append(str(problem)))
    page.on("console", lambda line: page.errors.append(line.text) if "Content Security Policy" in line.text else None)
    return page


def leave(page: Page) -> None:
    """Have a page end what it does. Its context goes with the browser.

    Closing the context here would do that too, but Chromium now and then never says that it did, and playwright waits
    for it without end; the end of a browser it waits for half a minute.
    """
    page.goto("about:blank")


def sign_in(page: Page, product: Product, username: str) -> None:
    page.goto(f"{product.url}/sign-in")
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill(product.password_of(username))
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def press(page: Page, name: str, *, leads_to: str) -> None:
    """Press a button and wait until its page has come: the next one may have the same labels."""
    page.get_by_role("button", name=name).click()
    page.wait_for_url(f"**{leads_to}")


def open_link(phone: Page, link: str) -> None:
    """Open the link, up to the first question."""
    phone.goto(link)
    press(phone, "Continue", leads_to="/phone")
    press(phone, "Start", leads_to="/phone/safe")


def walk_to_check(phone: Page, link: str, *, word: str | None = None) -> None:
    """Open the link and answer the questions, up to the camera check."""
    open_link(phone, link)
    phone.get_by_label("Yes", exact=True).check()
    press(phone, "Continue", leads_to="/phone/watched")
    phone.get_by_label("No", exact=True).check()
    press(phone, "Continue", leads_to="/phone/word")
    if word is None:
        phone.get_by_role("link", name="I do not remember the words").click()
    else:
        phone.get_by_label("What are the words").fill(word)
        phone.get_by_role("button", name="Continue").click()
    expect(phone.get_by_role("button", name="Turn on camera and microphone")).to_be_visible()


def say_ready(page: Page) -> None:
    """Press “I am ready”, once: a press is taken whatever moves meanwhile."""
    page.get_by_role("button", name="I am ready").click()
    expect(page.locator('[data-section="check"]')).to_be_hidden()


def check_and_wait(phone: Page) -> None:
    """See oneself through the relay, then wait."""
    phone.get_by_role("button", name="Turn on camera and microphone").click()
    sees(phone, "[data-echo]", RED)
    say_ready(phone)
    expect(phone.locator('[data-section="waiting"]')).to_be_visible()


def admit(booth: Page) -> None:
    booth.locator(".app-wait__admit:visible").first.click()


def sees(page: Page, selector: str, colour: tuple[int, int, int]) -> None:
    """Wait until the video shows this colour and changes."""
    video = page.locator(selector).first

    def shows() -> bool:
        seen = video.evaluate("video => window.witness.picture(video)")
        return bool(seen) and all(abs(one - wanted) < 60 for one, wanted in zip(seen["corner"], colour, strict=True))

    until(shows, f"the colour {colour} in {selector}")
    first = video.evaluate("video => window.witness.picture(video)?.all")
    until(
        lambda: video.evaluate("video => window.witness.picture(video)?.all") not in {None, first},
        f"{selector} to move",
    )


def hears(page: Page, selector: str) -> None:
    video = page.locator(selector).first
    until(lambda: video.evaluate("video => window.witness.loudness(video)") > 0.02, f"sound in {selector}")


def both_see_and_hear(booth: Page, phone: Page) -> None:
    sees(booth, "#remotes video", RED)
    sees(phone, "[data-remote]", BLUE)
    hears(booth, "#remotes video")
    hears(phone, "[data-remote]")
    for page in (booth, phone):
        before = page.evaluate("window.witness.framesDecoded()")
        until(lambda page=page, before=before: page.evaluate("window.witness.framesDecoded()") > before, "new frames")


@dataclass
class Booked:
    """An appointment as the call handler sees it on the screen."""

    reference: str
    agreed_word: str
    link: str
    booth: str


NUMBERS = count(100)


def book_as_call_handler(page: Page, product: Product, name: str) -> Booked:
    """Record an incident, book a time, and take the link out of the text that goes to the phone."""
    mobile = f"07700 900{next(NUMBERS)}"
    page.goto(f"{product.url}/desk/incidents/new")
    choose(page, "Is anyone in danger now", "No")
    page.get_by_label("What happened").select_option(index=1)
    page.get_by_label("Name").fill(name)
    page.get_by_label("Mobile number").fill(mobile)
    page.get_by_label("English").check()
    choose(page, "Is it safe to text", "Yes")
    page.get_by_label("Plain").check()
    for question in ("18 or over", "smartphone", "offender be away", "safe and private place"):
        choose(page, question, "Yes")
    page.get_by_role("button", name="Save and show free times").click()
    page.locator("[name=slot]").nth(1).check()  # the first may have passed when the button is pressed
    page.get_by_role("button", name="Book this time").click()
    page.wait_for_url(re.compile(r"/desk/appointments/\w{32}$"))
    said = page.locator("main").inner_text()
    reference = re.search(r"[A-Z]{2}-[A-Z0-9]{4}-[A-Z0-9]{4}", said)[0]
    appointment = re.search(r"/desk/appointments/(\w{32})", page.url)[1]
    word = page.locator("[data-agreed-word]").inner_text()
    return Booked(
        reference, word, read_link(page, product, reference), f"{product.url}/booth/appointments/{appointment}"
    )


def choose(page: Page, question: str, answer: str) -> None:
    page.get_by_role("group", name=re.compile(question)).get_by_label(answer).first.check()


def read_link(page: Page, product: Product, reference: str) -> str:
    """Wait for the text on the demo's phone and return the link in it."""

    def find() -> str | None:
        page.goto(f"{product.url}/demo/texts")
        text = page.locator("main").inner_text()
        found = re.search(rf"{reference}.*?(http\S+/j/\S+)", text, re.DOTALL)
        return found and found[1]

    return until(find, "the text with the link")


@pytest.fixture(scope="module")
def handler(product: Product, browsers: tuple[Browser, Browser]) -> Page:
    """The call handler at the desk."""
    page = open_page(browsers[0], **DESKTOP)
    sign_in(page, product, "handler")
    return page


@pytest.fixture
def booth(product: Product, browsers: tuple[Browser, Browser]) -> Iterator[Page]:
    """PC Smith in the booth."""
    page = open_page(browsers[0], **DESKTOP)
    sign_in(page, product, "smith")
    yield page
    assert page.errors == []
    leave(page)


@pytest.fixture
def phone(browsers: tuple[Browser, Browser]) -> Iterator[Page]:
    """The victim's phone."""
    page = open_page(browsers[1], **PHONE)
    yield page
    assert page.errors == []
    leave(page)


def open_booth(booth: Page, booked: Booked) -> None:
    booth.goto(booked.booth)
    booth.get_by_role("button", name="Go on camera").click()


def meet(booth: Page, phone: Page, booked: Booked) -> None:
    """Bring both into the call."""
    open_booth(booth, booked)
    walk_to_check(phone, booked.link)
    check_and_wait(phone)
    admit(booth)
    both_see_and_hear(booth, phone)


def headline(booth: Page, words: str) -> None:
    expect(booth.locator("#headline")).to_contain_text(words)


def test_from_a_booking_to_two_moving_pictures_and_an_outcome(product, handler, booth, phone):
    booked = book_as_call_handler(handler, product, "Jo Bloggs")
    open_booth(booth, booked)
    headline(booth, "Waiting for Jo Bloggs")

    walk_to_check(phone, booked.link, word=booked.agreed_word)
    check_and_wait(phone)
    expect(phone.locator("[data-waiting-words]")).to_have_text("PC Smith, collar number 1234, knows you are here.")
    expect(phone.locator("[data-waiting-since]")).to_contain_text("You have been waiting since")
    expect(booth.locator(".app-wait")).to_contain_text("Gave the right agreed word")
    headline(booth, "Jo Bloggs is waiting to be let in")
    until(lambda: nothing_arrives(phone), "nothing of the officer on the phone before being let in")
    until(lambda: nothing_arrives(booth), "nothing of the victim in the booth before being let in")

    watch_first_frame(phone, booth)
    admit(booth)
    both_see_and_hear(booth, phone)
    say_first_frame("admitted → first decoded frame", phone, booth)
    headline(booth, "Connected with Jo Bloggs")
    photograph(phone, "victim-phone")
    photograph(booth, "booth")

    booth.locator("#notes").fill("Window broken on Sunday night.")
    expect(booth.locator("#note-state")).to_contain_text("Saved at")
    with pages_kept(booth, phone):
        watch_new_connection(phone, booth)
        for name in ("1", "2"):  # one of the two holds the call; it goes on, on the other
            product.kill("relay", name)
            both_see_and_hear(booth, phone)
        say_first_frame("relay killed: new connection → first decoded frame", phone, booth)
        product.kill("web")
        both_see_and_hear(booth, phone)
        until(product.is_ready, "the new web process")
        booth.locator("#notes").fill("Window broken on Sunday night. Glass kept.")
        expect(booth.locator("#note-state")).to_contain_text("Saved at")

    end(booth, "Seen")
    expect(phone.locator('[data-section="ended"]')).to_contain_text(booked.reference)
    expect(phone.locator('[data-section="ended"]')).to_contain_text("PC Smith now works on what you said")
    until(lambda: nothing_arrives(phone), "the end of the pictures")
    summary = booth.locator("main")
    expect(summary).to_contain_text("Window broken on Sunday night. Glass kept.")
    assert audited(product, booked) >= {
        "appointments.booked",
        "calls.arrived",
        "calls.safe",
        "calls.word_given",
        "calls.waiting",
        "calls.admitted",
        "calls.note_saved",
        "appointments.ended",
    }


def test_the_doctor_finds_every_part_of_a_running_server_well(product):
    def finds_all_well() -> bool:  # what the test before has killed may be starting still
        said = product.run("doctor", "--demo", "--data", str(product.data)).splitlines()
        wrong = [line for line in said if line.startswith("WRONG") and " clock " not in line]
        assert len(said) == 8
        return wrong == []  # the clock is the machine's own affair

    until(finds_all_well, "every part to be well")


def test_several_sessions_of_one_link_stand_apart_and_one_is_let_in(product, browsers, handler, booth, phone):
    booked = book_as_call_handler(handler, product, "Alex Morgan")
    open_booth(booth, booked)
    walk_to_check(phone, booked.link)
    check_and_wait(phone)
    other = open_page(browsers[1], **{**PHONE, "user_agent": PHONE["user_agent"].replace("Android 15", "iPhone")})
    walk_to_check(other, booked.link)
    check_and_wait(other)
    expect(booth.locator(".app-wait")).to_have_count(2)
    expect(booth.locator(".app-waits")).to_contain_text("iPhone")
    expect(booth.locator(".app-waits")).to_contain_text("Android")
    booth.locator(".app-wait", has_text="Android").get_by_role("button").click()
    asked = booth.locator("#ask-yes")  # whether it is all right that the other waits, if that one is connected by now
    until(lambda: asked.is_visible() or "is waiting" not in booth.locator("#headline").inner_text(), "the next step")
    if asked.is_visible():
        asked.click()
    both_see_and_hear(booth, phone)
    expect(other.locator('[data-section="replaced"]')).to_be_visible()
    until(lambda: nothing_arrives(other), "the end of the pictures")
    leave(other)


def test_exit_in_the_call_tells_the_booth_not_to_ring_back_and_never_rejoins(product, handler, booth, phone):
    booked = book_as_call_handler(handler, product, "Chris Evans")
    phone.context.route("https://www.bbc.co.uk/**", lambda route: route.fulfill(body="<p>Weather</p>"))
    meet(booth, phone, booked)
    phone.get_by_role("button", name="Exit this page").click()
    phone.wait_for_url("https://www.bbc.co.uk/**")
    headline(booth, "left on purpose: do not ring back")
    expect(booth.locator("#alerts")).to_contain_text("Do not ring back")
    phone.go_back()
    phone.goto(f"{product.url}/phone/call")
    assert booked.reference not in phone.content()
    expect(phone.locator("[data-section]:visible")).to_have_count(0)


def test_leaving_closing_and_a_lost_network_are_noticed_and_said(product, browsers, handler, booth, phone):
    booked = book_as_call_handler(handler, product, "Sam Price")
    meet(booth, phone, booked)

    with frozen(browsers[1]):
        headline(booth, "Sam Price lost the connection")
    both_see_and_hear(booth, phone)
    headline(booth, "Connected with Sam Price")

    phone.get_by_role("button", name="Leave").click()
    phone.get_by_role("button", name="Yes, leave").click()
    headline(booth, "Sam Price left at")
    phone.get_by_role("button", name="Join again").click()
    check_and_wait(phone)
    admit(booth)
    both_see_and_hear(booth, phone)

    phone.goto("about:blank")
    headline(booth, "Sam Price closed the page at")


def test_the_phone_and_the_booth_may_be_on_different_web_processes(product, handler, booth, phone):
    booked = book_as_call_handler(handler, product, "Kim Rees")
    with product.another_web() as other:
        open_booth(booth, booked)
        walk_to_check(phone, booked.link.replace(product.url, other))
        check_and_wait(phone)
        admit(booth)
        both_see_and_hear(booth, phone)
        end(booth, "Seen")
        expect(phone.locator('[data-section="ended"]')).to_contain_text(booked.reference)


def test_an_unsafe_answer_alarms_the_booth_and_leaves_a_neutral_page(product, handler, booth, phone):
    booked = book_as_call_handler(handler, product, "Robin Hughes")
    booth.goto(booked.booth)
    open_link(phone, booked.link)
    phone.get_by_label("No", exact=True).check()
    phone.get_by_role("button", name="Continue").click()
    expect(phone.locator("[data-closed=thanks]")).to_be_visible()
    expect(booth.locator("#alerts")).to_contain_text("said it is not safe to talk")
    said = phone.locator("body").inner_text()
    for word in ("olice", booked.reference, "Smith", "call"):
        assert word not in said
    assert phone.title()
    assert "olice" not in phone.title()
    handler.goto(f"{product.url}/desk")
    expect(handler.locator("main")).to_contain_text("Decide how to reach this person safely")


def photograph(page: Page, name: str) -> None:
    """Take a picture for the README when asked to (`make screenshots`)."""
    if os.environ.get("SCREENSHOTS"):
        page.wait_for_timeout(1500)
        page.screenshot(path=Path(os.environ["SCREENSHOTS"]) / f"{name}.png")


def end(booth: Page, outcome: str) -> None:
    booth.get_by_label(outcome).first.check()
    booth.locator("#end-form").get_by_role("button", name="End the call").click()
    booth.locator("#ask-yes").click()
    booth.wait_for_url("**/summary")


def nothing_arrives(page: Page) -> bool:
    """Say whether no new picture is decoded for a second; the page's own echo has ended by now."""
    before = page.evaluate("window.witness.framesDecoded()")
    page.wait_for_timeout(1000)
    return page.evaluate("window.witness.framesDecoded()") <= before


def watch_first_frame(*pages: Page) -> None:
    """Start to wait, inside each page, for the next decoded frame of the other side."""
    for page in pages:
        page.evaluate("window.first = window.witness.firstFrame(); undefined")


def watch_new_connection(*pages: Page) -> None:
    """Start to wait, inside each page, for a new connection and its first decoded frame."""
    for page in pages:
        page.evaluate("window.first = window.witness.firstFrameOfNewConnection(); undefined")


def say_first_frame(what: str, phone: Page, booth: Page) -> None:
    """Print how long it took; nothing here fails for being slow."""
    took = {name: page.evaluate("window.first") for name, page in (("phone", phone), ("booth", booth))}
    print(f"{what}: phone {took['phone']:.0f} ms, booth {took['booth']:.0f} ms")


def audited(product: Product, booked: Booked) -> set[str]:
    """Return what the audit holds of an appointment."""
    subject = f"appointment:{booked.booth.rsplit('/', 1)[1]}"
    found: set[str] = set()

    async def read() -> None:
        url = product.environment.get("VIDEO_DATABASE", f"sqlite+aiosqlite:///{product.data / 'video.sqlite'}")
        database = Database(url)
        async with database.read() as db:
            found.update(entry.action for entry in await audit.list_for(db, subject))
        await database.dispose()

    apart(read())
    return found


@contextmanager
def pages_kept(*pages: Page) -> Iterator[None]:
    """Make sure that nothing was clicked or loaded anew: the documents are the same afterwards."""
    for page in pages:
        page.evaluate("window.kept = true")
    yield
    assert all(page.evaluate("window.kept === true") for page in pages)


@contextmanager
def frozen(browser: Browser) -> Iterator[None]:
    """Stop every process of a browser: for everybody else its network has gone, without a goodbye."""
    processes = tree_of(browser.mark)
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in processes:
            os.kill(pid, signal.SIGCONT)


def tree_of(mark: str) -> list[int]:
    """Return the processes whose command line holds `mark`, and all below them."""
    parents, marked = {}, set()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if mark.encode() in (folder / "cmdline").read_bytes():
                marked.add(int(folder.name))
        except OSError:
            continue  # it ended while we looked
    found = set(marked)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found)
