"""The officer's camera and microphone in a real browser."""

from playwright.async_api import expect

from tests.booth.conftest import path_of
from tests.chromium import IN_A_BROWSER
from tests.evidence_support import until
from video_server.accounts.model import Role

pytestmark = IN_A_BROWSER


async def test_mute_camera_and_keys_work_and_a_reload_goes_back_on_camera(booth, add_staff, book, guest):
    appointment = await book(await add_staff("smith", Role.OFFICER))
    page = await booth("smith")
    await page.goto(path_of(appointment))
    await page.get_by_role("button", name="Go on camera").click()
    await page.get_by_role("button", name="Mute").click()
    await expect(page.locator("#own-notice")).to_contain_text("nobody hears you")
    await page.keyboard.press("Alt+KeyM")
    await expect(page.locator("#own-notice")).to_be_empty()
    await page.keyboard.press("Alt+KeyC")
    await expect(page.locator("#own-notice")).to_contain_text("nobody sees you")
    await page.keyboard.press("Alt+KeyN")
    await expect(page.get_by_label("Notes")).to_be_focused()
    await page.reload()
    await expect(page.get_by_role("button", name="Leave the call")).to_be_visible()
    await page.get_by_role("button", name="Leave the call").click()
    await expect(page.get_by_role("button", name="Go on camera")).to_be_focused()


async def test_a_picture_taken_back_while_it_is_put_on_its_line_is_not_sent(booth, add_staff):
    """A browser says only afterwards what a line carries: two wishes at once must not look at the line at once."""
    await add_staff("smith", Role.OFFICER)
    page = await booth("smith")
    sent = await page.evaluate(
        """async () => {
            const { Call } = await import("/static/now/js/media.js");
            const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
            const call = new Call({ socket: new EventTarget(), stream });
            const line = new RTCPeerConnection();
            const [audio, video, screen] = ["audio", "video", "video"].map((kind) => line.addTransceiver(kind).sender);
            [call.connection, call.senders] = [line, { audio, video, screen }];
            await call.setWithoutPicture("wish", true);
            const sent = [video.track?.kind];
            await Promise.all([false, true].map((without) => call.setWithoutPicture("wish", without)));
            sent.push(video.track?.kind);
            await Promise.all([true, false].map((without) => call.setWithoutPicture("wish", without)));
            return [...sent, video.track?.kind, audio.track?.kind];
        }"""
    )
    assert sent == [None, None, "video", "audio"]


async def test_a_picture_on_its_way_to_a_line_that_is_hung_up_keeps_nobody_waiting_and_is_no_problem(booth, add_staff):
    """Else a camera changed while the line came back would end the check, or keep "I am ready" waiting for good."""
    await add_staff("smith", Role.OFFICER)
    page = await booth("smith")
    came = await page.evaluate(
        """async () => {
            const { Call } = await import("/static/now/js/media.js");
            const call = new Call({ socket: new EventTarget(), stream: new MediaStream() });
            const line = new RTCPeerConnection();
            const [audio, video, screen] = ["audio", "video", "video"].map((kind) => line.addTransceiver(kind).sender);
            [call.connection, call.senders] = [line, { audio, video, screen }];
            let refuse = () => {};
            const asked = new Promise((resolve) => {
                video.replaceTrack = () => new Promise((_, reject) => resolve((refuse = reject)));
            });
            const picture = document.createElement("canvas").captureStream().getVideoTracks()[0];
            const put = call.showStill(picture).then(() => "over", (problem) => problem.name);
            await asked;
            call.close();
            refuse(new DOMException("", "InvalidStateError"));
            return [await put, await call.showStill(null).then(() => "over", (problem) => problem.name)];
        }"""
    )
    assert came == ["over", "over"]


async def test_a_call_that_was_left_tells_of_no_refusal_that_comes_later(booth, add_staff):
    """Else it would end the next call, which was begun meanwhile."""
    await add_staff("smith", Role.OFFICER)
    page = await booth("smith")
    told = await page.evaluate(
        """async () => {
            const { Call } = await import("/static/now/js/media.js");
            let refuse = () => {};
            const asked = new Promise((resolve) => {
                const request = () => new Promise((_, reject) => { refuse = reject; resolve(); });
                window.socket = Object.assign(new EventTarget(), { request });
            });
            const call = new Call({ socket: window.socket, stream: new MediaStream() });
            const told = [];
            call.addEventListener("failed", () => told.push("failed"));
            const started = call.start().catch(() => told.push("rejected"));
            await asked;
            call.close();
            refuse({ code: "cannot_join" });
            await started;
            return told;
        }"""
    )
    assert told == []


async def test_the_camera_is_offered_once_it_is_this_tabs_turn(booth, add_staff, book):
    """A press before that would be lost."""
    appointment = await book(await add_staff("smith", Role.OFFICER))
    page = await booth("smith")
    await page.add_init_script(
        """
        const request = LockManager.prototype.request;
        const come = new Promise((resolve) => (window.come = resolve));
        LockManager.prototype.request = async function (...given) {
            await come;
            return request.apply(this, given);
        };
        """
    )
    await page.goto(path_of(appointment))
    await expect(page.locator("#elsewhere")).to_be_visible()
    await expect(page.locator("#go")).to_have_js_property("hidden", True)  # not only beneath what is said of elsewhere
    await page.evaluate("come()")
    await page.get_by_role("button", name="Go on camera").click()
    await expect(page.get_by_role("button", name="Leave the call")).to_be_visible()


async def test_a_camera_that_opens_after_the_call_went_to_another_tab_is_closed_at_once(booth, add_staff, book):
    appointment = await book(await add_staff("smith", Role.OFFICER))
    page = await booth("smith")
    await page.add_init_script(
        """
        const media = navigator.mediaDevices, open = media.getUserMedia.bind(media);
        const released = new Promise((resolve) => (window.release = resolve));
        window.opened = [];
        media.getUserMedia = async (wish) => {
            const stream = await open(wish);
            window.opened.push(...stream.getTracks());
            await released;
            return stream;
        };
        """
    )
    await page.goto(path_of(appointment))
    await page.get_by_role("button", name="Go on camera").click()
    await until("the camera to be on its way", lambda: page.evaluate("opened.length >= 2"))
    other = await page.context.new_page()
    await other.goto(path_of(appointment))
    await other.get_by_role("button", name="Go on here").click()
    await expect(page.locator("#elsewhere")).to_be_visible()
    await page.evaluate("release()")
    ended = "opened.every((track) => track.readyState === 'ended')"
    await until("the camera to be off again", lambda: page.evaluate(ended))
