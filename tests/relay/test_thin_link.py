"""Real Chromium behind a real thin link: the picture goes, the sound stays audible both ways, and it climbs back."""

import asyncio

import pytest
from playwright.async_api import async_playwright

from tests.relay import paths
from tests.relay.harness import PageServer, RelayProcess, connect, until
from tests.relay.test_browser import CHROMIUM, FLAGS, open_chromium, open_page

WHY_NOT = None if CHROMIUM.exists() else "needs Debian's chromium"
WHY_NOT = WHY_NOT or paths.why_not()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or "")
LISTEN_SECONDS = 10


async def test_at_sixty_kilobits_and_a_tenth_lost_both_still_hear_each_other_and_the_link_climbs_back(tmp_path):
    far_end = paths.FarEnd(tmp_path)
    relay, server, events = RelayProcess(tmp_path), PageServer(), []
    server.client = await connect(relay.control, events)
    await server.start(paths.HERE)
    flags = [*FLAGS, f"--unsafely-treat-insecure-origin-as-secure={server.url}"]
    try:
        async with async_playwright() as playwright:
            pages = {}
            for name, program in (("near", CHROMIUM), ("far", far_end.wrapper)):
                browser = await open_chromium(playwright, program, flags)
                pages[name] = await open_page(browser)
                await pages[name].goto(server.url)
                await pages[name].evaluate("wishes => join(wishes)", {"room": "r", "participant": name})

            async def sound(name):
                return (await pages[name].evaluate("() => figures()"))["slots"][0]

            async def both_see():
                return min([(await sound(name))["frames"] for name in pages]) > 5

            def rung():
                told = [e.data["rung"] for e in events if e.name == "rung" and e.participant == "far"]
                return told[-1] if told else "full"

            await until(both_see, "both see each other")
            far_end.shape(60, loss=0.1)
            await until(lambda: rung() == "sound_only", "the picture goes, both ways")
            await asyncio.sleep(3)  # what was under way is through

            async def both_hear():
                """Listen for a while; where the machine stood still meanwhile, there was nothing to hear."""
                before, well = {name: await sound(name) for name in pages}, []
                await asyncio.sleep(LISTEN_SECONDS)
                for name in pages:
                    now = await sound(name)
                    energy, played, concealed = (
                        now[figure] - before[name][figure] for figure in ("energy", "samples", "concealed")
                    )
                    print(f"{name}: energy {energy}, {concealed} of {played} samples were made up; {rung()}")
                    well.append(energy > 0 and concealed < 0.4 * played)
                return all(well) and rung() not in {"smaller", "full"}

            await until(both_hear, "both hear each other, without a picture")
            far_end.open_up()
            await until(lambda: rung() in {"smaller", "full"}, "it climbs", seconds=300)  # failed attempts double waits
            for page in pages.values():
                await page.context.browser.close()
    finally:
        await server.client.close()
        await server.stop()
        relay.close()
        far_end.close()
