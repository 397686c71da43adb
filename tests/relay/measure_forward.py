"""What one forwarded packet costs: python -m tests.relay.measure_forward

Real SRTP (AES-256-GCM) and real UDP on this machine; only ICE and DTLS are left out. Packets are encrypted beforehand
and lie in the socket when the clock starts, so that nothing but `Forwarder.drain` is measured.
"""

import socket
import statistics
import time
from types import SimpleNamespace

import pylibsrtp

from video_server.relay.batch import RECEIVE_SLOTS as BATCH
from video_server.relay.batch import pack_place
from video_server.relay.counters import Counters
from video_server.relay.forward import Forwarder
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

    def __init__(self, receivers: int) -> None:
        self.port_socket = self._open()
        self.publisher, self.sink = self._open(), self._open()
        address = self.publisher.getsockname()
        self.link = SimpleNamespace(heard_at=0.0, address=address, media=None, closed=False)
        port = SimpleNamespace(sockets=[self.port_socket], links={address: self.link}, changes=0, send=None)
        self.counters = Counters()
        self.forwarder = Forwarder(
            port,
            self.counters,
            on_source=lambda *a: None,
            on_rtcp=lambda *a: None,
            on_other=lambda *a: None,
            on_gap=lambda *a: None,
        )
        self.encrypt = session(ssrc_type=pylibsrtp.Policy.SSRC_ANY_OUTBOUND)
        self._rx = session(ssrc_type=pylibsrtp.Policy.SSRC_ANY_INBOUND)
        source = Source(1, "video", "vp8", 96, screen=False, owner=None)
        self._tx = []
        for number in range(receivers):
            output = Output(
                "video", 0, 1000 + 2 * number, 1001 + 2 * number, {"vp8": Format("vp8", 96, 97, "")}, 1 << 28, 2 << 28
            )
            self._tx.append(session(ssrc_type=pylibsrtp.Policy.SSRC_ANY_OUTBOUND))
            output.session, output.socket = self._tx[-1]._srtp[0], self.port_socket
            output.address = self.sink.getsockname()
            output.place = pack_place(output.address)
            output.attach(source)
            source.outputs.append(output)
        make_peer(self.link, self._rx._srtp[0], source)
        self.sequence = 0

    def _open(self) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        return sock

    def fill(self) -> None:
        for _ in range(BATCH):
            self.sequence += 1
            extension = bytes.fromhex("bede0001") + bytes([0x31, self.sequence >> 8 & 255, self.sequence & 255, 0])
            head = HEADER.pack(0x90, 96, self.sequence & 0xFFFF, self.sequence * 300 & 0xFFFFFFFF, 1)
            self.publisher.sendto(self.encrypt.protect(head + extension + PAYLOAD), self.port_socket.getsockname())

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
        runs = [Stage(receivers).measure() for _ in range(7)]
        middle, least, most = statistics.median(runs), min(runs), max(runs)
        print(f"{receivers} receivers: {middle:.2f} us a packet (from {least:.2f} to {most:.2f})")
