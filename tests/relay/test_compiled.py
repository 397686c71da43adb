"""The compiled forwarder: the same as Python's whatever comes, without it where it should, safe when things go away."""

import gc
import struct
import sys
import weakref
from collections import Counter
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.relay.measure_forward import Stage
from tests.relay.test_streams import SESSION, Wire, connect, make_peer
from video_server import checks
from video_server.config import load
from video_server.core.errors import CannotStart
from video_server.relay import built as built_module
from video_server.relay.batch import Outbox
from video_server.relay.counters import Counters
from video_server.relay.history import History
from video_server.relay.nack import Missing
from video_server.relay.rtp import HEADER
from video_server.relay.sdp import Format
from video_server.relay.streams import Output, Source
from video_server.relay.twcc import ArrivalLog

pytestmark = pytest.mark.usefixtures("built")
TRANSPORT_CC = 0x31


class Room(Wire):
    """A publisher with a picture, which may be repaired, and a sound with redundancy; each has two outputs."""

    def __init__(self, kind, start):
        self.kind = kind
        super().__init__(outputs=2)
        owner = SimpleNamespace(rtx_payload_type=lambda source: 99)
        self.picture = Source(1, "video", "vp8", 98, screen=False, owner=owner)
        self.sound = Source(2, "audio", "red", 63, screen=False, owner=owner)
        for ssrc, formats in (
            (2000, {"red": Format("red", 63, None, "")}),
            (2002, {"opus": Format("opus", 111, 0, "")}),
        ):
            self.outputs.append(Output("audio", 1, ssrc, ssrc + 1, formats, 0x40300000, 0))
            self.aim(self.outputs[-1])
        for output in self.outputs:
            output._free_sequence, output._free_timestamp, output.rtx_sequence = *start, 7
        connect(self.picture, *self.outputs[:2])
        connect(self.sound, *self.outputs[2:])
        self.peer = make_peer({1: self.picture, 2: self.sound}, {3: self.picture}, transport_cc_byte=TRANSPORT_CC)
        self.peer.arrivals = ArrivalLog()

    def remembers(self):
        """Return everything that packets leave behind."""
        sources = []
        for source in (self.picture, self.sound):
            kept = {name: getattr(source, name) for name in Source.__slots__}
            kept |= {"owner": None, "outputs": len(source.outputs), "missing": dict(source.missing._asked)}
            kept |= {"history": (source.history.sequences.tolist(), source.history.packets)}
            sources.append(kept)
        apart = {"session", "socket", "source", "link", "address", "place"}
        outputs = [
            {name: getattr(each, name) for name in Output.__slots__ if name not in apart} for each in self.outputs
        ]
        return (
            self.sent, self.gaps, self.counters.snapshot(), self.peer.credit, self.peer.link.heard_at,
            self.peer.arrivals.pending, sources, outputs,
        )  # fmt: skip


