"""Whatever a network does to packets, and however sources change, a receiver sees one valid RTP stream."""

import contextlib
import ctypes
import random
import socket
import struct
from types import SimpleNamespace

import pylibsrtp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from video_server.relay import srtp
from video_server.relay.batch import HEADROOM, pack_place
from video_server.relay.compiled import FORWARDERS
from video_server.relay.counters import Counters
from video_server.relay.limits import CREDIT_PER_SECOND, MAX_CREDIT, PACKET_COST, refill
from video_server.relay.rtp import HEADER, OUT_HEADER_BYTES
from video_server.relay.sdp import Format
from video_server.relay.streams import DROP, Output, Source

VP8 = {"vp8": Format("vp8", 96, 97, "")}


def open_socket():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind(("127.0.0.1", 0))
    return sock


def identity(session, pointer, length):
    """A cipher that leaves packets as they are."""
    return 0


IN_C = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(identity)
PLAIN = srtp.Cipher(identity, identity, *[ctypes.cast(IN_C, ctypes.c_void_p).value] * 2)
SESSION = srtp.Session(pylibsrtp.Session())
"""Any: PLAIN does not look at it."""


class Wire:
    """A forwarder whose packets go in by `arrive`; what is sent over a real socket is collected in `sent`."""

    kind = "python"

    def __init__(self, outputs=1, *, cipher=PLAIN):
        self.sent = []
        self.receiver, self.socket = open_socket(), open_socket()
        self.port = SimpleNamespace(
            sockets=[self.socket], links={}, send=lambda data, address, by: by.sendto(data, address)
        )
        self.counters = Counters()
        self.gaps = []
        self.forwarder = FORWARDERS[self.kind](
            self.port,
            self.counters,
            on_source=lambda peer, ssrc, payload_type, block: None,
            on_rtcp=lambda peer, data: None,
            on_other=lambda data, address, by: None,
            on_gap=lambda source, first, count: self.gaps.append((first, count)),
            cipher=cipher,
        )
        self.outputs = [make_output(ssrc=1000 + 2 * n) for n in range(outputs)]
        for output in self.outputs:
            self.aim(output)

    def aim(self, output):
        """Let an output send to our receiver."""
        output.session = SESSION
        output.socket, output.address = self.socket, self.receiver.getsockname()
        output.place = pack_place(output.address)

    def take(self, peer, packet, now):
        """Hand over a packet as it comes from the network, and collect what that sent."""
        [inbox] = self.forwarder.inboxes.values()
        inbox.view[HEADROOM : HEADROOM + len(packet)] = packet
        self.forwarder.take(peer, inbox, 0, len(packet), now, now)
        self.collect()

    def collect(self):
        self.forwarder.flush()
        with contextlib.suppress(BlockingIOError):
            while True:
                self.sent.append(self.receiver.recv(4096))

    def close(self):
        self.receiver.close()
        self.socket.close()

    def resend(self, output, sequence):
        sent = self.forwarder.resend(output, sequence)
        self.collect()
        return sent

    def arrive(self, source, sequence, timestamp, payload, *, now, marker=0, extension=b"", padding=b"", second=None):
        first = 0x80 | (0x10 if extension else 0) | (0x20 if padding else 0)
        packet = HEADER.pack(
            first, marker | source.payload_type if second is None else second, sequence, timestamp, source.ssrc
        )
        packet += extension + payload + padding
        peer = make_peer({source.ssrc: source})
        self.take(peer, packet, now)


@pytest.fixture(autouse=True, scope="module")
def _both(forwarder):
    Wire.kind = forwarder


def make_peer(sources, rtx_sources=None, *, transport_cc_byte=0):
    return SimpleNamespace(
        rx=SESSION, link=SimpleNamespace(heard_at=0), transport_cc_byte=transport_cc_byte, credit=MAX_CREDIT,
        sources=sources, rtx_sources=rtx_sources or {},
    )  # fmt: skip


def make_source(ssrc=1, codec="vp8", payload_type=98):
    return Source(ssrc, "video", codec, payload_type, screen=False, owner=None)


def make_output(ssrc=1000):
    return Output("video", 0, ssrc, ssrc + 1, VP8, 0x40300000, 0x22000000)


