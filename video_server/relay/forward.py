"""The hot path: from datagrams on the port to datagrams on their way, up to 64 a wake-up, without a task or a queue.

Life of a packet: received into a slot behind 32 spare bytes; decrypted in place; header and extensions replaced by the
24 bytes we send (in front of the payload, over what stood there); kept in the history; for every receiver copied into
a slot of the outbox, its header written with the receiver's numbers, and encrypted there. What is in the outbox leaves
when it is full or the batch is through. Everything here runs per packet: attribute look-ups and allocations count.
"""

import socket
import struct
from collections.abc import Callable
from typing import Any

from video_server.core.clock import monotonic
from video_server.relay import transport
from video_server.relay.arrival import ArrivalClock
from video_server.relay.batch import HEADROOM, PLACE_BYTES, SEND_SLOTS, STRIDE, Inbox, Outbox
from video_server.relay.counters import Counters
from video_server.relay.history import KEPT_MASK, MASK
from video_server.relay.limits import PACKET_COST
from video_server.relay.peers import Peer
from video_server.relay.rtp import (
    HEADER,
    OUT_FIRST_BYTE,
    OUT_HEADER,
    OUT_HEADER_BYTES,
    OUT_PROFILE,
    find_red_primary,
    send_time,
)
from video_server.relay.streams import Output, Source

_read_header = HEADER.unpack_from
_write_header = OUT_HEADER.pack_into
Address = transport.Address


