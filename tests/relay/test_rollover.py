"""Real SRTP through the forwarder beyond sixteen bits of sequence number, twice, on a network that loses and mixes.

Each side counts rollovers for itself (RFC 3711 section 3.3.1): one miscount and nothing authenticates any more.
"""

import random
import struct

import pylibsrtp
import pytest

from tests.relay.measure_forward import session
from tests.relay.test_streams import Wire, connect, make_peer, make_source
from video_server.relay import srtp
from video_server.relay.limits import MAX_CREDIT
from video_server.relay.rtp import HEADER, OUT_HEADER_BYTES

PACKETS = 140_000
FIRST = 60_000


@pytest.fixture(autouse=True, scope="module")
def _both(forwarder):
    Wire.kind = forwarder


def test_a_stream_passes_two_rollovers_of_real_srtp_with_loss_and_reordering():
    inbound, outbound = pylibsrtp.Policy.SSRC_ANY_INBOUND, pylibsrtp.Policy.SSRC_ANY_OUTBOUND
    publisher, receiver = session(ssrc_type=outbound), session(ssrc_type=inbound)
    ours_in, ours_out = session(ssrc_type=inbound), session(ssrc_type=outbound)
    wire = Wire(cipher=srtp.SRTP)
    source, output = make_source(), wire.outputs[0]
    output.session = srtp.Session(ours_out)
    connect(source, output)
    peer = make_peer({1: source})
    peer.rx = srtp.Session(ours_in)
    rng = random.Random(3711)
    held: list[tuple[int, bytes]] = []
    arrived, last = 0, None
    for number in range(PACKETS):
        plain = HEADER.pack(0x80, 98, (FIRST + number) & 0xFFFF, number * 3000 & 0xFFFFFFFF, 1)
        held.append((number + rng.choice([0, 0, 0, 0, 3, 9]), publisher.protect(plain + struct.pack("!L", number))))
        for each in [each for each in held if each[0] <= number]:
            held.remove(each)
            if rng.random() < 0.02:
                continue
            arrived += 1
            peer.credit = MAX_CREDIT
            wire.take(peer, each[1], 1.0 + number / 1000)
        for packet in wire.sent:
            clear = receiver.unprotect(packet)
            _, _, sequence, timestamp, _ = HEADER.unpack_from(clear)
            (was,) = struct.unpack_from("!L", clear, OUT_HEADER_BYTES)
            if last is not None:
                assert (sequence - last[0] - (was - last[1])) & 0xFFFF == 0
                assert (timestamp - last[2] - 3000 * (was - last[1])) & 0xFFFFFFFF == 0
            last = (sequence, was, timestamp)
        wire.sent.clear()
    assert wire.counters.forwarded == arrived
    assert not wire.counters.dropped
