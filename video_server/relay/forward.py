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
from video_server.relay import srtp
from video_server.relay.arrival import ArrivalClock
from video_server.relay.batch import HEADROOM, PLACE_BYTES, SEND_SLOTS, STRIDE, Inbox, Outbox
from video_server.relay.counters import Counters
from video_server.relay.history import MASK
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
from video_server.relay.sockets import Address
from video_server.relay.streams import Output, Source

_read_header = HEADER.unpack_from
_write_header = OUT_HEADER.pack_into


class Forwarder:
    """Reads the port and forwards.

    on_source   called with (peer, ssrc, payload type, extension block) for an SSRC or payload type not seen before;
                returns the source, or None to drop
    on_rtcp     called with (peer, datagram) for RTCP, still encrypted
    on_other    called with (datagram, address, socket) for everything that is not media of a known address
    on_gap      called with (source, first missing, count) when packets are missing
    cipher      SRTP; tests pass their own
    known       what an inbox calls a sender -> its link
    stamp       the time of sending of the present batch, see rtp.send_time
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
        cipher: srtp.Cipher = srtp.SRTP,
    ) -> None:
        """Make the boxes of each socket of the port."""
        self._port = port
        self._links = port.links
        self._counters = counters
        self._on_source, self._on_rtcp, self._on_other, self._on_gap = on_source, on_rtcp, on_other, on_gap
        self._protect, self._unprotect = cipher.protect, cipher.unprotect
        self._spare = srtp.PacketBuffer()
        self._length = srtp.new_length()
        self._arrivals = ArrivalClock()
        self.known: dict[Any, Any] = {}
        self._changes = -1
        self.stamp = 0
        self.inboxes = {each: Inbox(each) for each in port.sockets}
        self.outboxes = {each: Outbox(each, counters) for each in port.sockets}

    def drain(self, sock: socket.socket) -> None:
        """Take what has come to one of the port's sockets, up to a batch; the loop calls again while there is more."""
        inbox = self.inboxes[sock]
        try:
            count = inbox.receive()
        except OSError:
            self.drop("receive_failed")
            return
        if not count:
            return
        stamps = inbox.stamps
        now, shift = self.begin(stamps[-1] if stamps else None)
        arrivals = [stamp + shift for stamp in stamps] or [now] * count
        view, known = inbox.view, self.known
        begin = HEADROOM
        for slot, (size, sender, arrived) in enumerate(zip(inbox.sizes, inbox.senders, arrivals, strict=True)):
            link = known.get(sender) or self.find_link(inbox, slot, sender)
            media = link and link.media
            if media is None or size < 12 or not 127 < view[begin] < 192 or 191 < view[begin + 1] < 224:
                self.take_other(sock, inbox, slot, size, media)
            else:
                self.take(media, inbox, slot, size, now, arrived)
            begin += STRIDE
        self.flush()

    def begin(self, newest: float | None) -> tuple[float, float]:
        """Begin a batch; return what time it is, and what to add to the kernel's stamps to have the same clock's.

        newest   the last datagram's stamp, where it has one
        """
        now = monotonic()
        self.stamp = send_time(now)
        if self._changes != self._port.changes:
            self._changes = self._port.changes
            self.known.clear()
        return now, 0.0 if newest is None else self._arrivals.shift(newest, now=now)

    def find_link(self, inbox: Inbox, slot: int, sender: Any) -> Any:
        """Return the link to which the sender's address belongs, and remember it until such things change."""
        link = self._links.get(inbox.get_address(slot))
        if link is not None:
            self.known[sender] = link
        return link

    def take_other(self, sock: socket.socket, inbox: Inbox, slot: int, size: int, peer: Peer | None) -> None:
        """Hand on a datagram that is no RTP packet of a connected peer."""
        begin = slot * STRIDE + HEADROOM
        data = bytes(inbox.view[begin : begin + size])
        if not data:
            self.drop("empty")
        elif peer is not None and size >= 12 and 127 < data[0] < 192:
            self._on_rtcp(peer, data)
        else:
            self._on_other(data, inbox.get_address(slot), sock)

    def drop(self, reason: str) -> None:
        """Count what goes no further."""
        self._counters.dropped[reason] += 1

    def refuse(self, status: int) -> None:
        """Count a packet that could not be decrypted."""
        self.drop("replayed" if status in srtp.REPLAY_ERRORS else "not_authentic")

    def flush(self) -> None:
        """Send what is still in the outboxes."""
        for outbox in self.outboxes.values():
            if outbox.count:
                outbox.flush()

    def take(self, peer: Peer, inbox: Inbox, slot: int, size: int, now: float, arrived: float) -> None:
        """Handle one RTP packet of `size` bytes in a slot of the inbox, as on the wire."""
        length = self._length
        length[0] = size
        status = self._unprotect(peer.rx.pointer, inbox.pointers[slot], length)
        if status:
            self.refuse(status)
            return
        size = length[0]
        peer.link.heard_at = now
        self._counters.received += 1
        peer.credit -= size + PACKET_COST
        if peer.credit < 0:
            self.drop("too_much")
            return
        self.take_clear(peer, inbox, slot, size, now, arrived)

    def take_clear(self, peer: Peer, inbox: Inbox, slot: int, size: int, now: float, arrived: float) -> None:
        """Handle one authentic RTP packet of `size` bytes in a slot of the inbox, decrypted."""
        view = inbox.view
        begin = slot * STRIDE + HEADROOM
        end = begin + size
        first, second, sequence, timestamp, ssrc = _read_header(view, begin)
        block = start = begin + 12 + 4 * (first & 15)
        if first & 16:
            if start + 4 > end:
                self.drop("rtp_malformed")
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
            self.drop("rtp_malformed")
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
        self._counters.rtx_received += 1
        if payload_type != source.owner.rtx_payload_type(source):
            self.drop("wrong_payload_type")
            return
        if end - start < 2:
            return
        sequence = view[start] << 8 | view[start + 1]
        if not source.started:
            self.drop("rtx_unknown")
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
            self.drop("late_or_duplicate")
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
            history.packets[sequence & MASK] = packet

        outputs = source.outputs
        if not outputs:
            return
        late = sequence != source.highest
        extended = source.extend(sequence)
        protect, length, outboxes = self._protect, self._length, self.outboxes
        stamp = self.stamp
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
            at = slot * srtp.SENT_BYTES
            outbox.view[at : at + whole] = packet
            _write_header(
                outbox.view, at, OUT_FIRST_BYTE, marker | output.payload_type,
                (sequence + output.sequence_offset) & 0xFFFF, (timestamp + output.timestamp_offset) & 0xFFFFFFFF,
                output.ssrc, OUT_PROFILE, output.mid_word, output.send_time_head and output.send_time_head | stamp,
            )  # fmt: skip
            length[0] = whole
            if protect(output.session.pointer, outbox.pointers[slot], length):
                self.drop("not_encrypted")
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
            self.drop("red_malformed")
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
        if self._protect(output.session.pointer, self._spare.pointer, length):
            self.drop("not_encrypted")
            return False
        return bool(self._port.send(view[: length[0]], output.address, output.socket))

    def resend(self, output: Output, sequence: int) -> bool:
        """Answer a NACK for a number of the output's stream, by RTX only.

        The same number sent again with another time of sending would use an AES-GCM nonce twice.
        """
        source = output.source
        if source is None or output.first is None or output.rtx_payload_type is None:
            self.drop("resend_impossible")
            return False
        original = (sequence - output.sequence_offset) & 0xFFFF
        packet = source.history.find(original)
        if packet is None or source.extend(original) < output.first or output.unwrap_red:
            self.drop("resend_too_old")
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
