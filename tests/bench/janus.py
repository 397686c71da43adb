"""Debian's Janus with its videoroom plugin, as it is used: each participant publishes over one connection and is sent
all others over a second one.
"""

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp

from tests.bench.callers import (
    AUDIO_SSRC,
    MID_ID,
    OPUS,
    SEND_TIME_ID,
    TRANSPORT_CC_ID,
    VIDEO_SSRC,
    VP8,
    VP8_RTX,
    Caller,
)
from tests.bench.figures import MissingTool
from tests.ports import find_free_port
from video_server.relay.sdp import ABS_SEND_TIME_URI, MID_URI, TRANSPORT_CC_URI

LIBRARIES = Path("/usr/lib/x86_64-linux-gnu/janus")
PATIENCE_SECONDS = 60.0

_CONFIGURATION = """
general: {{
    configs_folder = "{folder}"
    plugins_folder = "{libraries}/plugins"
    transports_folder = "{libraries}/transports"
    events_folder = "{libraries}/events"
    loggers_folder = "{libraries}/loggers"
    debug_level = 2
    {event_loops}
}}
nat: {{ ice_enforce_list = "{host}" }}
media: {{ ipv6 = false }}
plugins: {{ disable = "{other_plugins}" }}
transports: {{ disable = "{other_transports}" }}
"""
_WEBSOCKETS = """
general: {{ ws = true; ws_ip = "127.0.0.1"; ws_port = {port}; wss = false; json = "compact" }}
admin: {{ admin_ws = false; admin_wss = false }}
"""


def _others(kind: str, wanted: str) -> str:
    return ",".join(path.name for path in (LIBRARIES / kind).glob("*.so") if wanted not in path.name)


