"""Our relay as a peer of janus.py: one connection for each participant, as the pages make it."""

import os
import re
import time
from pathlib import Path

from tests.bench.callers import AUDIO_SSRC, VIDEO_SSRC, Caller
from tests.relay.harness import RelayProcess, connect
from video_server.relay.client import RelayClient, RelayEvent

_OFFER = (Path(__file__).parents[1] / "relay" / "offer_chromium.sdp").read_bytes().decode()


def render_offer(caller: Caller) -> str:
    """Return Chromium's offer with this caller's credentials and the load's SSRCs."""
    text = re.sub(r"a=ice-ufrag:.*", f"a=ice-ufrag:{caller.ufrag}\r", _OFFER)
    text = re.sub(r"a=ice-pwd:.*", f"a=ice-pwd:{caller.password}\r", text)
    text = re.sub(r"a=fingerprint:.*", f"a=fingerprint:sha-256 {caller.fingerprint}\r", text)
    text = text.replace(re.search(r"a=ssrc:(\d+)", text)[1], str(AUDIO_SSRC))
    return text.replace(re.search(r"a=ssrc-group:FID (\d+)", text)[1], str(VIDEO_SSRC))


class OurRelay:
    """A relay process with one of the two forwarders, on one core where a number is given."""

    def __init__(self, folder: Path, *, host: str, core: int | None, forwarder: str = "python") -> None:
        """Start."""
        self.host, self.name = host, forwarder
        self._relay = RelayProcess(folder, forwarder=forwarder)
        self.pid = self._relay.process.pid
        if core is not None:
            os.sched_setaffinity(self.pid, {core})
        self._rooms = 0
        self.answer_seconds: list[float] = []
        self.events: list[RelayEvent] = []
        self.client: RelayClient

    async def start(self) -> None:
        """Connect to its control."""
        self.client = await connect(self._relay.control, self.events)

    async def make_room(self, size: int) -> list[tuple[Caller, bool]]:
        """Let `size` people meet; return all connections, and whether each sends: all do."""
        self._rooms += 1
        room = f"room{self._rooms}"
        return [(await self.join(room, f"p{number}"), True) for number in range(size)]

    async def join(self, room: str, participant: str) -> Caller:
        """Bring one participant in."""
        caller = Caller(self.host)
        offer = render_offer(caller)
        before = time.perf_counter()
        answer = await self.client.join(room=room, epoch=1, participant=participant, offer=offer, admitted=True)
        self.answer_seconds.append(time.perf_counter() - before)
        await caller.connect(answer, controlling=True)
        return caller

    async def leave(self, room: str, participant: str) -> None:
        """Take one out."""
        await self.client.leave(room=room, epoch=1, participant=participant)

    async def stop(self) -> None:
        """End it."""
        await self.client.close()
        self._relay.close()
