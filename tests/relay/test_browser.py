"""Real Chromium through a real relay process: both decode, late joiners decode, a killed relay is survived."""

from pathlib import Path

import pytest
from playwright.async_api import async_playwright

from tests.relay.harness import PATIENCE_SECONDS, PageServer, RelayProcess, connect, until
from video_server.relay.compiled import FORWARDERS

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--allow-loopback-in-peer-connection",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-background-networking",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    "--no-first-run",
]
PATIENCE_MS = 1000 * PATIENCE_SECONDS
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium")


async def open_chromium(playwright, program=CHROMIUM, flags=FLAGS):
    return await playwright.chromium.launch(executable_path=str(program), args=flags, timeout=PATIENCE_MS)


async def open_page(browser):
    page = await browser.new_page()
    page.set_default_timeout(PATIENCE_MS)
    return page


class Stage:
    """A relay, a page server and one page for each participant."""

    def __init__(self, folder, browser):
        self.folder, self.browser = folder, browser
        self.server = PageServer()
        self.events = []
        self.pages = {}

    async def start_relay(self, **how):
        self.relay = RelayProcess(self.folder, **how)
        self.server.client = await connect(self.relay.control, self.events)

    async def join(self, name, **wishes):
        if name not in self.pages:
            self.pages[name] = await open_page(self.browser)
            await self.pages[name].goto(self.server.url)
        await self.pages[name].evaluate("wishes => join(wishes)", {"room": "r", "participant": name, **wishes})

    def seated(self, name):
        """Return the slot of each whom `name` was told of last."""
        told = [e for e in self.events if e.name == "slots" and e.participant == name]
        return {slot["participant"]: slot["slot"] for slot in told[-1].data["slots"]} if told else {}

    async def figures(self, name):
        return await self.pages[name].evaluate("() => figures()")

    async def decodes(self, name, slot, *, more=5):
        """Wait until `more` further pictures are decoded in this slot and sound is played out of it."""
        before = (await self.figures(name))["slots"][slot]

        async def look():
            now = (await self.figures(name))["slots"][slot]
            return now["frames"] >= before["frames"] + more and now["energy"] > before["energy"]

        await until(look, f"{name} decodes slot {slot}")


@pytest.fixture
async def stage(tmp_path, request):
    async with async_playwright() as playwright:
        browser = await open_chromium(playwright)
        stage = Stage(tmp_path, browser)
        await stage.server.start()
        await stage.start_relay(**getattr(request, "param", {}))
        yield stage
        await browser.close()
        await stage.server.client.close()
        await stage.server.stop()
        stage.relay.close()


@pytest.mark.parametrize("stage", [{"forwarder": name} for name in FORWARDERS], indirect=True, ids=FORWARDERS)
@pytest.mark.usefixtures("built")
async def test_two_see_and_hear_each_other_and_a_late_joiner_both(stage):
    await stage.join("a")
    await stage.join("b")
    await stage.decodes("a", 0)
    await stage.decodes("b", 0)
    await stage.join("late")
    await stage.decodes("late", 0)
    await stage.decodes("late", 1)
    await stage.decodes("a", 1)
    await until(lambda: set(stage.seated("late")) == {"a", "b"}, "the late one is told who sits where")
    status = await stage.server.client.status()
    assert status["counters"]["twcc_sent"] > 0
    assert not set(status["counters"]["dropped"]) & {
        "rtp_malformed",
        "rtcp_malformed",
        "not_encrypted",
        "not_authentic",
    }


@pytest.mark.parametrize("stage", [{"addresses": ("::1",)}], indirect=True, ids=["IPv6"])
async def test_two_meet_over_ipv6_alone(stage):
    await stage.join("a")
    await stage.join("b")
    await stage.decodes("a", 0)
    await stage.decodes("b", 0)


async def test_who_waits_sees_nothing_until_admitted(stage):
    await stage.join("a")
    await stage.join("b")
    await stage.join("w", admitted=False)
    await until(lambda: [e for e in stage.events if e.name == "media" and e.participant == "w"], "w sends")
    await stage.decodes("a", 0)
    waiting = await stage.figures("w")
    assert [slot["videoPackets"] + slot["audioPackets"] for slot in waiting["slots"]] == [0] * 4
    await stage.server.client.admit(room="r", epoch=1, participant="w", admitted=True)
    await stage.decodes("w", 0)
    await stage.decodes("w", 1)
    await stage.decodes("a", 1)


async def test_who_sends_h264_and_who_sends_vp8_see_each_other(stage):
    await stage.join("a")
    assert await stage.pages["a"].evaluate("canSend('video/H264')"), "Debian's chromium has an encoder for it"
    await stage.join("h", camera="video/H264")
    await stage.join("b")
    for name in "ahb":
        await stage.decodes(name, 0)
        await stage.decodes(name, 1)
    codecs = {name: (await stage.figures(name))["sent"]["video"]["codec"] for name in "ahb"}
    assert codecs == {"a": "video/VP8", "h": "video/H264", "b": "video/VP8"}


async def test_an_echo_shows_oneself(stage):
    await stage.join("e", admitted=False, echo=True)
    await stage.decodes("e", 0)


async def test_an_ice_restart_keeps_the_call(stage):
    await stage.join("a")
    await stage.join("b")
    await stage.decodes("a", 0)
    credentials = "pc.getStats().then(r => [...r.values()].find(s => s.type == 'transport').iceLocalUsernameFragment)"
    before = await stage.pages["a"].evaluate(credentials)
    await stage.pages["a"].evaluate("restartIce()")

    async def restarted():
        return (
            await stage.pages["a"].evaluate(credentials) != before
            and (await stage.figures("a"))["state"] == "connected"
        )

    await until(restarted, "the new generation is connected")
    await stage.decodes("a", 0)
    await stage.decodes("b", 0)
    assert (await stage.server.client.status())["connected"] == 2


async def test_a_killed_relay_is_replaced_and_the_call_comes_back(stage):
    await stage.join("a")
    await stage.join("b")
    await stage.decodes("a", 0)
    first = stage.server.client.instance
    stage.relay.kill()
    stage.relay.close()
    await stage.server.client.close()
    await stage.start_relay()
    assert stage.server.client.instance != first
    for name in "ab":
        await stage.join(name, epoch=2)
    await stage.decodes("a", 0)
    await stage.decodes("b", 0)


async def test_joining_again_is_seen_in_the_same_slot(stage):
    for name in "abc":
        await stage.join(name)
    await stage.decodes("a", 0)
    where = await until(lambda: len(stage.seated("a")) == 2 and stage.seated("a"), "two sit in slots")
    await stage.join("b")
    await stage.decodes("a", where["b"], more=10)
    await until(lambda: stage.seated("a") == where, "all sit where they sat")
