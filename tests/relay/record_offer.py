"""Record an installed browser's offer: python -m tests.relay.record_offer chromium > tests/relay/offer_chromium.sdp

The browsers: chromium, firefox.
"""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.firefox import Firefox

PAGE = (Path(__file__).parent / "call.html").as_uri()
MAKE_OFFER = """async () => {
    const pc = new RTCPeerConnection({bundlePolicy: "max-bundle"});
    const stream = await navigator.mediaDevices.getUserMedia({audio: true, video: true});
    pc.addTransceiver(stream.getAudioTracks()[0], {direction: "sendonly"});
    pc.addTransceiver(stream.getVideoTracks()[0], {direction: "sendonly"});
    pc.addTransceiver("video", {direction: "sendonly"});
    for (let slot = 0; slot < 4; slot++) {
        pc.addTransceiver("audio", {direction: "recvonly"});
        pc.addTransceiver("video", {direction: "recvonly"});
    }
    return (await pc.createOffer()).sdp;
}"""


def record_chromium() -> str:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"],
        )
        page = browser.new_page()
        page.goto(PAGE)
        offer = page.evaluate(MAKE_OFFER)
        browser.close()
        return str(offer)


def record_firefox() -> str:
    with tempfile.TemporaryDirectory() as folder:
        browser = Firefox(Path(folder))
        try:
            browser.goto(PAGE)
            return str(browser.evaluate(MAKE_OFFER))
        finally:
            browser.close()


if __name__ == "__main__":
    record = {"chromium": record_chromium, "firefox": record_firefox}[sys.argv[1]]
    sys.stdout.write(record())
