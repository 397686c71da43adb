"""A call that does not break: what phones, networks and processes do to it, done to two real browsers in one call.

Each test disturbs the call in one way, sees that both sides are told in words, and that it goes on with nobody's press.
"""

import re
from collections.abc import Iterator

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from tests.fake_media import BLUE, RED
from tests.product import Product, until
from tests.test_journeys import (
    DESKTOP,
    PHONE,
    Booked,
    book_as_call_handler,
    both_see_and_hear,
    end,
    frozen,
    headline,
    hears,
    launch,
    leave,
    meet,
    nothing_arrives,
    open_page,
    pages_kept,
    sees,
    sign_in,
)

FAULTS = """
(() => {
  const made = [];
  const Watched = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Watched {
    constructor(...given) { super(...given); made.push(this); }
    createOffer(how) {
      if (this.remoteDescription && !how?.iceRestart) faults.offers += 1;
      return super.createOffer(how);
    }
  };
  const media = navigator.mediaDevices;
  const [open, list] = [media.getUserMedia.bind(media), media.enumerateDevices.bind(media)];
  const faults = (window.faults = {
    tracks: [], asked: 0, wish: null, refuses: false, headset: false, twoCameras: false,
    offers: 0,  // that were neither the first of a connection nor a new path for one
    get connection() { return made.at(-1); },
    ufrag(one = made.at(-1)) { return /a=ice-ufrag:(\\S+)/.exec(one.localDescription.sdp)[1]; },
    track(kind) { return faults.tracks.filter((one) => one.kind === kind).at(-1); },
    hasStopped(kind) {
      const track = faults.track(kind);
      track.stop();
      track.dispatchEvent(new Event("ended")); // as when the system takes a device away
    },
  });
  media.getUserMedia = async (wish) => {
    faults.asked += 1;
    faults.wish = wish;
    if (faults.refuses) throw new DOMException("", "NotReadableError");
    const stream = await open(wish);
    faults.tracks.push(...stream.getTracks());
    return stream;
  };
  media.enumerateDevices = async () => {
    const plugged = { kind: "audioinput", deviceId: "h1", groupId: "h", label: "Car headset" };
    const behind = { kind: "videoinput", deviceId: "c2", groupId: "c", label: "Back camera" };
    return [...(await list()), ...(faults.headset ? [plugged] : []), ...(faults.twoCameras ? [behind] : [])];
  };
  // the browser's picker of screens cannot be pressed here: what it would hand out is a green canvas
  media.getDisplayMedia = async () => {
    const canvas = document.createElement("canvas");
    canvas.width = 640; canvas.height = 360;
    const pen = canvas.getContext("2d");
    let n = 0;
    setInterval(() => { pen.fillStyle = n++ % 2 ? "#00c800" : "#00d200"; pen.fillRect(0, 0, 640, 360); }, 200);
    return canvas.captureStream(5);
  };
})();
"""
GREEN = (0, 205, 0)


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    product = Product(tmp_path_factory.mktemp("faults") / "data").start()
    yield product
    product.stop()


@pytest.fixture(scope="module")
def browsers(playwright: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Browser, Browser]]:
    folder = tmp_path_factory.mktemp("media")
    officer, victim = launch(playwright, folder, "officer", BLUE, 440), launch(playwright, folder, "victim", RED, 880)
    yield officer, victim
    officer.close()
    victim.close()


class Call:
    """Two people in a call, for as long as the module runs."""

    def __init__(self, booth: Page, phone: Page, booked: Booked) -> None:
        self.booth = booth
        self.phone = phone
        self.booked = booked


@pytest.fixture(scope="module")
def call(product: Product, browsers: tuple[Browser, Browser]) -> Iterator[Call]:
    handler = open_page(browsers[0], **DESKTOP)
    sign_in(handler, product, "handler")
    booked = book_as_call_handler(handler, product, "Jo Bloggs")
    leave(handler)
    booth, phone = open_page(browsers[0], **DESKTOP), open_page(browsers[1], **PHONE)
    for page in (booth, phone):
        page.context.add_init_script(FAULTS)
    sign_in(booth, product, "smith")
    meet(booth, phone, booked)
    yield Call(booth, phone, booked)
    assert booth.errors + phone.errors == []


def loudness(page: Page, meter: str) -> float:
    return page.locator(meter).evaluate("meter => meter.value")


def press_more(phone: Page, name: str) -> None:
    """Press one of the buttons behind "More"."""
    phone.get_by_role("button", name="More").click()
    phone.get_by_role("button", name=name).click()


def shows(page: Page, selector: str, colour: tuple[int, int, int]) -> None:
    """Wait until a video shows this colour to its very edge, moving or not."""
    video = page.locator(selector)

    def has_it() -> bool:
        seen = video.evaluate("video => window.witness.picture(video)") if video.count() else None
        return bool(seen) and all(abs(one - wanted) < 60 for one, wanted in zip(seen["corner"], colour, strict=True))

    until(has_it, f"the colour {colour} in {selector}")


