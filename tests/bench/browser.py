"""What people at real browsers wait for, with Debian's chromium: python -m tests.bench.browser prints figure to values.

Joining, ramp and ICE restart by the relay's own test page; the killed relay by the whole product, pages and all.
"""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from playwright.async_api import async_playwright
from playwright.sync_api import Page, sync_playwright

from tests import test_journeys as journey
from tests.bench.figures import MissingTool
from tests.product import Product, until
from tests.relay import test_browser as relay_pages
from tests.relay.harness import PageServer

TIMES = 1 if os.environ.get("QUICK") else 3
RAMP_BITS = 1_500_000
PATIENCE_SECONDS = 30.0
_CANDIDATE = re.compile(r"(a=candidate:\S+ 1 udp \d+ \S+) (\d+)", re.IGNORECASE)

FIRST_FRAME = "slots => new Promise((done) => { const look = () => { const seen = slots.map((n) => marks['frame' + n]);"
FIRST_FRAME += " seen.every(Boolean) ? done(Math.min(...seen) - marks.join) : setTimeout(look, 5); }; look(); })"

SEND_RATE = """bits => new Promise((done) => {
  const look = async () => {
    for (const stat of (await pc.getStats()).values()) {
      const sends = stat.type === "outbound-rtp" && stat.kind === "video";
      if (sends && stat.targetBitrate >= bits) return done(performance.now() - marks.join);
    }
    setTimeout(look, 5);
  };
  look();
})"""

RESTART = """async () => {
  const count = async () => (await figures()).slots[0].frames;
  for (let before = -1, now = await count(); now !== before;) {  // until the path is seen to be dead
    before = now;
    await new Promise((done) => setTimeout(done, 400));
    now = await count();
  }
  const before = await count(), began = performance.now();
  await restartIce();
  while (await count() === before) await new Promise((done) => setTimeout(done, 5));
  return performance.now() - began;
}"""


class Detour(asyncio.DatagramProtocol):
    """A way to the relay that can be cut: each sender has a socket of its own to it. Who spoke before `cut` is lost."""

    def __init__(self, relay: tuple[str, int]) -> None:
        self.relay = relay
        self._ways: dict[tuple[str, int], socket.socket | None] = {}

    async def open(self) -> int:
        """Listen; return the port."""
        loop = asyncio.get_running_loop()
        self._out, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("0.0.0.0", 0))
        return int(self._out.get_extra_info("sockname")[1])

    def datagram_received(self, data: bytes, sender: tuple[str, int]) -> None:
        """Pass on, back and forth."""
        if sender not in self._ways:
            way = self._ways[sender] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            way.setblocking(False)
            way.connect(self.relay)
            asyncio.get_running_loop().add_reader(way.fileno(), self._back, way, sender)
        way = self._ways[sender]
        if way is not None:
            way.send(data)

    def _back(self, way: socket.socket, sender: tuple[str, int]) -> None:
        data = way.recv(4096)
        if self._ways[sender] is way:
            self._out.sendto(data, sender)

    def cut(self) -> None:
        """Let nothing pass any more that comes from or goes to who spoke so far."""
        for sender, way in self._ways.items():
            if way is not None:
                asyncio.get_running_loop().remove_reader(way.fileno())
                way.close()
                self._ways[sender] = None

    def close(self) -> None:
        """End."""
        self.cut()
        self._out.close()


class DetouredPages(PageServer):
    """Tells browsers another port than the relay's."""

    detour_port = 0

    async def _pass(self, ask: Any, body: Any) -> Any:
        async def detoured(**words: Any) -> str:
            answer = await ask(**words)
            return _CANDIDATE.sub(rf"\1 {self.detour_port}", answer) if self.detour_port else answer

        return await super()._pass(detoured, body)


async def measure_pages() -> dict[str, list[float]]:
    """Return what the relay's test page sees."""
    found: dict[str, list[float]] = {name: [] for name in ("join_ms", "fifth_join_ms", "ramp_ms", "ice_restart_ms")}
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=str(relay_pages.CHROMIUM), args=relay_pages.FLAGS)
        with tempfile.TemporaryDirectory() as folder:
            stage = relay_pages.Stage(Path(folder), browser)
            stage.server = server = DetouredPages()
            await server.start()
            await stage.start_relay()
            port = (await server.client.status())["udp_port"]
            for number in range(TIMES):
                room = f"room{number}"
                for name in "abcde":
                    await _open(stage, name, wide=name in "ab")
                await stage.join("a", room=room)
                await stage.join("b", room=room)
                found["join_ms"].append(await _ask(stage, "b", FIRST_FRAME, [0]))
                with suppress(TimeoutError):  # a machine too slow to encode so much never sends it
                    found["ramp_ms"].append(await _ask(stage, "b", SEND_RATE, RAMP_BITS))
                for name in "cd":
                    await stage.join(name, room=room)
                    await _ask(stage, name, FIRST_FRAME, [0, 1])
                await stage.join("e", room=room)
                found["fifth_join_ms"].append(await _ask(stage, "e", FIRST_FRAME, [0, 1, 2, 3]))
                await _close(stage)
            for number in range(TIMES):
                detour = Detour(("127.0.0.1", port))
                server.detour_port = await detour.open()
                for name in "ab":
                    await _open(stage, name, wide=False)
                    await stage.join(name, room=f"detour{number}")
                await stage.decodes("a", 0)
                detour.cut()
                restarted = asyncio.gather(*(_ask(stage, name, RESTART) for name in "ab"))
                found["ice_restart_ms"].append(max(await restarted))
                await _close(stage)
                detour.close()
                server.detour_port = 0
            await browser.close()
            await server.client.close()
            await server.stop()
            stage.relay.close()
    return found