EXTENSIONS = st.one_of(
    st.just(b""),
    st.integers(0, 65535).map(lambda n: bytes.fromhex("bede0001") + bytes([TRANSPORT_CC, n >> 8, n & 255, 0])),
    st.binary(max_size=24).map(lambda b: b"\xbe\xde" + struct.pack("!H", len(b) // 4) + b),
    st.tuples(st.sampled_from([0, 1, 3, 255, 65535]), st.binary(max_size=16)).map(
        lambda pair: struct.pack("!HH", 0xBEDE, pair[0]) + pair[1]
    ),
)
STEPS = st.sampled_from([1] * 12 + [0, 2, 3, -1, -2, 600, -600, 30_000])


@st.composite
def packets(draw):
    """Packets of a picture, a sound and a repair, mostly in order; with odd headers here and there."""
    made, numbers = [], {1: draw(st.sampled_from([0, 65530])), 2: 65533, 3: 5}
    ticks = {1: draw(st.sampled_from([0, 2**32 - 9000])), 2: 77, 3: 0}
    for _ in range(draw(st.integers(1, 40))):
        ssrc = draw(st.sampled_from([1, 1, 1, 2, 2, 3]))
        numbers[ssrc] = (numbers[ssrc] + draw(STEPS)) & 0xFFFF
        ticks[ssrc] = (ticks[ssrc] + draw(st.sampled_from([0, 0, 3000, 960]))) & 0xFFFFFFFF
        extension = draw(EXTENSIONS)
        csrc = draw(st.sampled_from([0] * 9 + [1, 15]))
        first = 0x80 | (0x10 if extension else 0) | draw(st.sampled_from([0] * 9 + [0x20])) | csrc
        type_ = draw(st.sampled_from([{1: 98, 2: 63, 3: 99}[ssrc]] * 9 + [98]))
        second = type_ | draw(st.sampled_from([0, 128]))
        body = draw(st.binary(max_size=40)) if ssrc != 3 else struct.pack("!H", numbers[1] - 1 & 0xFFFF) + b"again"
        packet = HEADER.pack(first, second, numbers[ssrc], ticks[ssrc], ssrc) + bytes(4 * csrc) + extension + body
        made.append(packet[: draw(st.sampled_from([2000] * 15 + [12, 13, 16]))])
    return made


@settings(max_examples=300, deadline=None)
@given(packets(), st.tuples(st.integers(0, 65535), st.integers(0, 2**32 - 1)))
def test_both_forwarders_send_the_same_and_leave_the_same_behind_whatever_comes(journey, start):
    rooms = [Room(kind, start) for kind in ("python", "compiled")]
    for room in rooms:
        for number, packet in enumerate(journey):
            room.take(room.peer, packet, 100.0 + number / 64)
        room.close()
    python, compiled = (room.remembers() for room in rooms)
    assert compiled == python


def test_plain_media_never_comes_to_python_and_all_else_does():
    stage = Stage("compiled", 2)
    asked = []
    clear = stage.forwarder.take_clear
    stage.forwarder.take_clear = lambda *given: (asked.append(stage.counters.forwarded), clear(*given))
    for _ in range(3):
        stage.fill()
        stage.forwarder.drain(stage.port_socket)
    assert asked == [0], "the first packet of the stream alone"
    assert stage.counters.forwarded == 2 * stage.sequence
    stage.sequence += 1
    stage.fill()
    stage.forwarder.drain(stage.port_socket)
    assert len(asked) == 2, "and the one behind a gap"


@pytest.mark.parametrize("name", ["on_source", "on_gap", "on_rtcp", "on_other"])
def test_an_exception_of_a_callback_comes_out_and_the_next_batch_goes_on(name):
    stage = Stage("compiled", 1)

    def fail(*given):
        raise LookupError(name)

    sends = {
        "on_source": lambda: stage.send(ssrc=99),
        "on_gap": lambda: stage.send(ahead=5),
        "on_rtcp": lambda: stage.publisher.sendto(b"\x80\xc9" + bytes(30), stage.port_socket.getsockname()),
        "on_other": lambda: stage.publisher.sendto(b"\x00\x01", stage.port_socket.getsockname()),
    }
    stage.send()
    stage.forwarder.drain(stage.port_socket)
    setattr(stage.forwarder, f"_{name}", fail)
    sends[name]()
    with pytest.raises(LookupError, match=name):
        stage.forwarder.drain(stage.port_socket)
    stage.send()
    stage.forwarder.drain(stage.port_socket)
    assert stage.counters.forwarded >= 2


def test_who_goes_in_the_middle_of_a_batch_is_sent_nothing_more_and_its_keys_are_not_used():
    stage = Stage("compiled", 2)
    stage.send()
    stage.forwarder.drain(stage.port_socket)
    gone = []

    def leave(source, first, count):
        for output in source.outputs:
            output.detach(now=1.0)
            output.session = None
        source.outputs = []
        stage.link.media.rx = stage.link.media = None
        stage.forget_keys()
        gc.collect()
        gone.append(count)

    stage.forwarder._on_gap = leave
    others = []
    stage.forwarder._on_other = lambda data, address, sock: others.append(data)
    stage.send(ahead=3)
    for _ in range(5):
        stage.send()
    stage.forwarder.drain(stage.port_socket)
    assert gone == [2]
    assert stage.counters.forwarded == 2
    assert len(others) == 5


def test_sessions_live_as_long_as_somebody_may_use_them():
    stage = Stage("compiled", 1)
    kept = weakref.ref(stage.rx_owner)
    stage.forget_keys()
    gc.collect()
    assert kept() is not None
    stage.link.media.rx = None
    gc.collect()
    assert kept() is None


def test_a_forwarder_that_is_not_needed_any_more_goes_with_all_its_boxes():
    wire = Room("compiled", (0, 0))
    gone = [weakref.ref(wire.forwarder), *(weakref.ref(each) for each in wire.forwarder.inboxes.values())]
    wire.close()
    del wire
    gc.collect()
    assert [each() for each in gone] == [None, None]


def test_nothing_is_left_behind_by_packets_that_are_gone():
    stage = Stage("compiled", 3)

    def pass_some():
        for _ in range(20):
            stage.fill()
            stage.forwarder.drain(stage.port_socket)
            stage.link.media.arrivals.build()

    pass_some()
    gc.collect()
    before = sys.getallocatedblocks()
    references = Counter({id(each): sys.getrefcount(each) for each in stage.source.outputs})
    for _ in range(5):
        pass_some()
    gc.collect()
    assert sys.getallocatedblocks() - before < 500
    assert references == Counter({id(each): sys.getrefcount(each) for each in stage.source.outputs})


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda room: setattr(room.peer, "rx", object()), id="no session"),
        pytest.param(lambda room: setattr(room.outputs[0], "session", None), id="no session of an output"),
        pytest.param(lambda room: setattr(room.outputs[0], "place", b"short"), id="a place that is none"),
        pytest.param(lambda room: setattr(room.outputs[0], "ssrc", "x"), id="an SSRC that is none"),
        pytest.param(lambda room: delattr(room.outputs[0], "mid_word"), id="a member that is gone"),
        pytest.param(lambda room: setattr(room.picture.history, "packets", []), id="a ring that is too small"),
        pytest.param(lambda room: setattr(room.picture, "jitter_ticks", 0), id="a figure of another kind"),
    ],
)
def test_what_is_not_as_it_should_be_is_an_exception_and_no_crash(spoil):
    room = Room("compiled", (0, 0))
    for number in (1, 2, 3):
        room.take(room.peer, HEADER.pack(0x80, 98, number, 0, 1) + b"fine", 1.0)
    spoil(room)
    with pytest.raises((TypeError, SystemError, IndexError)):
        room.take(room.peer, HEADER.pack(0x80, 98, 4, 0, 1) + b"spoilt", 1.0)


