"""Record the offer of the installed Chromium: python -m tests.relay.record_offer > tests/relay/offer_chromium.sdp"""

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

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

if __name__ == "__main__":
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"],
        )
        page = browser.new_page()
        page.goto((Path(__file__).parent / "call.html").as_uri())
        sys.stdout.write(page.evaluate(MAKE_OFFER))
        browser.close()
