"""The person in Firefox, the officer in Chromium: from the link to seeing and hearing each other."""

# ruff: noqa: F811 (fixtures)

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.fake_media import BLUE
from tests.firefox import FIREFOX, Firefox
from tests.product import until
from tests.test_journeys import (  # noqa: F401 (fixtures)
    admit,
    book_as_call_handler,
    booth,
    end,
    handler,
    headline,
    hears,
    launch,
    nothing_arrives,
    open_booth,
    playwright,
    product,
)

pytestmark = [
    pytest.mark.parametrize("product", ["sqlite"], indirect=True),
    pytest.mark.skipif(not FIREFOX.exists(), reason="needs Debian's firefox-esr"),
]

# Without a sound card Firefox keeps every AudioContext suspended and counts no frames; but a track that comes by the
# network is muted there until its first packet, and a video's time goes on only while pictures come.
PLAYED = """async (selector) => {
  const video = document.querySelector(selector);
  const [sound] = video?.srcObject?.getAudioTracks() ?? [];
  if (!video?.videoWidth || !sound || sound.muted) return null;
  const canvas = new OffscreenCanvas(8, 8);
  const pen = canvas.getContext("2d");
  pen.drawImage(video, 0, 0, 8, 8);
  return { corner: [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3), seconds: video.currentTime };
}"""


@pytest.fixture(scope="module")
def browsers(playwright, tmp_path_factory) -> Iterator[tuple[Browser]]:
    """The officer's browser (blue)."""
    officer = launch(playwright, tmp_path_factory.mktemp("media"), "officer", BLUE, 440)
    yield (officer,)
    officer.close()


@pytest.fixture
def firefox(tmp_path) -> Iterator[Firefox]:
    started = Firefox(tmp_path / "profile")
    yield started
    started.close()


def plays(
    firefox: Firefox, selector: str, *, after: float = 0.0, colour: tuple[int, int, int] | None = None
) -> dict[str, Any] | None:
    """Return how far a video of the page is; None until it is beyond `after` and its corner has the colour."""
    now = firefox.evaluate(PLAYED, selector)
    if not now or now["seconds"] <= after:
        return None
    is_it = colour is None or all(abs(one - wanted) < 60 for one, wanted in zip(now["corner"], colour, strict=True))
    return now if is_it else None


def test_the_whole_way_in_firefox(product, handler, booth, firefox):
    booked = book_as_call_handler(handler, product, "Jo Bloggs")
    open_booth(booth, booked)
    firefox.goto(booked.link)
    firefox.press("Continue", leads_to="/phone")
    firefox.press("Start", kind="a", leads_to="/phone/safe")
    for answer, next_page in (("Yes", "/phone/watched"), ("No", "/phone/word")):
        firefox.press(answer, kind="label")
        firefox.press("Continue", leads_to=next_page)
    firefox.press("I do not remember the words", kind="a", leads_to="/phone/call")
    firefox.press("Turn on camera and microphone")
    echo = until(lambda: plays(firefox, "[data-echo]"), "their own picture and sound, back from the relay")
    until(lambda: plays(firefox, "[data-echo]", after=echo["seconds"]), "more of it")
    firefox.press("I am ready")
    headline(booth, "Jo Bloggs is waiting to be let in")
    until(lambda: nothing_arrives(booth), "nothing of them in the booth before they are let in")
    admit(booth)

    seen = until(lambda: plays(firefox, "[data-remote]", colour=BLUE), "the officer")
    until(lambda: plays(firefox, "[data-remote]", colour=BLUE, after=seen["seconds"]), "more of the officer")
    hears(booth, "#remotes video")
    before = booth.evaluate("window.witness.framesDecoded()")
    until(lambda: booth.evaluate("window.witness.framesDecoded()") > before, "their picture in the booth")
    headline(booth, "Connected with Jo Bloggs")
    expect(booth.locator(".app-wait__device")).to_contain_text("Firefox")

    firefox.press("Mute")
    expect(booth.locator("#remotes")).to_contain_text("Jo Bloggs is muted.")
    end(booth, "Seen")
    until(lambda: booked.reference in firefox.evaluate("() => document.querySelector('main').innerText"), "the goodbye")
