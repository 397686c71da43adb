"""A relay in a process of its own, and a page server that joins browsers to it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from aiohttp import web

from video_server.relay.client import Control, RelayClient, RelayEvent, RelayLost, RelayRefused

HERE = Path(__file__).parent
PROGRAM = """
import json, os, sys
from pathlib import Path
from video_server.relay.remote import Listening
from video_server.relay.server import RelaySettings, main
control = Path(sys.argv[1])
if "LISTENING" in os.environ:
    host, port, secret, folder = json.loads(os.environ["LISTENING"])
    control = Listening(host, port, secret, Path(folder))
how = {"parent_pipe": sys.argv[2] == "pipe", "forwarder": sys.argv[3], "drains": Path(sys.argv[1] + ".drains")}
main(RelaySettings(control=control, addresses=tuple(sys.argv[4:]), **how))
"""
PATIENCE_SECONDS = 120.0  # for what takes a second on an idle machine: failing late is better than failing wrongly


class RelayProcess:
    """A relay process on a socket in `folder`, or `listening` at (host, port, secret, folder of its certificate)."""

    def __init__(
        self, folder: Path, *, parent_pipe: bool = False, addresses: tuple[str, ...] = (), listening: tuple = (),
        forwarder: str = "python",
    ) -> None:  # fmt: skip
        self.control = folder / "relay.sock"
        self.log = (folder / f"relay-{time.monotonic_ns()}.log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(self.control), "pipe" if parent_pipe else "-", forwarder, *addresses],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env={
                **os.environ,
                "PYTHONPATH": str(HERE.parents[1]),
                **({"LISTENING": json.dumps(listening, default=str)} if listening else {}),
            },
        )

    def log_text(self) -> str:
        return Path(self.log.name).read_text()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)

    def close(self) -> None:
        if self.process.poll() is None:
            self.kill()
        for stream in (self.process.stdin, self.process.stdout, self.log):
            stream.close()


async def connect(control: Control, events: list[RelayEvent], lost: list[bool] | None = None) -> RelayClient:
    """Connect as soon as the relay listens."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await RelayClient.connect(
                control, on_event=events.append, on_lost=lambda: lost.append(True) if lost is not None else None
            )
        except RelayLost:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)


async def until(probe, what: str, *, seconds: float = PATIENCE_SECONDS):
    """Return the first truthy value of `probe` (plain or coroutine function)."""
    deadline = time.monotonic() + seconds
    while True:
        value = probe()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        assert time.monotonic() < deadline, f"never came true: {what}"
        await asyncio.sleep(0.05)


class PageServer:
    """Serves call.html and passes its joins on to whatever `client` is at the moment."""

    def __init__(self) -> None:
        self.client: RelayClient | None = None
        app = web.Application()
        app.router.add_get("/", self._page)
        app.router.add_static("/static", HERE.parents[1] / "static")
        app.router.add_post("/join", self._join)
        app.router.add_post("/restart", self._restart)
        self._runner = web.AppRunner(app, access_log=None)
        self.url = ""

    async def start(self, host: str = "127.0.0.1") -> None:
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, 0)
        await site.start()
        self.url = f"http://{host}:{self._runner.addresses[0][1]}/"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _page(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(HERE / "call.html")

    async def _join(self, request: web.Request) -> web.Response:
        return await self._pass(self.client.join, await request.json())

    async def _restart(self, request: web.Request) -> web.Response:
        body = await request.json()
        body.pop("admitted")
        body.pop("echo")
        return await self._pass(self.client.restart_ice, body)

    async def _pass(self, ask, body) -> web.Response:
        try:
            return web.json_response({"answer": await ask(**body)})
        except (RelayRefused, RelayLost) as problem:
            return web.Response(status=409, text=str(problem))