def notice(phone: Page, words: str) -> None:
    expect(phone.locator("[data-call-notice]")).to_contain_text(words)


def test_another_network_moves_the_connection_to_a_new_path_at_once(call):
    with pages_kept(call.booth, call.phone):
        before = call.phone.evaluate("[window.first = window.faults.connection, window.faults.ufrag()][1]")
        call.phone.evaluate("window.dispatchEvent(new Event('online'))")
        until(
            lambda: call.phone.evaluate("window.faults.ufrag(window.first)") != before,
            "new credentials for a new path of the same connection",
        )
        both_see_and_hear(call.booth, call.phone)


def test_a_telephone_call_that_takes_the_microphone_is_told_on_both_sides_and_ends_by_itself(call):
    call.phone.evaluate("window.faults.track('audio').dispatchEvent(new Event('mute'))")
    notice(call.phone, "A phone call or another app is using your microphone.")
    headline(call.booth, "Jo Bloggs cannot be heard")
    headline(call.booth, "a phone call or another app has the microphone")
    call.phone.evaluate("window.faults.track('audio').dispatchEvent(new Event('unmute'))")
    headline(call.booth, "Connected with Jo Bloggs")
    expect(call.phone.locator("[data-call-notice]")).not_to_contain_text("A phone call")


def test_a_camera_that_another_app_takes_is_told_on_both_sides_and_comes_back_by_itself(call):
    has_the_camera_off = re.compile("has the camera off")
    for page, own, words, other, tiles in (
        (call.phone, "[data-call-notice]", "Another app is using your camera.", call.booth, "#remotes"),
        (call.booth, "#own-notice", "Another program has taken your camera", call.phone, "[data-tiles]"),
    ):
        page.evaluate("window.faults.track('video').dispatchEvent(new Event('mute'))")
        expect(page.locator(own)).to_contain_text(words)
        expect(other.locator(tiles)).to_contain_text(has_the_camera_off)
        page.evaluate("window.faults.track('video').dispatchEvent(new Event('unmute'))")
        expect(page.locator(own)).not_to_contain_text(words)
        expect(other.locator(tiles)).not_to_contain_text(has_the_camera_off)


def test_the_back_camera_is_sent_and_shown_as_it_is_and_the_front_one_as_in_a_mirror(call):
    call.phone.evaluate("window.faults.twoCameras = true")
    own = call.phone.locator("[data-own]")
    for side, mirrored in (("back", False), ("front", True)):
        before = call.phone.evaluate("window.faults.track('video').id")
        press_more(call.phone, f"Use the {side} camera")
        until(lambda before=before: call.phone.evaluate("window.faults.track('video').id") != before, "another camera")
        expect(own).to_have_class(re.compile("app-mirrored$" if mirrored else r"^(?!.*app-mirrored)"))
        assert call.phone.evaluate("window.faults.wish.video.facingMode") == ("user" if mirrored else "environment")
        both_see_and_hear(call.booth, call.phone)
    expect(call.booth.locator("#own")).to_have_css("transform", re.compile(r"^matrix\(-1"))
    call.phone.evaluate("window.faults.twoCameras = false")


def test_the_loudspeaker_is_chosen_and_the_picture_stands_in_a_small_window(call):
    call.phone.get_by_role("button", name="More").click()
    speakers = call.phone.get_by_label("Sound comes from")
    chosen = speakers.locator("option").last.get_attribute("value")
    speakers.select_option(chosen)
    until(lambda: call.phone.locator("[data-remote]").evaluate("video => video.sinkId") == chosen, "that loudspeaker")
    hears(call.phone, "[data-remote]")
    call.phone.get_by_role("button", name="Picture in a small window").click()
    floating = "document.pictureInPictureElement?.matches('.app-tile--large video') ?? false"
    until(lambda: call.phone.evaluate(floating), "the small window")
    press_more(call.phone, "Picture in a small window")
    until(lambda: not call.phone.evaluate(floating), "its end")


@pytest.mark.parametrize("kind", ["video", "audio"])
def test_a_device_that_stops_is_opened_again_without_a_press(call, kind):
    with pages_kept(call.booth, call.phone):
        call.phone.evaluate("kind => window.faults.hasStopped(kind)", kind)
        until(
            lambda: call.phone.evaluate("kind => window.faults.track(kind).readyState", kind) == "live", "a new track"
        )
        both_see_and_hear(call.booth, call.phone)
        headline(call.booth, "Connected with Jo Bloggs")


