"""The load's participants: aiortc's ICE and DTLS on a socket of our own, which the generator takes over afterwards."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Sequence
from typing import Any

import aioice.ice
from aioice.candidate import Candidate, candidate_foundation, candidate_priority
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
from pylibsrtp import _binding

from tests.bench.generator import Participant, Stream

CIPHER = "SRTP_AEAD_AES_256_GCM"
AUDIO_SSRC, VIDEO_SSRC = 0x0A0A0A0A, 0x0B0B0B0B
OPUS, VP8, VP8_RTX = 111, 96, 97
SEND_TIME_ID, TRANSPORT_CC_ID, MID_ID = 2, 3, 4
SETUP_SECONDS = 60.0

SOUND = Stream(AUDIO_SSRC, OPUS, per_second=50, packets=1, payload_bytes=120, clock_rate=48000)
PICTURE = Stream(VIDEO_SSRC, VP8, per_second=25, packets=6, payload_bytes=1100, clock_rate=90000)
"""A call's media: 50 packets of sound and 150 of picture a second, 1.4 Mbit/s."""

CALL = (SOUND, PICTURE)
PACKETS_PER_SECOND = sum(stream.per_second * stream.packets for stream in CALL)


class _Leg:
    """What aioice takes for its datagram transport."""

    def __init__(self, port: socket.socket, protocol: Any) -> None:
        self._port, self._protocol = port, protocol

    def sendto(self, data: bytes, address: tuple[str, int]) -> None:
        with contextlib.suppress(ConnectionRefusedError):  # of an earlier datagram: the server has ended
            self._port.sendto(data, address)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._port.getsockname() if name == "sockname" else default

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)


class Caller:
    """One connection. Make it, put `ufrag`, `password`, `fingerprint`, `port` into an SDP, then `connect`."""

    _certificate: RTCCertificate | None = None

    def __init__(self, host: str) -> None:
        """Bind a socket on `host`."""
        if Caller._certificate is None:
            Caller._certificate = RTCCertificate.generateCertificate()
        self.host = host
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind((host, 0))
        self.port: int = self.socket.getsockname()[1]
        gatherer = RTCIceGatherer(iceServers=[])
        self.ice = RTCIceTransport(gatherer)
        self._connection: Any = gatherer._connection
        self.dtls: Any = RTCDtlsTransport(self.ice, [Caller._certificate])
        self.fingerprint = next(f.value for f in Caller._certificate.getFingerprints() if f.algorithm == "sha-256")
        self._protocol = aioice.ice.StunProtocol(self._connection)
        self._protocol.connection_made(_Leg(self.socket, self._protocol))
        self._protocol.local_candidate = Candidate(
            foundation=candidate_foundation("host", "udp", host), component=1, transport="udp",
            priority=candidate_priority(1, "host"), host=host, port=self.port, type="host",
        )  # fmt: skip
        self._connection._protocols.append(self._protocol)
        self._connection._local_candidates.append(self._protocol.local_candidate)
        self._connection._local_candidates_start = self._connection._local_candidates_end = True
        self.remote: tuple[str, int] | None = None
        self.answer: SessionDescription | None = None
        asyncio.get_running_loop().add_reader(self.socket.fileno(), self._read)

    @property
    def ufrag(self) -> str:
        """Return our ICE user name."""
        return str(self._connection.local_username)

    @property
    def password(self) -> str:
        """Return our ICE password."""
        return str(self._connection.local_password)

    def _read(self) -> None:
        while True:
            try:
                data, address = self.socket.recvfrom(4096)
            except BlockingIOError:
                return
            self._protocol.datagram_received(data, address)

    async def connect(self, sdp: str, *, controlling: bool) -> None:
        """Take the other side's SDP: ICE to its candidate on our host, then DTLS."""
        self.answer = SessionDescription.parse(sdp)
        first = self.answer.media[0]
        ice, dtls = first.ice, first.dtls
        for candidate in first.ice_candidates:
            if candidate.ip == self.host:
                await self.ice.addRemoteCandidate(candidate)
        await self.ice.addRemoteCandidate(None)
        self._connection.ice_controlling = controlling
        self.dtls._set_role("server" if dtls.role == "client" else "client")
        prints = [RTCDtlsFingerprint(each.algorithm, each.value) for each in dtls.fingerprints]
        async with asyncio.timeout(SETUP_SECONDS):
            await self.ice.start(RTCIceParameters(usernameFragment=ice.usernameFragment, password=ice.password))
            await self.dtls.start(RTCDtlsParameters(fingerprints=prints))
        cipher = self.dtls._ssl.get_selected_srtp_profile().decode() if self.dtls._ssl else "none"
        if self.dtls.state != "connected" or cipher != CIPHER:
            raise ConnectionError(f"DTLS is {self.dtls.state} with {cipher}, not connected with {CIPHER}")
        self.remote = self._connection._nominated[1].remote_addr

    def hand_over(self, streams: Sequence[Stream]) -> Participant:
        """Give the socket to the generator: what is no media comes back to us."""
        assert self.remote is not None
        asyncio.get_running_loop().remove_reader(self.socket.fileno())
        self.socket.connect(self.remote)
        remote = self.remote
        return Participant(
            socket=self.socket,
            protect=get_pointer(self.dtls._tx_srtp),
            unprotect=get_pointer(self.dtls._rx_srtp),
            transport_cc=TRANSPORT_CC_ID,
            send_time=SEND_TIME_ID,
            on_other=lambda data: self._protocol.datagram_received(data, remote),
            streams=tuple(streams),
            report=_report([stream.ssrc for stream in streams]),
            keep=[self],
        )

    async def close(self) -> None:
        """Say goodbye."""
        asyncio.get_running_loop().remove_reader(self.socket.fileno())
        await self.dtls.stop()
        await self.ice.stop()
        self.socket.close()


def get_pointer(session: Any) -> int:
    """Return the address of a libsrtp session."""
    return int(_binding.ffi.cast("uintptr_t", session._srtp[0]))


def _report(ssrcs: Sequence[int]) -> bytes:
    """Return a sender report for each stream sent, or an empty receiver report."""
    if not ssrcs:
        return struct.pack("!BBHL", 0x80, 201, 1, 1)
    return b"".join(struct.pack("!BBHLQLLL", 0x80, 200, 6, ssrc, 1 << 40, 0, 0, 0) for ssrc in ssrcs)
