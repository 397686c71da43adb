"""The hot path: from a datagram on the port to datagrams on their way, up to 64 a wake-up, without a task or a queue.

Life of a packet: received into one buffer behind 32 spare bytes; decrypted in place; header and extensions replaced
by the 24 bytes we send (in front of the payload, over what stood there); kept in the history; for every receiver the
header is written again with its numbers, encrypted and sent. The last receiver is served in place, the others from
a copy. Everything here runs per packet: attribute look-ups and allocations count.
"""

import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Any

from video_server.core.clock import monotonic
from video_server.relay import transport
from video_server.relay.arrival import CONTROL_BYTES, SO_TIMESTAMPNS, TIMESPEC, ArrivalClock
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
from video_server.relay.streams import Output, Source

BATCH = 64
_HEADROOM = 32  # more than the 24 - 12 bytes by which our header may exceed the one received; keeps words aligned
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
        """Allocate the two buffers and ask the kernel for arrival times."""
        self._port = port
        self._links = port.links
        self._counters = counters
        self._on_source, self._on_rtcp, self._on_other, self._on_gap = on_source, on_rtcp, on_other, on_gap
        self._protect, self._unprotect = protect, unprotect
        self._in = transport.PacketBuffer()
        self._out = transport.PacketBuffer()
        self._inbox = self._in.view[_HEADROOM : _HEADROOM + transport.PACKET_BYTES]
        self._inbox_pointer = self._in.at(_HEADROOM)
        self._length = transport.new_length()
        self._arrivals = ArrivalClock()
        for each in port.sockets:
            _ask_for_stamps(each)

    def drain(self, sock: socket.socket) -> None:
        """Take up to BATCH datagrams from one of the port's sockets; the loop calls again while there are more."""
        receive = sock.recvmsg_into
        inbox = self._inbox
        buffers = [inbox]
        now = monotonic()
        for _ in range(BATCH):
            try:
                size, control, _flags, address = receive(buffers, CONTROL_BYTES)
            except BlockingIOError:
                return
            except OSError:
                self._counters.dropped["receive_failed"] += 1
                return
            if size == 0:
                self._counters.dropped["empty"] += 1
                continue
            link = self._links.get(address)
            if link is None or link.media is None or not 127 < inbox[0] < 192 or size < 12:
                self._on_other(bytes(inbox[:size]), address, sock)
                continue
            if 191 < inbox[1] < 224:
                self._on_rtcp(link.media, bytes(inbox[:size]))
                continue
            arrived = now
            if control:
                seconds, nanoseconds = TIMESPEC.unpack_from(control[0][2])
                arrived = self._arrivals.at(seconds + nanoseconds * 1e-9, now=now)
            self.take(link.media, size, now, arrived)

    def take(self, peer: Peer, size: int, now: float, arrived: float) -> None:
        """Handle one RTP packet of `size` bytes in the inbox. Layout of `inbox` as on the wire."""
        counters = self._counters
        inbox = self._inbox
        length = self._length
        length[0] = size
        status = self._unprotect(peer.rx, self._inbox_pointer, length)
        if status:
            counters.dropped["replayed" if status in transport.REPLAY_ERRORS else "not_authentic"] += 1
            return
        size = length[0]
        peer.link.heard_at = now
        counters.received += 1
        peer.credit -= size + PACKET_COST
        if peer.credit < 0:
            counters.dropped["too_much"] += 1
            return
        first, second, sequence, timestamp, ssrc = _read_header(inbox, 0)
        start = 12 + 4 * (first & 15)
        if first & 16:
            if start + 4 > size:
                counters.dropped["rtp_malformed"] += 1
                return
            block = start
            start += 4 + 4 * (inbox[start + 2] << 8 | inbox[start + 3])
            wanted = peer.transport_cc_byte
            if wanted and start <= size:
                at = block + 4
                while at < start:
                    head = inbox[at]
                    if head == wanted:
                        if at + 2 < start:
                            peer.arrivals.note(inbox[at + 1] << 8 | inbox[at + 2], arrived)
                        break
                    at += 1 if head == 0 else 2 + (head & 15)
        if first & 32:
            size -= inbox[size - 1] or size  # padding of no bytes is malformed: fails below
        if start > size:
            counters.dropped["rtp_malformed"] += 1
            return
        payload_type = second & 127
        source = peer.sources.get(ssrc)
        if source is None:
            original = peer.rtx_sources.get(ssrc)
            if original is not None:
                self._take_rtx(original, payload_type, second, start, size, timestamp, now)
                return
        if source is None or source.payload_type != payload_type:
            source = self._on_source(peer, ssrc, payload_type, bytes(inbox[12 + 4 * (first & 15) : start]))
            if source is None:
                return
        self._forward(source, sequence, timestamp, second & 128, start, size, now)

    def _take_rtx(
        self, source: Source, payload_type: int, second: int, start: int, size: int, timestamp: int, now: float
    ) -> None:
        """Unwrap a retransmission (RFC 4588 section 4); those without payload only probe the path."""
        counters = self._counters
        counters.rtx_received += 1
        if payload_type != source.owner.rtx_payload_type(source):
            counters.dropped["wrong_payload_type"] += 1
            return
        if size - start < 2:
            return
        sequence = self._inbox[start] << 8 | self._inbox[start + 1]
        if not source.started:
            counters.dropped["rtx_unknown"] += 1
            return
        self._forward(source, sequence, timestamp, second & 128, start + 2, size, now)

    def _forward(
        self, source: Source, sequence: int, timestamp: int, marker: int, start: int, size: int, now: float
    ) -> None:
        """Send the payload at inbox[start:size] to every output of the source."""
        newest = source.highest
        gap = source.take(sequence, timestamp, now=now)
        if gap < 0:
            self._counters.dropped["late_or_duplicate"] += 1
            return
        if gap:
            self._on_gap(source, (newest + 1) & 0xFFFF, gap)
        source.seen_at = now
        source.octets += size - start
        here = start + _HEADROOM - OUT_HEADER_BYTES
        whole = size - start + OUT_HEADER_BYTES
        view = self._in.view
        _write_header(
            view, here, OUT_FIRST_BYTE, marker | source.payload_type, sequence, timestamp, 0, OUT_PROFILE, 0, 0
        )
        history = source.history
        history.sequences[sequence & MASK] = sequence
        history.packets[sequence & MASK] = bytes(view[here : here + whole])

        outputs = source.outputs
        if not outputs:
            return
        late = sequence != source.highest
        extended = source.extend(sequence)
        protect, length = self._protect, self._length
        pointer = self._in.at(here)
        spare, spare_view = self._out.pointer, self._out.view
        left = len(outputs)
        stamp = send_time(now)
        aligned = here & 3 == 0  # libsrtp wants words where words belong; an unwrapped RTX is two bytes off
        for output in outputs:
            left -= 1
            if output.first is None:
                if late:
                    continue
                output.begin(sequence, timestamp, extended, now=now)
            elif late and extended < output.first:
                continue
            if output.unwrap_red:
                self._send_unwrapped(output, view[here : here + whole], sequence, timestamp)
                continue
            output.packets += 1
            output.octets += whole - OUT_HEADER_BYTES
            if left or not aligned:
                transport.copy_memory(spare, pointer, whole)
                target, target_view, at = spare, spare_view, 0
            else:
                target, target_view, at = pointer, view, here
            _write_header(
                target_view, at, OUT_FIRST_BYTE, marker | output.payload_type,
                (sequence + output.sequence_offset) & 0xFFFF, (timestamp + output.timestamp_offset) & 0xFFFFFFFF,
                output.ssrc, OUT_PROFILE, output.mid_word, output.send_time_head and output.send_time_head | stamp,
            )  # fmt: skip
            length[0] = whole
            if protect(output.session, target, length):
                self._counters.dropped["not_encrypted"] += 1
                continue
            try:
                output.sendto(target_view[at : at + length[0]], output.address)
                self._counters.forwarded += 1
            except BlockingIOError:
                self._counters.dropped["send_buffer_full"] += 1
            except OSError:
                self._counters.dropped["send_failed"] += 1

    def _send_unwrapped(self, output: Output, packet: memoryview, sequence: int, timestamp: int) -> None:
        """Send the newest block of a RED packet to a receiver that knows only opus."""
        payload = bytes(packet[OUT_HEADER_BYTES:])
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
        view, length = self._out.view, self._length
        number = (sequence + output.sequence_offset) & 0xFFFF if own_sequence is None else own_sequence
        shifted = (timestamp + output.timestamp_offset) & 0xFFFFFFFF
        stamp = output.send_time_head and output.send_time_head | send_time(monotonic())
        _write_header(view, 0, OUT_FIRST_BYTE, second, number, shifted, ssrc, OUT_PROFILE, output.mid_word, stamp)
        view[OUT_HEADER_BYTES : OUT_HEADER_BYTES + len(payload)] = payload
        length[0] = OUT_HEADER_BYTES + len(payload)
        if self._protect(output.session, self._out.pointer, length):
            self._counters.dropped["not_encrypted"] += 1
            return False
        return bool(self._port.send(view[: length[0]], output.address, output.sendto))

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


def _ask_for_stamps(sock: socket.socket) -> None:
    """Have the kernel stamp each datagram; without stamps our own clock serves, less exactly."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