async def _ask(stage: Any, name: str, script: str, argument: Any = None) -> float:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return float(await stage.pages[name].evaluate(script, argument))


async def _open(stage: Any, name: str, *, wide: bool) -> None:
    page = stage.pages[name] = await stage.browser.new_page()
    await page.goto(stage.server.url)
    if wide:
        await page.evaluate(
            "navigator.mediaDevices.getUserMedia({audio: true, video: {width: 1280, height: 720}})"
            ".then((stream) => { window.stream = stream; })"
        )


async def _close(stage: Any) -> None:
    for page in stage.pages.values():
        await page.close()
    stage.pages.clear()


@contextmanager
def in_call(folder: Path) -> Iterator[tuple[Product, Page, Page]]:
    """Start the product and bring an officer and a victim into a call."""
    product = Product(folder / "data").start()
    with sync_playwright() as playwright:
        browsers = [
            journey.launch(playwright, folder, "officer", journey.BLUE, 440),
            journey.launch(playwright, folder, "victim", journey.RED, 880),
        ]
        handler = journey.open_page(browsers[0], **journey.DESKTOP)
        journey.sign_in(handler, product, "handler")
        booked = journey.book_as_call_handler(handler, product, "Jo Bloggs")
        booth, phone = (
            journey.open_page(browsers[0], **journey.DESKTOP),
            journey.open_page(browsers[1], **journey.PHONE),
        )
        journey.sign_in(booth, product, "smith")
        journey.meet(booth, phone, booked)
        yield product, booth, phone
        for browser in browsers:
            browser.close()
    product.stop()


def measure_kills() -> dict[str, list[float]]:
    """Return how long after `kill -9` of their relay both people decode the other again."""
    found: list[float] = []
    with tempfile.TemporaryDirectory() as folder, in_call(Path(folder)) as (product, booth, phone):
        for _ in range(TIMES):
            pages = (booth, phone)
            for page in pages:
                page.evaluate("window.again = window.witness.firstFrameOfNewConnection().then(() => Date.now()); 0")
            relay, others = find_carrier(product.children("relay"), product.data / "run")
            killed = time.time()
            os.kill(relay, signal.SIGKILL)
            found.append(max(page.evaluate("window.again") for page in pages) - 1000 * killed)
            until(
                lambda others=others, relay=relay: len(set(product.children("relay")) - {relay}) > others, "a new relay"
            )
            until(product.is_ready, "all parts to be ready again")
    return {"kill_recover_ms": found}


def find_carrier(processes: list[int], run: Path) -> tuple[int, int]:
    """Return the relay process that carries the call, and how many others there are.

    run   folder of the relays' control sockets
    """
    for process in processes:
        words = Path(f"/proc/{process}/cmdline").read_bytes().decode().split("\0")
        name = words[words.index("--name") + 1]
        if count_participants(run / f"relay-{name}.sock"):
            return process, len(processes) - 1
    raise RuntimeError("no relay carries the call")


def count_participants(control: Path) -> int:
    """Return how many people a relay has; none while it starts."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(control))
        except (FileNotFoundError, ConnectionRefusedError):
            return 0
        connection.sendall(b'{"id":1,"op":"status"}\n')
        with connection.makefile("rb") as lines:
            replies = (json.loads(line) for line in lines)
            return next(int(reply["result"]["participants"]) for reply in replies if reply.get("id") == 1)


def main() -> int:
    """Print one JSON object: figure to the values measured."""
    if not relay_pages.CHROMIUM.exists() or shutil.which("chromium") is None:
        print(MissingTool("Chromium", "chromium"), file=sys.stderr)
        return 2
    found = asyncio.run(measure_pages()) | measure_kills()
    medians = {name: round(statistics.median(values)) for name, values in found.items() if values}
    print(f"  chromium: {medians}", file=sys.stderr)
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
