"""A call over a path that gets worse and worse: a real browser in a network namespace, one call through all of it.

Each test does one thing to the network between the victim's phone and everybody else, and nobody presses anything.
"""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from tests.fake_media import BLUE, RED
from tests.product import Product, until
from tests.relay import paths
from tests.test_journeys import (
    DESKTOP as PLAIN_DESKTOP,
)
from tests.test_journeys import (
    PHONE as PLAIN_PHONE,
)
from tests.test_journeys import (
    Booked,
    book_as_call_handler,
    both_see_and_hear,
    headline,
    hears,
    launch,
    leave,
    meet,
    open_page,
    pages_kept,
    sign_in,
)

DESKTOP, PHONE = ({**one, "ignore_https_errors": True} for one in (PLAIN_DESKTOP, PLAIN_PHONE))
HARDLY_BITS = 100_000
WHY_NOT = paths.why_not()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or "")

COUNTS = """async () => {
  const found = { frames: 0, lost: 0, sound: 0, sent: 0, from: "" };
  const report = await window.watched.at(-1).getStats();
  report.forEach((one) => {
    if (one.type === "inbound-rtp") found.lost += one.packetsLost ?? 0;
    if (one.type === "inbound-rtp" && one.kind === "video") found.frames += one.framesDecoded ?? 0;
    if (one.type === "inbound-rtp" && one.kind === "audio") found.sound += one.totalAudioEnergy ?? 0;
    if (one.type === "outbound-rtp" && one.kind === "video") found.sent += one.bytesSent ?? 0;
    if (one.type === "candidate-pair" && one.nominated) found.from = report.get(one.localCandidateId)?.address ?? "";
  });
  return found;
}"""
WATCH = """(() => {
  window.watched = [];
  const Plain = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Plain {
    constructor(...given) { super(...given); window.watched.push(this); }
  };
})();"""


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def far_end(tmp_path_factory: pytest.TempPathFactory) -> Iterator[paths.FarEnd]:
    far_end = paths.FarEnd(tmp_path_factory.mktemp("far"))
    yield far_end
    far_end.close()


@pytest.fixture(scope="module")
def product(far_end: paths.FarEnd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    data = tmp_path_factory.mktemp("paths") / "data"
    product = Product(data, environment={"VIDEO_TLS": "self-signed"}, host=paths.HERE).start()
    yield product
    product.stop()


@pytest.fixture(scope="module")
def browsers(
    far_end: paths.FarEnd, playwright: Playwright, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Browser, Browser]]:
    folder = tmp_path_factory.mktemp("media")
    officer = launch(playwright, folder, "officer", BLUE, 440)
    victim = launch(playwright, folder, "victim", RED, 880, program=far_end.wrapper)
    yield officer, victim
    officer.close()
    victim.close()


class Call:
    """Two people in a call, for as long as the module runs; `rungs` is what the booth was told of the phone's link."""

    def __init__(self, booth: Page, phone: Page, booked: Booked) -> None:
        self.booth, self.phone, self.booked = booth, phone, booked
        self.me, self.rungs = "", []
        phone.on("websocket", lambda line: line.on("framereceived", self._learn_who))
        booth.on("websocket", lambda line: line.on("framereceived", self._hear))

    def _learn_who(self, frame: str | bytes) -> None:
        said = json.loads(frame)
        if said["type"] == "state":
            self.me = said["state"].get("me") or self.me

    def _hear(self, frame: str | bytes) -> None:
        said = json.loads(frame)
        if said["type"] in {"rung", "quality"} and said["of"] == self.me:
            self.rungs.append(said["rung"])

    def rung(self) -> str:
        """Return where the phone's link stands, as the booth was told: on a thin one the phone may not hear it."""
        self.booth.wait_for_timeout(50)  # events are heard while Playwright waits
        return self.rungs[-1] if self.rungs else "full"

    def counts(self, page: Page) -> dict:
        return page.evaluate(COUNTS)


@pytest.fixture(scope="module")
def call(product: Product, browsers: tuple[Browser, Browser]) -> Iterator[Call]:
    handler = open_page(browsers[0], **DESKTOP)
    sign_in(handler, product, "handler")
    booked = book_as_call_handler(handler, product, "Jo Bloggs")
    leave(handler)
    booth, phone = open_page(browsers[0], **DESKTOP), open_page(browsers[1], **PHONE)
    for page in (booth, phone):
        page.context.add_init_script(WATCH)
    call = Call(booth, phone, booked)
    sign_in(booth, product, "smith")
    meet(booth, phone, booked)
    yield call
    assert booth.errors + phone.errors == []


@pytest.fixture(autouse=True)
def open_again(far_end: paths.FarEnd) -> Iterator[None]:
    yield
    far_end.open_up()


def notice(phone: Page, words: str) -> None:
    expect(phone.locator("[data-call-notice]")).to_contain_text(words)


@pytest.mark.parametrize("part", [0.03, 0.1])
def test_while_packets_are_lost_both_ways_picture_and_sound_go_on(call, far_end, part):
    far_end.lose(part)
    with pages_kept(call.booth, call.phone):
        for page in (call.phone, call.booth):
            before = call.counts(page)

            def goes_on(page=page, before=before) -> bool:
                now = call.counts(page)
                return (
                    now["lost"] > before["lost"]
                    and now["frames"] > before["frames"] + 20
                    and now["sound"] > before["sound"]
                )

            until(goes_on, "losses, and pictures and sound all the same")
        both_see_and_hear(call.booth, call.phone)


def test_a_thin_downlink_is_given_less_then_only_sound_and_climbs_back_when_it_is_wide_again(call, far_end):
    with pages_kept(call.booth, call.phone):
        far_end.narrow_down(300)
        call.rungs.clear()
        until(lambda: call.rung() != "full", "a lower rung")
        signal = call.phone.locator("[data-signal]")
        expect(signal).to_be_visible()
        expect(signal).not_to_contain_text("good")
        both_see_and_hear(call.booth, call.phone)

        def hardly_sends() -> bool:
            before = call.counts(call.phone)["sent"]
            call.phone.wait_for_timeout(1000)
            return 8 * (call.counts(call.phone)["sent"] - before) < HARDLY_BITS

        far_end.narrow_down(60)
        far_end.lose(0.1)
        until(lambda: call.rung() in {"sound_only", "ring"}, "sound only", 60)
        until(hardly_sends, "the phone to leave what it has to its sound, told by web or by the relay", 60)
        hears(call.booth, "#remotes video")
        hears(call.phone, "[data-remote]")
        far_end.open_up()
        until(lambda: call.rung() in {"smaller", "full"}, "pictures again", 180)
        both_see_and_hear(call.booth, call.phone)


def test_a_path_that_is_cut_is_noticed_and_said_on_both_sides_and_the_call_comes_back_when_it_is_whole(call, far_end):
    with pages_kept(call.booth, call.phone):
        far_end.cut()
        notice(call.phone, "We lost the connection")
        headline(call.booth, "Jo Bloggs lost the connection")
        far_end.open_up()
        both_see_and_hear(call.booth, call.phone)
        headline(call.booth, "Connected with Jo Bloggs")


def test_another_network_with_another_address_takes_the_call_over_when_the_first_is_dead(call, far_end):
    with pages_kept(call.booth, call.phone):
        far_end.cut()
        notice(call.phone, "We lost the connection")
        far_end.move()
        both_see_and_hear(call.booth, call.phone)
        headline(call.booth, "Connected with Jo Bloggs")
        until(lambda: call.counts(call.phone)["from"] == paths.THERE_TOO, "the other address")