class JanusProcess:
    """A Janus of our own on one core, its control WebSocket on a free port."""

    name = "janus"

    def __init__(self, folder: Path, *, host: str, core: int, event_loops: int = 0) -> None:
        """Start. Raises MissingTool.

        event_loops   0: a thread for each connection, as Debian configures it
        """
        program = shutil.which("janus")
        if program is None or not LIBRARIES.exists():
            raise MissingTool("Janus", "janus")
        self.host = host
        self.port = find_free_port()
        loops = f"event_loops = {event_loops}" if event_loops else ""
        (folder / "janus.jcfg").write_text(
            _CONFIGURATION.format(
                folder=folder, libraries=LIBRARIES, host=host, event_loops=loops,
                other_plugins=_others("plugins", "videoroom"), other_transports=_others("transports", "websockets"),
            )
        )  # fmt: skip
        (folder / "janus.transport.websockets.jcfg").write_text(_WEBSOCKETS.format(port=self.port))
        (folder / "janus.plugin.videoroom.jcfg").write_text("general: {}\n")
        self._log = (folder / "janus.log").open("wb")
        self.process = subprocess.Popen(
            ["taskset", "-c", str(core), program, f"--config={folder}/janus.jcfg", f"--configs-folder={folder}"],
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
        )  # fmt: skip
        self.pid = self.process.pid
        self._http: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._session = 0

    async def start(self) -> None:
        """Connect to its control."""
        self._http = aiohttp.ClientSession()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self._socket is None:
                try:
                    url = f"ws://127.0.0.1:{self.port}/"
                    self._socket = await self._http.ws_connect(url, protocols=("janus-protocol",))
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._keep_alive())]
        self._session = (await self._ask({"janus": "create"}))["data"]["id"]

    async def _listen(self) -> None:
        assert self._socket is not None
        async for message in self._socket:
            value = message.json()
            future = self._waiting.get(value.get("transaction", ""))
            if future is not None and not future.done() and value["janus"] != "ack":
                future.set_result(value)

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(20)
            await self._ask({"janus": "keepalive"}, wait=False)

    async def _ask(self, request: dict[str, Any], *, wait: bool = True) -> dict[str, Any]:
        assert self._socket is not None
        transaction = secrets.token_hex(8)
        if self._session:
            request = {"session_id": self._session, **request}
        future = self._waiting[transaction] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"transaction": transaction, **request})
        if not wait:
            return {}
        async with asyncio.timeout(PATIENCE_SECONDS):
            answer = await future
        del self._waiting[transaction]
        if answer["janus"] == "error" or "error_code" in answer.get("plugindata", {}).get("data", {}):
            raise RuntimeError(f"Janus refused {request.get('body', request)}: {answer}")
        return answer

    async def _attach(self) -> int:
        answer = await self._ask({"janus": "attach", "plugin": "janus.plugin.videoroom"})
        return int(answer["data"]["id"])

    async def _say(self, handle: int, body: dict[str, Any], jsep: dict[str, str] | None = None) -> dict[str, Any]:
        request: dict[str, Any] = {"janus": "message", "handle_id": handle, "body": body}
        return await self._ask(request | ({"jsep": jsep} if jsep else {}))

    async def make_room(self, size: int) -> list[tuple[Caller, bool]]:
        """Let `size` people meet; return all connections, and whether each sends."""
        handle = await self._attach()
        created = await self._say(
            handle, {"request": "create", "publishers": size, "audiocodec": "opus", "videocodec": "vp8", "bitrate": 0}
        )
        room = created["plugindata"]["data"]["room"]
        publishers = [await self._publish(room) for _ in range(size)]
        feeds = [feed for _, feed in publishers]
        receivers = [await self._subscribe(room, [each for each in feeds if each != feed]) for feed in feeds]
        return [(caller, True) for caller, _ in publishers] + [(caller, False) for caller in receivers]

    async def _publish(self, room: int) -> tuple[Caller, int]:
        caller = Caller(self.host)
        handle = await self._attach()
        joined = await self._say(handle, {"request": "join", "ptype": "publisher", "room": room})
        answer = await self._say(handle, {"request": "publish"}, {"type": "offer", "sdp": _render_offer(caller)})
        await caller.connect(answer["jsep"]["sdp"], controlling=True)
        return caller, int(joined["plugindata"]["data"]["id"])

    async def _subscribe(self, room: int, feeds: Sequence[int]) -> Caller:
        caller = Caller(self.host)
        handle = await self._attach()
        offered = await self._say(
            handle,
            {"request": "join", "ptype": "subscriber", "room": room, "streams": [{"feed": feed} for feed in feeds]},
        )
        sdp = offered["jsep"]["sdp"]
        await self._say(handle, {"request": "start"}, {"type": "answer", "sdp": _render_answer(caller, sdp)})
        await caller.connect(sdp, controlling=False)
        return caller

    async def stop(self) -> None:
        """End it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._http is not None:
            await self._http.close()
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._log.close()


_HEAD = """v=0
o=- 1 1 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE {mids}
"""
_TRANSPORT = """c=IN IP4 {host}
a=rtcp-mux
a=ice-ufrag:{ufrag}
a=ice-pwd:{password}
a=fingerprint:sha-256 {fingerprint}
a=candidate:1 1 udp 2130706431 {host} {port} typ host
"""


def _transport(caller: Caller) -> str:
    return _TRANSPORT.format(
        host=caller.host, ufrag=caller.ufrag, password=caller.password, fingerprint=caller.fingerprint, port=caller.port
    )


def _render_offer(caller: Caller) -> str:
    """Return what a browser would offer to publish microphone and camera, reduced to what matters here."""
    extensions = (
        f"a=extmap:{SEND_TIME_ID} {ABS_SEND_TIME_URI}\na=extmap:{TRANSPORT_CC_ID} {TRANSPORT_CC_URI}\n"
        f"a=extmap:{MID_ID} {MID_URI}\n"
    )
    text = _HEAD.format(mids="0 1")
    text += f"m=audio 9 UDP/TLS/RTP/SAVPF {OPUS}\n" + _transport(caller) + "a=setup:actpass\na=mid:0\n" + extensions
    text += f"a=sendonly\na=rtpmap:{OPUS} opus/48000/2\na=ssrc:{AUDIO_SSRC} cname:a\n"
    text += f"m=video 9 UDP/TLS/RTP/SAVPF {VP8} {VP8_RTX}\n" + _transport(caller) + "a=setup:actpass\na=mid:1\n"
    text += extensions + f"a=sendonly\na=rtpmap:{VP8} VP8/90000\na=rtcp-fb:{VP8} nack\na=rtcp-fb:{VP8} nack pli\n"
    text += f"a=rtcp-fb:{VP8} transport-cc\na=rtcp-fb:{VP8} goog-remb\n"
    text += (
        f"a=rtpmap:{VP8_RTX} rtx/90000\na=fmtp:{VP8_RTX} apt={VP8}\na=ssrc-group:FID {VIDEO_SSRC} {VIDEO_SSRC + 1}\n"
    )
    text += f"a=ssrc:{VIDEO_SSRC} cname:a\na=ssrc:{VIDEO_SSRC + 1} cname:a\n"
    return text.replace("\n", "\r\n")


def _render_answer(caller: Caller, offer: str) -> str:
    """Return the answer that takes everything offered as it is offered."""
    kept = ("m=", "a=mid:", "a=rtpmap:", "a=fmtp:", "a=rtcp-fb:", "a=extmap:")
    lines = [line for line in offer.splitlines() if line.startswith(kept)]
    mids = " ".join(line.removeprefix("a=mid:") for line in lines if line.startswith("a=mid:"))
    text = _HEAD.format(mids=mids)
    for line in lines:
        text += line + "\n"
        if line.startswith("m="):
            text += _transport(caller) + "a=setup:active\na=recvonly\n"
    return text.replace("\n", "\r\n")
