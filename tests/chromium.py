"""One Chromium for all page tests of a module, on one application each: every test opens contexts of its own in it.

The browser outlives a test, so its tests share an event loop: such a module says `pytestmark = IN_A_BROWSER`.
"""

from asyncio import timeout
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from tests.conftest import HeldClock
from video_server.app import make_app
from video_server.config import Settings
from video_server.core.database import Database
from video_server.core.keys import KeyRing

IN_A_BROWSER = pytest.mark.asyncio(loop_scope="module")

PATIENCE_MS = 90_000  # machines differ
expect.set_options(timeout=PATIENCE_MS)
CLOSING_SECONDS = 30.0

OpenContext = Callable[..., Awaitable[BrowserContext]]

AXE = Path(__file__).parents[1] / "node_modules/axe-core/axe.min.js"
AXE_RUN = """() => axe
  .run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]})
  .then((found) => found.violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html).join(" | ")}`))"""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def chromium() -> AsyncIterator[Browser]:
    """A real browser whose camera and microphone are Chromium's own moving picture and beep."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"],
        )
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def served(
    database: Database, settings: Settings, key_ring: KeyRing, clock: HeldClock
) -> AsyncIterator[TestServer]:
    """The application, its clock held by the test."""
    server = TestServer(make_app(settings, key_ring, clock=clock))
    await server.start_server()
    yield server
    await server.close()


@pytest_asyncio.fixture(loop_scope="module")
async def open_context(served: TestServer, chromium: Browser) -> AsyncIterator[OpenContext]:
    """Open a browser as empty as a new one, looking at the application: await open_context(viewport=…)."""

    opened: list[BrowserContext] = []

    async def open_one(**how: object) -> BrowserContext:
        opened.append(await chromium.new_context(base_url=str(served.make_url("/")), locale="en-GB", **how))
        opened[-1].set_default_timeout(PATIENCE_MS)
        return opened[-1]

    yield open_one
    for context in opened:
        await close(context)  # what does not close goes with the browser, for whose end Playwright waits half a minute


async def close(opened: BrowserContext | Page) -> None:
    """Close it, and wait for that in bounded time: Chromium now and then never says that it did."""
    with suppress(TimeoutError):
        async with timeout(CLOSING_SECONDS):
            await opened.close()


async def find_faults(page: Page) -> list[str]:
    """Return what axe finds wrong on a page, and whether it is wider than its screen; its policy must be bypassed."""
    await page.wait_for_load_state()  # what was waited for may stand on a page that is still coming
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE.read_text())
    found: list[str] = await page.evaluate(AXE_RUN)
    if await page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        found.append("wider than the screen")
    return found