def test_a_device_that_cannot_be_opened_again_is_told_and_comes_back_by_a_press(call):
    call.phone.evaluate("window.faults.refuses = true; window.faults.hasStopped('audio')")
    notice(call.phone, "Your camera or microphone has stopped.")
    headline(call.booth, "their microphone has stopped")
    call.phone.evaluate("window.faults.refuses = false")
    call.phone.get_by_role("button", name="Turn on again").click()
    both_see_and_hear(call.booth, call.phone)
    headline(call.booth, "Connected with Jo Bloggs")


def test_a_headset_that_comes_and_goes_is_said_and_the_sound_goes_on(call):
    for plugged, words in (("true", "Car headset is connected."), ("false", "Car headset is gone.")):
        call.phone.evaluate(
            f"window.faults.headset = {plugged}; navigator.mediaDevices.dispatchEvent(new Event('devicechange'))"
        )
        notice(call.phone, words)
    hears(call.booth, "#remotes video")


def test_each_side_is_told_what_the_other_sends(call):
    until(lambda: loudness(call.phone, "[data-own-level]") > 0.05, "the person's loudness")
    until(lambda: loudness(call.booth, "#own-level") > 0.05, "the officer's loudness")
    call.phone.get_by_role("button", name="Mute").click()
    expect(call.booth.locator("#remotes")).to_contain_text("Jo Bloggs is muted.")
    notice(call.phone, "You are muted.")
    until(lambda: loudness(call.phone, "[data-own-level]") == 0, "silence in the person's own bar")
    call.phone.get_by_role("button", name="Unmute").click()
    expect(call.booth.locator("#remotes")).not_to_contain_text("muted")

    call.booth.get_by_role("button", name="Camera off").click()
    expect(call.phone.locator("[data-tiles]")).to_contain_text("has the camera off.")
    sees(call.phone, "[data-remote]", (43, 66, 87))  # a plain picture, and it goes on being sent
    call.booth.get_by_role("button", name="Camera on").click()
    sees(call.phone, "[data-remote]", BLUE)


def test_sound_only_stops_pictures_both_ways_and_comes_back(call):
    call.phone.get_by_role("button", name="More").click()
    call.phone.get_by_role("button", name="Sound only").click()
    notice(call.phone, "Sound only: you see nobody and nobody sees you.")
    expect(call.booth.locator("#remotes")).to_contain_text("Jo Bloggs has sound only.")
    until(lambda: nothing_arrives(call.phone), "the end of the pictures on the phone")
    until(lambda: nothing_arrives(call.booth), "the end of the pictures in the booth")
    hears(call.booth, "#remotes video")
    hears(call.phone, "[data-remote]")
    call.phone.get_by_role("button", name="More").click()
    call.phone.get_by_role("button", name="Pictures on again").click()
    both_see_and_hear(call.booth, call.phone)


def test_a_screen_is_shown_large_beside_the_face_and_goes_when_it_ends(call, tmp_path):
    with call.phone.expect_file_chooser() as chosen:
        press_more(call.phone, "Show photos")
    call.booth.get_by_role("button", name="Show a screen").click()
    sees(call.phone, ".app-tile--screen video", GREEN)
    expect(call.phone.locator(".app-tile--screen")).to_have_class(re.compile("app-tile--large"))
    sees(call.phone, ".app-tile:not(.app-tile--large) video", BLUE)
    Image.new("RGB", (400, 300), (200, 120, 0)).save(tmp_path / "late.png")
    chosen.value.set_files(tmp_path / "late.png")  # chosen while nobody else showed anything
    notice(call.phone, "Somebody else is showing something.")
    expect(call.phone.get_by_role("group", name="Photos that you show")).to_be_hidden()
    sees(call.phone, ".app-tile--screen video", GREEN)
    call.booth.get_by_role("button", name="Stop showing the screen").click()
    expect(call.phone.locator(".app-tile--screen")).to_have_count(0)
    sees(call.phone, ".app-tile--large video", BLUE)
    assert call.booth.evaluate("window.faults.offers") == 0, "nothing was negotiated anew"


