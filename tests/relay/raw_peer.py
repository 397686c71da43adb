"""A participant without a browser: aiortc's ICE and DTLS as the calling side, RTP packets made by hand."""

import asyncio
import re
import struct
from pathlib import Path

import aioice.ice
from aiortc import (
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
    RTCIceGatherer,
    RTCIceParameters,
    RTCIceTransport,
)
from aiortc.sdp import SessionDescription

from tests.relay.harness import until

CHROMIUM = (Path(__file__).parent / "offer_chromium.sdp").read_bytes().decode()
OPUS, RED, VP8, VP8_RTX = 111, 63, 96, 97
HEADER = struct.Struct("!BBHLL")


class RawPeer:
    """Offers what Chromium offers.

    packets   what it received: (ssrc, payload type, sequence, timestamp, payload)
    """

    def __init__(self, monkeypatch, host: str = "127.0.0.1") -> None:
        monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda **_: [host])
        self.gatherer = RTCIceGatherer(iceServers=[])
        self.ice = RTCIceTransport(self.gatherer)
        self.certificate = RTCCertificate.generateCertificate()
        self.dtls = RTCDtlsTransport(self.ice, [self.certificate])
        self.dtls._handle_rtp_data = self._take
        self.dtls._handle_rtcp_data = self._take_rtcp
        self.packets: list[tuple[int, int, int, int, bytes]] = []
        self.rtcp: list[bytes] = []
        self.remote: SessionDescription | None = None
        self.sequence = 65530
        self.ssrcs: dict[str, int] = {}

    async def _take(self, data: bytes, arrival_time_ms: int) -> None:
        first, second, sequence, timestamp, ssrc = HEADER.unpack_from(data)
        assert first == 0x90
        self.packets.append((ssrc, second & 127, sequence, timestamp, data[24:]))

    async def _take_rtcp(self, data: bytes) -> None:
        self.rtcp.append(data)

    async def offer(self) -> str:
        await self.gatherer.gather()
        own = self.gatherer.getLocalParameters()
        fingerprint = next(f for f in self.certificate.getFingerprints() if f.algorithm == "sha-256")
        text = re.sub(r"a=ice-ufrag:.*", f"a=ice-ufrag:{own.usernameFragment}\r", CHROMIUM)
        text = re.sub(r"a=ice-pwd:.*", f"a=ice-pwd:{own.password}\r", text)
        text = re.sub(r"a=fingerprint:.*", f"a=fingerprint:sha-256 {fingerprint.value}\r", text)
        seen = re.findall(r"a=ssrc-group:FID (\d+) (\d+)", text)
        self.ssrcs = {
            "audio": int(re.search(r"a=ssrc:(\d+)", text)[1]),
            "video": int(seen[0][0]),
            "video-rtx": int(seen[0][1]),
            "screen": int(seen[1][0]),
        }
        return text

    async def accept(self, answer: str) -> None:
        self.answer = answer
        self.remote = SessionDescription.parse(answer)
        first = self.remote.media[0]
        for candidate in first.ice_candidates:
            await self.ice.addRemoteCandidate(candidate)
        await self.ice.addRemoteCandidate(None)
        self.ice._connection.ice_controlling = True
        self.dtls._set_role("client")
        await self.ice.start(RTCIceParameters(usernameFragment=first.ice.usernameFragment, password=first.ice.password))
        prints = [RTCDtlsFingerprint(f.algorithm, f.value) for f in first.dtls.fingerprints]
        await self.dtls.start(RTCDtlsParameters(fingerprints=prints))

    @property
    def relay_address(self) -> tuple[str, int]:
        candidate = self.remote.media[0].ice_candidates[0]
        return candidate.ip, candidate.port

    def send_raw(self, data: bytes) -> None:
        self.gatherer._connection._protocols[0].transport.sendto(data, self.relay_address)

    def slot_ssrc(self, slot: int, kind: str) -> int:
        lines = [media for media in self.remote.media if media.kind == kind and media.direction == "sendonly"]
        return lines[slot].ssrc[0].ssrc

    def got(self, slot: int, kind: str) -> list[bytes]:
        ssrc = self.slot_ssrc(slot, kind)
        return [payload for other, _, _, _, payload in self.packets if other == ssrc]

    async def send(
        self, kind: str, payload: bytes, *, payload_type: int | None = None, ssrc: int | None = None
    ) -> None:
        self.sequence = (self.sequence + 1) & 0xFFFF
        number = payload_type if payload_type is not None else OPUS if kind == "audio" else VP8
        await self.dtls._send_rtp(
            HEADER.pack(0x80, number, self.sequence, self.sequence * 3000 & 0xFFFFFFFF, ssrc or self.ssrcs[kind])
            + payload
        )

    async def send_rtcp(self, data: bytes) -> None:
        await self.dtls._send_rtp(data)

    async def send_until(self, kind: str, receiver: "RawPeer", slot: int, mark: bytes) -> None:
        """Send until the receiver has what was sent last: what was sent before it has been handled by then too."""
        count = 0

        async def try_again() -> bool:
            nonlocal count
            count += 1
            last = mark + b"#%d" % count
            await self.send(kind, last)
            for _ in range(10 * count):  # each time longer, so that on a slow machine the last one is not always new
                await asyncio.sleep(0.01)
                if last in receiver.got(slot, kind):
                    return True
            return False

        await until(try_again, f"{mark!r} arrives")

    async def close(self) -> None:
        await self.dtls.stop()
        await self.ice.stop()
