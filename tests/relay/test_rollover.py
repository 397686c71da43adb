"""Real SRTP through the forwarder beyond sixteen bits of sequence number, twice, on a network that loses and mixes.

Each side counts rollovers for itself (RFC 3711 section 3.3.1): one miscount and nothing authenticates any more.
"""

import random
import struct
from types import SimpleNamespace

import pylibsrtp

from tests.relay.measure_forward import session
from tests.relay.test_streams import make_output, make_peer, make_source
from video_server.relay.counters import Counters
from video_server.relay.forward import Forwarder
from video_server.relay.rtp import HEADER, OUT_HEADER_BYTES

PACKETS = 140_000
FIRST = 60_000


def test_a_stream_passes_two_rollovers_of_real_srtp_with_loss_and_reordering():
    inbound, outbound = pylibsrtp.Policy.SSRC_ANY_INBOUND, pylibsrtp.Policy.SSRC_ANY_OUTBOUND
    publisher, receiver = session(ssrc_type=outbound), session(ssrc_type=inbound)
    ours_in, ours_out = session(ssrc_type=inbound), session(ssrc_type=outbound)
    sent = []
    forwarder = Forwarder(
        SimpleNamespace(sockets=(), links={}),
        counters := Counters(),
        on_source=lambda *_: None,
        on_rtcp=lambda *_: None,
        on_other=lambda *_: None,
        on_gap=lambda *_: None,
    )
    source, output = make_source(), make_output()
    output.session, output.sendto = ours_out._srtp[0], lambda data, address: sent.append(bytes(data))
    output.attach(source)
    source.outputs.append(output)
    peer = make_peer({1: source})
    peer.rx = ours_in._srtp[0]
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
            peer.credit = 1_000_000
            forwarder._inbox[: len(each[1])] = each[1]
            forwarder.take(peer, len(each[1]), 1.0 + number / 1000, 1.0 + number / 1000)
        for packet in sent:
            clear = receiver.unprotect(packet)
            _, _, sequence, timestamp, _ = HEADER.unpack_from(clear)
            (was,) = struct.unpack_from("!L", clear, OUT_HEADER_BYTES)
            if last is not None:
                assert (sequence - last[0] - (was - last[1])) & 0xFFFF == 0
                assert (timestamp - last[2] - 3000 * (was - last[1])) & 0xFFFFFFFF == 0
            last = (sequence, was, timestamp)
        sent.clear()
    assert counters.forwarded == arrived
    assert not counters.dropped