def test_photos_of_the_phone_are_shown_one_at_a_time_upright_and_go_when_they_end(call, tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6  # held upright: the camera notes that the picture lies on its side
    Image.new("RGB", (400, 300), (200, 120, 0)).save(tmp_path / "1.png")
    Image.new("RGB", (300, 400), (0, 140, 140)).save(tmp_path / "2.jpg", exif=turned)
    (tmp_path / "3.jpg").write_bytes(b"no picture")
    with call.phone.expect_file_chooser() as chosen:
        press_more(call.phone, "Show photos")
    chosen.value.set_files([tmp_path / name for name in ("1.png", "2.jpg", "3.jpg")])
    album = call.phone.get_by_role("group", name="Photos that you show")
    shows(call.booth, ".app-tile--screen video", (200, 120, 0))
    expect(call.booth.locator(".app-tile--screen")).to_have_class(re.compile("app-tile--large"))
    expect(album).to_contain_text("Photo 1 of 3. It is shown now, and not kept.")
    call.booth.get_by_role("button", name="Show a screen").click()
    expect(call.booth.locator("#own-notice")).to_contain_text("Somebody else shows something now.")
    notice(call.phone, "PC Smith sees what you show.")
    album.get_by_role("button", name="Next").click()
    shows(call.booth, ".app-tile--screen video", (0, 140, 140))
    album.get_by_role("button", name="Next").click()
    expect(album).to_contain_text("This photo cannot be shown.")
    shows(call.booth, ".app-tile--screen video", (11, 12, 12))
    album.get_by_role("button", name="Previous").click()
    shows(call.booth, ".app-tile--screen video", (0, 140, 140))
    album.get_by_role("button", name="Stop showing").click()
    expect(album).to_be_hidden()
    expect(call.booth.locator(".app-tile--screen")).to_have_count(0)
    both_see_and_hear(call.booth, call.phone)
    assert call.phone.evaluate("window.faults.offers") == 0, "nothing was negotiated anew"


def test_relay_and_web_killed_together_bring_back_the_same_room_without_a_press(product, call):
    with pages_kept(call.booth, call.phone):
        product.kill_together("relay", "web")
        both_see_and_hear(call.booth, call.phone)
        headline(call.booth, "Connected with Jo Bloggs")


def test_an_officer_sees_before_a_call_what_the_others_will_see(call):
    call.booth.get_by_role("button", name="Leave the call").click()
    call.booth.locator("#check summary").click()
    call.booth.get_by_role("button", name="Test the way to the server and back").click()
    sees(call.booth, "#echo", BLUE)
    expect(call.booth.locator("#echo-said")).to_contain_text("This is what the others will see.")
    until(lambda: nothing_arrives(call.phone), "nothing of it on the phone")
    call.booth.get_by_role("button", name="Go on camera").click()
    expect(call.booth.locator("#echo")).to_be_hidden()
    both_see_and_hear(call.booth, call.phone)


def test_a_locked_screen_is_a_gap_with_its_reason_in_the_record(call, browsers):
    with frozen(browsers[1]):
        headline(call.booth, "Jo Bloggs lost the connection")
        expect(call.booth.locator("#headline-more")).to_contain_text(re.compile(r"\b([4-9]|\d\d) s ago"))
    headline(call.booth, "Connected with Jo Bloggs")
    expect(call.booth.locator(".app-wait__gap")).to_contain_text("screen was locked")


IS_ON_TOP = """one => {
  const { x, y, width, height } = one.getBoundingClientRect();
  return one.contains(document.elementFromPoint(x + width / 2, y + height / 2));
}"""


def test_the_link_is_shown_in_words_and_kept_with_the_appointment(product, call):
    signal = call.phone.locator("[data-signal]")
    expect(signal).to_contain_text("Connection:")
    # They stand there only while figures are fresh: not in the first moment after the locked screen.
    until(lambda: signal.evaluate(IS_ON_TOP), "the bars, with nothing over them")
    expect(call.booth.locator(".app-wait__signal")).to_contain_text("Connection")
    call.booth.locator("#graph-part summary").click()
    expect(call.booth.get_by_role("img", name=re.compile(r"Sends [\d.]+ Mbit"))).to_be_visible()
    for figures in (
        r"You.*Gets\s*\w.*Sends\s*[\d.]+ Mbit/s, [\d.]+ % lost, jitter \d+ ms",
        r"Jo Bloggs.*There and back\s*\d+ ms.*Their picture here\s*\d+ × \d+, freezes: \d+",
        r"Jo Bloggs.*Their sound here\s*[\d.]+ % made up",
    ):
        expect(call.booth.locator("#figures")).to_have_text(re.compile(figures, re.DOTALL))
    for event in ("mute", "unmute"):
        call.phone.evaluate("name => window.faults.track('audio').dispatchEvent(new Event(name))", event)
        expect(call.booth.locator(".app-wait__gap")).to_contain_text("has the microphone")
    end(call.booth, "Seen")
    expect(call.booth.locator("main")).to_contain_text("A phone call or another app had the microphone")

    def shows_the_figures() -> bool:  # each seat writes its last figures down when the call's end reaches it
        call.booth.reload()
        return "There and back" in call.booth.locator("main").inner_text()

    until(shows_the_figures, "the figures of the call")
    for figure in (
        r'call_packet_loss_ratio_count\{direction="up"\} [1-9]',
        r'call_rung_seconds_total\{rung="full"\} [1-9]',
    ):
        until(lambda figure=figure: re.search(f"^{figure}", product.read("/metrics"), re.MULTILINE), figure)