def connect(source, *outputs):
    for output in outputs:
        output.attach(source)
    source.outputs = [*source.outputs, *outputs]


def disconnect(source, output, now):
    source.outputs = [each for each in source.outputs if each is not output]
    output.detach(now=now)


def parse(packet):
    first, second, sequence, timestamp, ssrc = HEADER.unpack_from(packet)
    assert first == 0x90
    assert packet[12:16] == bytes.fromhex("bede0002")
    return SimpleNamespace(
        payload_type=second & 127, marker=second >> 7, sequence=sequence, timestamp=timestamp, ssrc=ssrc,
        payload=packet[OUT_HEADER_BYTES:],
    )  # fmt: skip


def unwrap(numbers, size):
    """Undo the modulo, taking each number as the one nearest to the last."""
    full = []
    for number in numbers:
        last = full[-1] if full else number
        full.append(last + ((number - last + size // 2) % size) - size // 2)
    return full


@st.composite
def journeys(draw):
    """A few sources, one after another, each with packets that are lost, doubled and out of order."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    segments = []
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.sampled_from([0, 1, 65500, 65535, 40000]) | st.integers(0, 65535))
        clock = draw(st.sampled_from([0, 2**32 - 5000]) | st.integers(0, 2**32 - 1))
        packets = [
            ((start + n) & 0xFFFF, (clock + 3000 * (n // 3)) & 0xFFFFFFFF, n) for n in range(draw(st.integers(1, 60)))
        ]
        loss, again, shuffle = (draw(st.floats(0, 0.5)) for _ in range(3))
        arriving = []
        for position, packet in enumerate(packets):
            if rng.random() < loss:
                continue
            for _ in range(2 if rng.random() < again else 1):
                delay = rng.randrange(1, 12) if rng.random() < shuffle else 0
                arriving.append((position + delay, rng.random(), packet))
        segments.append([packet for _, _, packet in sorted(arriving)])
    return segments


@settings(max_examples=200, deadline=None)
@given(journeys())
def test_a_receiver_sees_one_valid_stream_through_loss_reorder_duplicates_wraps_and_changes_of_source(segments):
    wire = Wire()
    (output,) = wire.outputs
    now = 100.0
    taken = []
    for number, packets in enumerate(segments):
        source = make_source(ssrc=number + 1)
        connect(source, output)
        for sequence, timestamp, n in packets:
            now += 0.01
            before = len(wire.sent)
            wire.arrive(source, sequence, timestamp, struct.pack("!HH", number, n), now=now)
            taken += [(number, n, timestamp)] * (len(wire.sent) - before)
        disconnect(source, output, now)

    wire.close()
    sent = [parse(packet) for packet in wire.sent]
    assert {packet.ssrc for packet in sent} <= {1000}
    assert {packet.payload_type for packet in sent} <= {96}
    numbers = unwrap([packet.sequence for packet in sent], 2**16)
    assert len(set(numbers)) == len(numbers), "two packets under one number"
    by_segment = {}
    for (segment, n, timestamp), number, packet in zip(taken, numbers, sent, strict=True):
        assert packet.payload == struct.pack("!HH", segment, n)
        by_segment.setdefault(segment, []).append((n, number, timestamp, packet.timestamp))
    last_number = None
    for packets in by_segment.values():
        assert len({number - n for n, number, _, _ in packets}) == 1, "the order of the source is not kept"
        assert len({(out - given_) % 2**32 for _, _, given_, out in packets}) == 1, (
            "the clock of the source is not kept"
        )
        if last_number is not None:
            assert min(number for _, number, _, _ in packets) == last_number + 1, (
                "a change of source left a gap or an overlap"
            )
        last_number = max(number for _, number, _, _ in packets)
    first_times = [packets[0][3] for packets in by_segment.values()]
    for before, after in zip(list(by_segment.values()), list(by_segment.values())[1:], strict=False):
        newest = max(unwrap([t for *_, t in before], 2**32))
        assert ((after[0][3] - newest) & 0xFFFFFFFF) < 2**31, f"time went back: {first_times}"


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 65535), max_size=200), st.integers(0, 65535))
def test_any_numbers_at_all_never_repeat_one_that_was_sent_lately(sequences, start):
    wire = Wire()
    source = make_source()
    connect(source, *wire.outputs)
    for step, sequence in enumerate([start, *sequences]):
        wire.arrive(source, sequence, 90 * step, step.to_bytes(2, "big"), now=1.0 + step)
    wire.close()
    sent = [parse(packet).sequence for packet in wire.sent]
    numbers = unwrap(sent, 2**16)
    assert len(set(numbers)) == len(numbers)


def test_every_receiver_gets_the_payload_under_its_own_numbers():
    wire = Wire(outputs=3)
    source = make_source()
    connect(source, *wire.outputs)
    wire.arrive(source, 7, 900, b"picture", now=1.0, marker=128)
    wire.arrive(source, 8, 900, b"more of it", now=1.0)
    sent = [parse(packet) for packet in wire.sent]
    assert [packet.ssrc for packet in sent] == [1000, 1002, 1004] * 2
    assert [packet.payload for packet in sent] == [b"picture"] * 3 + [b"more of it"] * 3
    assert [packet.marker for packet in sent] == [1, 1, 1, 0, 0, 0]
    assert [later.sequence - earlier.sequence for earlier, later in zip(sent[:3], sent[3:], strict=True)] == [1, 1, 1]


def test_extensions_and_padding_of_the_publisher_do_not_pass():
    wire = Wire()
    source = make_source()
    connect(source, *wire.outputs)
    wire.arrive(source, 1, 2, b"payload", now=1.0, extension=bytes.fromhex("bede0001 10ff0000"), padding=b"\0\0\3")
    assert parse(wire.sent[0]).payload == b"payload"


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(bytes.fromhex("8f620001000000010000000100"), id="CSRC list longer than the packet"),
        pytest.param(bytes.fromhex("90620001000000010000000100"), id="extension cut short"),
        pytest.param(
            bytes.fromhex("9062000100000001000000 01bede00ff".replace(" ", "")), id="extension longer than the packet"
        ),
        pytest.param(bytes.fromhex("a06200010000000100000001ffff"), id="more padding than payload"),
        pytest.param(bytes.fromhex("a06200010000000100000001ff00"), id="padding of no bytes"),
    ],
)
def test_a_malformed_packet_is_counted_and_dropped(packet):
    wire = Wire()
    source = make_source()
    connect(source, *wire.outputs)
    peer = make_peer({1: source}, transport_cc_byte=0x31)
    wire.take(peer, packet, 1.0)
    assert wire.sent == []
    assert wire.counters.dropped == {"rtp_malformed": 1}


def test_a_nack_is_answered_by_a_retransmission_of_that_very_packet():
    wire = Wire()
    source = make_source()
    connect(source, *wire.outputs)
    for n in range(5):
        wire.arrive(source, 65534 + n & 0xFFFF, 3000 * n, bytes([n]), now=1.0)
    lost = parse(wire.sent[3])
    assert wire.resend(wire.outputs[0], lost.sequence)
    again = parse(wire.sent[-1])
    assert (again.payload_type, again.ssrc, again.timestamp) == (97, 1001, lost.timestamp)
    assert again.payload == lost.sequence.to_bytes(2, "big") + lost.payload


def test_what_another_source_sent_before_is_not_resent_as_this_one():
    wire = Wire()
    first, second = make_source(1), make_source(2)
    connect(first, *wire.outputs)
    wire.arrive(first, 10, 0, b"old", now=1.0)
    disconnect(first, wire.outputs[0], 1.0)
    connect(second, *wire.outputs)
    wire.arrive(second, 10, 0, b"before", now=2.0)
    wire.arrive(second, 11, 0, b"new", now=2.0)
    old = parse(wire.sent[0])
    assert not wire.resend(wire.outputs[0], old.sequence)
    assert wire.counters.dropped["resend_too_old"] == 1


def test_a_packet_that_a_retransmission_brings_fills_the_gap():
    wire = Wire()
    source = make_source()
    source.owner = SimpleNamespace(rtx_payload_type=lambda _: 99)
    connect(source, *wire.outputs)
    wire.arrive(source, 1, 10, b"one", now=1.0)
    wire.arrive(source, 3, 30, b"three", now=1.0)
    assert wire.gaps == [(2, 1)]
    packet = HEADER.pack(0x80, 99, 500, 20, 77) + b"\0\2two"
    peer = make_peer({}, {77: source})
    wire.take(peer, packet, 1.0)
    one, three, two = (parse(each) for each in wire.sent)
    assert (two.payload, two.sequence) == (b"two", one.sequence + 1)
    assert three.sequence == one.sequence + 2
    wire.take(peer, packet, 1.0)
    assert len(wire.sent) == 3, "the same packet went out twice"


def test_a_receiver_without_red_gets_the_newest_block_as_opus():
    wire = Wire()
    source = Source(1, "audio", "red", 63, screen=False, owner=None)
    output = Output("audio", 0, 5, 6, {"opus": Format("opus", 111, None, "")}, 0, 0)
    wire.aim(output)
    connect(source, output)
    older, newer = b"before", b"now"
    block_header = (0x80 | 111) << 24 | 960 << 10 | len(older)
    wire.arrive(source, 1, 960, struct.pack("!L", block_header) + bytes([111]) + older + newer, now=1.0)
    sent = parse(wire.sent[0])
    assert (sent.payload_type, sent.payload) == (111, b"now")


def test_a_publisher_that_begins_anew_is_believed_after_two_packets_in_a_row():
    source = make_source()
    assert source.take(100, 0, now=1.0) == 0
    assert source.take(30_000, 0, now=1.0) == DROP
    assert source.take(30_001, 0, now=1.0) == 0
    assert source.take(30_002, 0, now=1.0) == 0


def test_what_a_source_sent_before_it_came_to_a_slot_is_not_sent_late_into_it():
    wire = Wire()
    source = make_source()
    for n in (10, 12):
        wire.arrive(source, n, 0, b"before", now=1.0)
    connect(source, *wire.outputs)
    wire.arrive(source, 13, 0, b"first", now=1.0)
    wire.arrive(source, 11, 0, b"too late", now=1.0)
    assert [parse(packet).payload for packet in wire.sent] == [b"first"]


def test_a_stream_goes_on_without_a_gap_when_its_publisher_begins_anew():
    wire = Wire()
    source = make_source()
    connect(source, *wire.outputs)
    for step, sequence in enumerate([100, 101, 30_000, 30_001, 30_002]):
        wire.arrive(source, sequence, 90 * step, bytes([step]), now=1.0)
    sent = [parse(packet) for packet in wire.sent]
    assert [packet.payload[0] for packet in sent] == [0, 1, 3, 4]
    assert [packet.sequence - sent[0].sequence for packet in sent] == [0, 1, 2, 3]


def test_a_gap_over_the_wrap_counts_as_a_wrap():
    source = make_source()
    source.take(65530, 0, now=1.0)
    assert source.take(4, 0, now=1.0) == 9
    assert source.extend(4) == 65536 + 4


def test_what_a_publisher_sends_beyond_its_credit_is_counted_and_dropped_until_the_next_tick():
    wire = Wire()
    source = make_source()
    connect(source, *wire.outputs)
    peer = make_peer({1: source})
    packet = HEADER.pack(0x80, 98, 0, 0, 1) + bytes(1000)
    fitting = MAX_CREDIT // (len(packet) + PACKET_COST)

    def flood(first, count):
        for sequence in range(first, first + count):
            packet = HEADER.pack(0x80, 98, sequence, 0, 1) + bytes(1000)
            wire.take(peer, packet, 1.0)

    flood(0, fitting + 50)
    assert len(wire.sent) == fitting
    assert wire.counters.dropped == {"too_much": 50}
    peer.credit = refill(peer.credit, 0.05)
    flood(fitting, 200)
    assert len(wire.sent) == fitting + int(CREDIT_PER_SECOND * 0.05) // (len(packet) + PACKET_COST)


def test_credit_does_not_pile_up_and_debt_is_forgiven():
    assert refill(MAX_CREDIT, 60) == MAX_CREDIT
    assert refill(-(10**9), 0.05) == CREDIT_PER_SECOND * 0.05