def test_other_classes_than_the_relays_own_are_refused():
    path = built_module.load_compiled().Path
    room = Room("compiled", (0, 0))
    kinds = (Source, Output, History, type(SESSION), Outbox, Counters)
    for counters, strange, what in (
        (object(), kinds, "no Counters"),
        (room.counters, (*kinds[:5], Missing), "received"),
    ):
        with pytest.raises((TypeError, AttributeError), match=what):
            path(room.forwarder, counters, {}, [], strange, (1, 1), (1, 1))
    [inbox] = room.forwarder.inboxes.values()
    for slot, size in ((-1, 20), (64, 20), (0, 11), (0, 1 << 20)):
        with pytest.raises(ValueError, match="no such"):
            room.forwarder.take(room.peer, inbox, slot, size, 1.0, 1.0)
    with pytest.raises(KeyError):
        room.forwarder.drain(object())


def test_without_the_built_module_there_is_one_clear_sentence(monkeypatch):
    chosen = load(relay_forwarder="compiled")
    checks.check_relays(chosen)
    monkeypatch.setitem(sys.modules, "video_server.relay._compiled", SimpleNamespace(BUILT_FROM="another"))
    with pytest.raises(CannotStart, match="another version: run 'make relay-fast' again"):
        checks.check_relays(chosen)
    monkeypatch.setitem(sys.modules, "video_server.relay._compiled", None)
    with pytest.raises(CannotStart, match="run 'make relay-fast', or set it to python"):
        checks.check_relays(chosen)
    checks.check_relays(load())