class Forwarder:
    """Reads the port and forwards.

    protect, unprotect   as in transport: C functions over a session, a pointer and a length; tests pass their own
    on_source            called with (peer, ssrc, payload type, extension block) for an SSRC or payload type not seen
                         before; returns the source, or None to drop
    on_rtcp              called with (peer, datagram) for RTCP, still encrypted
    on_other             called with (datagram, address, socket) for everything that is not media of a known address
    on_gap               called with (source, first missing, count) when packets are missing
    """

    def __init__(
        self,
        port: Any,
        counters: Counters,
        *,
        on_source: Callable[[Peer, int, int, bytes], Source | None],
        on_rtcp: Callable[[Peer, bytes], None],
        on_other: Callable[[bytes, Address, socket.socket], None],
        on_gap: Callable[[Source, int, int], None],
        protect: Callable[[Any, Any, Any], int] = transport.srtp_protect,
        unprotect: Callable[[Any, Any, Any], int] = transport.srtp_unprotect,
    ) -> None:
        """Make the boxes of each socket of the port."""
        self._port = port
        self._links = port.links
        self._counters = counters
        self._on_source, self._on_rtcp, self._on_other, self._on_gap = on_source, on_rtcp, on_other, on_gap
        self._protect, self._unprotect = protect, unprotect
        self._spare = transport.PacketBuffer()
        self._length = transport.new_length()
        self._arrivals = ArrivalClock()
        self._inboxes = {each: Inbox(each) for each in port.sockets}
        self._known: dict[Any, Any] = {}  # what an inbox calls a sender -> its link
        self._changes = -1
        self._send_time = 0
        self._outboxes = {each: Outbox(each, counters) for each in port.sockets}

    def drain(self, sock: socket.socket) -> None:
        """Take what has come to one of the port's sockets, up to a batch; the loop calls again while there is more."""
        inbox = self._inboxes[sock]
        try:
            count = inbox.receive()
        except OSError:
            self._counters.dropped["receive_failed"] += 1
            return
        if not count:
            return
        now = monotonic()
        self._send_time = send_time(now)
        if self._changes != self._port.changes:
            self._changes = self._port.changes
            self._known.clear()
        view, known = inbox.view, self._known
        arrivals = [now] * count
        if stamps := inbox.stamps:
            shift = self._arrivals.shift(stamps[-1], now=now)
            arrivals = [stamp + shift for stamp in stamps]
        begin = HEADROOM
        for slot, (size, sender, arrived) in enumerate(zip(inbox.sizes, inbox.senders, arrivals, strict=True)):
            link = known.get(sender) or self._find_link(inbox, slot)
            if not size:
                self._counters.dropped["empty"] += 1
            elif link is None or link.media is None or not 127 < view[begin] < 192 or size < 12:
                self._on_other(bytes(view[begin : begin + size]), inbox.get_address(slot), sock)
            elif 191 < view[begin + 1] < 224:
                self._on_rtcp(link.media, bytes(view[begin : begin + size]))
            else:
                self.take(link.media, inbox, slot, size, now, arrived)
            begin += STRIDE
        self.flush()

    def _find_link(self, inbox: Inbox, slot: int) -> Any:
        """Return the link to which the sender's address belongs, and remember it until such things change."""
        link = self._links.get(inbox.get_address(slot))
        if link is not None:
            self._known[inbox.senders[slot]] = link
        return link

    def flush(self) -> None:
        """Send what is still in the outboxes."""
        for outbox in self._outboxes.values():
            if outbox.count:
                outbox.flush()

    def take(self, peer: Peer, inbox: Inbox, slot: int, size: int, now: float, arrived: float) -> None:
        """Handle one RTP packet of `size` bytes in a slot of the inbox, as on the wire."""
        counters = self._counters
        view = inbox.view
        begin = slot * STRIDE + HEADROOM
        length = self._length
        length[0] = size
        status = self._unprotect(peer.rx, inbox.pointers[slot], length)
        if status:
            counters.dropped["replayed" if status in transport.REPLAY_ERRORS else "not_authentic"] += 1
            return
        end = begin + length[0]
        peer.link.heard_at = now
        counters.received += 1
        peer.credit -= length[0] + PACKET_COST
        if peer.credit < 0:
            counters.dropped["too_much"] += 1
            return
        first, second, sequence, timestamp, ssrc = _read_header(view, begin)
        block = start = begin + 12 + 4 * (first & 15)
        if first & 16:
            if start + 4 > end:
                counters.dropped["rtp_malformed"] += 1
                return
            start += 4 + 4 * (view[start + 2] << 8 | view[start + 3])
            wanted = peer.transport_cc_byte
            if wanted and start <= end:
                at = block + 4
                while at < start:
                    head = view[at]
                    if head == wanted:
                        if at + 2 < start:
                            peer.arrivals.pending.append((view[at + 1] << 8 | view[at + 2], arrived))
                        break
                    at += 1 if head == 0 else 2 + (head & 15)
        if first & 32:
            end -= view[end - 1] or end  # padding of no bytes is malformed: fails below
        if start > end:
            counters.dropped["rtp_malformed"] += 1
            return
        payload_type = second & 127
        source = peer.sources.get(ssrc)
        if source is None:
            original = peer.rtx_sources.get(ssrc)
            if original is not None:
                self._take_rtx(original, view, payload_type, second, start, end, timestamp, now)
                return
        if source is None or source.payload_type != payload_type:
            source = self._on_source(peer, ssrc, payload_type, bytes(view[block:start]))
            if source is None:
                return
        self._forward(source, view, sequence, timestamp, second & 128, start, end, now)

    def _take_rtx(
        self, source: Source, view: memoryview, payload_type: int, second: int, start: int, end: int, timestamp: int,
        now: float,
    ) -> None:  # fmt: skip
        """Unwrap a retransmission (RFC 4588 section 4); those without payload only probe the path."""
        counters = self._counters
        counters.rtx_received += 1
        if payload_type != source.owner.rtx_payload_type(source):
            counters.dropped["wrong_payload_type"] += 1
            return
        if end - start < 2:
            return
        sequence = view[start] << 8 | view[start + 1]
        if not source.started:
            counters.dropped["rtx_unknown"] += 1
            return
        self._forward(source, view, sequence, timestamp, second & 128, start + 2, end, now)

    def _forward(
        self, source: Source, view: memoryview, sequence: int, timestamp: int, marker: int, start: int, end: int,
        now: float,
    ) -> None:  # fmt: skip
        """Send the payload at view[start:end] to every output of the source."""
        newest = source.highest
        gap = source.take(sequence, timestamp, now=now)
        if gap < 0:
            self._counters.dropped["late_or_duplicate"] += 1
            return
        if gap:
            self._on_gap(source, (newest + 1) & 0xFFFF, gap)
        source.seen_at = now
        size = end - start
        source.octets += size
        here = start - OUT_HEADER_BYTES
        whole = size + OUT_HEADER_BYTES
        _write_header(
            view, here, OUT_FIRST_BYTE, marker | source.payload_type, sequence, timestamp, 0, OUT_PROFILE, 0, 0
        )
        packet = bytes(view[here:end])
        history = source.history
        history.sequences[sequence & MASK] = sequence
        if source.kept:
            history.packets[sequence & KEPT_MASK] = packet

        outputs = source.outputs
        if not outputs:
            return
        late = sequence != source.highest
        extended = source.extend(sequence)
        protect, length, outboxes = self._protect, self._length, self._outboxes
        stamp = self._send_time
        for output in outputs:
            if output.first is None:
                if late:
                    continue
                output.begin(sequence, timestamp, extended, now=now)
            elif late and extended < output.first:
                continue
            if output.unwrap_red:
                self._send_unwrapped(output, packet, sequence, timestamp)
                continue
            output.packets += 1
            output.octets += size
            outbox = outboxes[output.socket]
            slot = outbox.count
            at = slot * transport.SENT_BYTES
            outbox.view[at : at + whole] = packet
            _write_header(
                outbox.view, at, OUT_FIRST_BYTE, marker | output.payload_type,
                (sequence + output.sequence_offset) & 0xFFFF, (timestamp + output.timestamp_offset) & 0xFFFFFFFF,
                output.ssrc, OUT_PROFILE, output.mid_word, output.send_time_head and output.send_time_head | stamp,
            )  # fmt: skip
            length[0] = whole
            if protect(output.session, outbox.pointers[slot], length):
                self._counters.dropped["not_encrypted"] += 1
                continue
            outbox.lengths[2 * slot + 1] = length[0]
            place = output.place
            at = slot * PLACE_BYTES
            outbox.names[at : at + len(place)] = place
            outbox.count = slot + 1
            if slot + 1 == SEND_SLOTS:
                outbox.flush()

    def _send_unwrapped(self, output: Output, packet: bytes, sequence: int, timestamp: int) -> None:
        """Send the newest block of a RED packet to a receiver that knows only opus."""
        payload = packet[OUT_HEADER_BYTES:]
        start = find_red_primary(payload)
        if start is None:
            self._counters.dropped["red_malformed"] += 1
            return
        marker = packet[1] & 128
        output.packets += 1
        output.octets += len(payload) - start
        if self.send(output, marker | output.payload_type, output.ssrc, sequence, timestamp, payload[start:]):
            self._counters.forwarded += 1

    def send(
        self, output: Output, second: int, ssrc: int, sequence: int, timestamp: int, payload: bytes,
        *, own_sequence: int | None = None,
    ) -> bool:  # fmt: skip
        """Send a payload under the output's offsets, from the spare buffer; slower than `_forward`.

        own_sequence   a number that is not to be shifted, for retransmissions
        """
        view, length = self._spare.view, self._length
        number = (sequence + output.sequence_offset) & 0xFFFF if own_sequence is None else own_sequence
        shifted = (timestamp + output.timestamp_offset) & 0xFFFFFFFF
        stamp = output.send_time_head and output.send_time_head | send_time(monotonic())
        _write_header(view, 0, OUT_FIRST_BYTE, second, number, shifted, ssrc, OUT_PROFILE, output.mid_word, stamp)
        view[OUT_HEADER_BYTES : OUT_HEADER_BYTES + len(payload)] = payload
        length[0] = OUT_HEADER_BYTES + len(payload)
        if self._protect(output.session, self._spare.pointer, length):
            self._counters.dropped["not_encrypted"] += 1
            return False
        return bool(self._port.send(view[: length[0]], output.address, output.socket))

    def resend(self, output: Output, sequence: int) -> bool:
        """Answer a NACK for a number of the output's stream, by RTX only.

        The same number sent again with another time of sending would use an AES-GCM nonce twice.
        """
        source = output.source
        if source is None or output.first is None or output.rtx_payload_type is None:
            self._counters.dropped["resend_impossible"] += 1
            return False
        original = (sequence - output.sequence_offset) & 0xFFFF
        packet = source.history.find(original)
        if packet is None or source.extend(original) < output.first or output.unwrap_red:
            self._counters.dropped["resend_too_old"] += 1
            return False
        _first, second, _sequence, timestamp, _ssrc = _read_header(packet, 0)
        payload = packet[OUT_HEADER_BYTES:]
        number = output.rtx_sequence
        output.rtx_sequence = (number + 1) & 0xFFFF
        sent = self.send(
            output, second & 128 | output.rtx_payload_type, output.rtx_ssrc, original, timestamp,
            struct.pack("!H", sequence) + payload, own_sequence=number,
        )  # fmt: skip
        self._counters.resent += sent
        return sent
