"""What one forwarded packet costs: python -m tests.relay.measure_forward

Real SRTP (AES-256-GCM) and real UDP on this machine; only ICE and DTLS are left out. Packets are encrypted beforehand
and lie in the socket when the clock starts, so that nothing but `Forwarder.drain` is measured.
"""

import socket
import statistics
import time
from types import SimpleNamespace

import pylibsrtp

from video_server.relay import srtp
from video_server.relay.batch import RECEIVE_SLOTS as BATCH
from video_server.relay.batch import pack_place
from video_server.relay.compiled import FORWARDERS
from video_server.relay.counters import Counters
from video_server.relay.rtp import HEADER
from video_server.relay.sdp import Format
from video_server.relay.streams import Output, Source

PAYLOAD = bytes(1000)
ROUNDS = 400
KEY = bytes(range(44))


def session(*, ssrc_type: int) -> pylibsrtp.Session:
    profile = pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_256_GCM
    return pylibsrtp.Session(pylibsrtp.Policy(key=KEY, ssrc_type=ssrc_type, srtp_profile=profile))


class Stage:
    """One publisher with `receivers` receivers behind one real port."""

    def __init__(self, forwarder: str, receivers: int) -> None:
        self.port_socket = self._open()
        self.publisher, self.sink = self._open(), self._open()
        address = self.publisher.getsockname()
        self.link = SimpleNamespace(heard_at=0.0, address=address, media=None, closed=False)
        port = SimpleNamespace(sockets=[self.port_socket], links={address: self.link}, changes=0, send=None)
        self.counters = Counters()
        self.forwarder = FORWARDERS[forwarder](
            port,
            self.counters,
            on_source=lambda *a: None,
            on_rtcp=lambda *a: None,
            on_other=lambda *a: None,
            on_gap=lambda *a: None,
        )
        self.encrypt = session(ssrc_type=pylibsrtp.Policy.SSRC_ANY_OUTBOUND)
        self.rx_owner = session(ssrc_type=pylibsrtp.Policy.SSRC_ANY_INBOUND)
        self.source = source = Source(1, "video", "vp8", 96, screen=False, owner=None)
        for number in range(receivers):
            output = Output(
                "video", 0, 1000 + 2 * number, 1001 + 2 * number, {"vp8": Format("vp8", 96, 97, "")}, 1 << 28, 2 << 28
            )
            output.session = srtp.Session(session(ssrc_type=pylibsrtp.Policy.SSRC_ANY_OUTBOUND))
            output.socket = self.port_socket
            output.address = self.sink.getsockname()
            output.place = pack_place(output.address)
            output.attach(source)
            source.outputs.append(output)
        make_peer(self.link, srtp.Session(self.rx_owner), source)
        self.sequence = 0

    def _open(self) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        return sock

    def fill(self) -> None:
        for _ in range(BATCH):
            self.send()

    def send(self, *, ssrc: int = 1, ahead: int = 1) -> None:
        self.sequence += ahead
        extension = bytes.fromhex("bede0001") + bytes([0x31, self.sequence >> 8 & 255, self.sequence & 255, 0])
        head = HEADER.pack(0x90, 96, self.sequence & 0xFFFF, self.sequence * 300 & 0xFFFFFFFF, ssrc)
        self.publisher.sendto(self.encrypt.protect(head + extension + PAYLOAD), self.port_socket.getsockname())

    def forget_keys(self) -> None:
        """Let nobody but the relay's own objects hold the session of what comes in."""
        del self.rx_owner

    def measure(self) -> float:
        """Return microseconds of processor time for each packet sent on."""
        spent = sent = 0
        for _ in range(ROUNDS):
            self.fill()
            before = self.counters.forwarded
            start = time.process_time_ns()
            self.forwarder.drain(self.port_socket)
            spent += time.process_time_ns() - start
            sent += self.counters.forwarded - before
            self.link.media.arrivals.build()
        assert not self.counters.dropped, self.counters.dropped
        return spent / sent / 1000


def make_peer(link: SimpleNamespace, rx: object, source: Source) -> None:
    from video_server.relay.twcc import ArrivalLog

    link.media = SimpleNamespace(
        rx=rx,
        link=link,
        transport_cc_byte=0x31,
        credit=10**12,
        sources={1: source},
        rtx_sources={},
        arrivals=ArrivalLog(),
    )


if __name__ == "__main__":
    for receivers in (1, 4):
        for forwarder in FORWARDERS:
            runs = [Stage(forwarder, receivers).measure() for _ in range(7)]
            middle, least, most = statistics.median(runs), min(runs), max(runs)
            print(f"{forwarder}, {receivers} receivers: {middle:.2f} us a packet (from {least:.2f} to {most:.2f})")
