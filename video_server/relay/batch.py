"""Many datagrams with one system call: Linux's recvmmsg and sendmmsg over buffers that stay where they are.

Python's own socket calls make an address tuple, a control list and often an exception for every datagram, and that cost
more than the kernel's part and the encryption together. Here the kernel writes into arrays and reads from arrays, laid
out as in <sys/socket.h>; `forward.py` reads and writes them through memoryviews.
"""

import ctypes
import errno
import os
import socket
import struct
from typing import Final

from video_server.relay.arrival import SO_TIMESTAMPNS
from video_server.relay.counters import Counters
from video_server.relay.sockets import Address
from video_server.relay.srtp import PACKET_BYTES, SENT_BYTES, PacketBuffer

RECEIVE_SLOTS: Final = 64
SEND_SLOTS: Final = 32
"""Fewer than are received at once: who waits until all of a batch is encrypted waits too long."""

HEADROOM: Final = 32
"""Spare bytes before a datagram: more than the 24 - 12 by which our header may exceed the one received."""

STRIDE: Final = HEADROOM + PACKET_BYTES
PLACE_BYTES: Final = 32
_CONTROL_BYTES = 32  # a header of 16 and a timespec
_STAMPED = [_CONTROL_BYTES] * RECEIVE_SLOTS
_FULL = frozenset({errno.EAGAIN, errno.ENOBUFS})


class _Part(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_bytes", ctypes.c_uint32),
        ("parts", ctypes.c_void_p),
        ("part_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_bytes", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    _fields_ = (("header", _Header), ("received_bytes", ctypes.c_uint32))


_MESSAGE_WORDS = ctypes.sizeof(_Message) // 4
_RECEIVED_WORD = _Message.received_bytes.offset // 4
_CONTROL_WORD = _Header.control_bytes.offset // 4
_libc = ctypes.CDLL(None, use_errno=True)
_receive_many = _libc.recvmmsg
_receive_many.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
_send_many = _libc.sendmmsg
_send_many.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)

_SOCKADDR = struct.Struct("=H2s4s8x")
_SOCKADDR6 = struct.Struct("=H2s4s16sL")


def pack_place(address: Address) -> bytes:
    """Return an address as the kernel has it: sockaddr_in or sockaddr_in6. Flow and scope may be left out."""
    host, number, *rest = address
    port = number.to_bytes(2, "big")
    if ":" not in host:
        return _SOCKADDR.pack(socket.AF_INET, port, socket.inet_pton(socket.AF_INET, host))
    flow, scope = rest or (0, 0)
    return _SOCKADDR6.pack(
        socket.AF_INET6, port, flow.to_bytes(4, "big"), socket.inet_pton(socket.AF_INET6, host), scope
    )


def unpack_place(place: bytes) -> Address:
    """Undo `pack_place`."""
    port = int.from_bytes(place[2:4], "big")
    if len(place) == _SOCKADDR.size:
        return socket.inet_ntop(socket.AF_INET, place[4:8]), port
    _, _, flow, host, scope = _SOCKADDR6.unpack(place)
    return socket.inet_ntop(socket.AF_INET6, host), port, int.from_bytes(flow, "big"), scope


class _Slots:
    """Messages of one part each, with a name of this family and, if wanted, control data."""

    def __init__(self, count: int, stride: int, headroom: int, name_bytes: int, control_bytes: int) -> None:
        self.buffer = PacketBuffer(count * stride)
        self.view = self.buffer.view
        self.pointers = [self.buffer.at(slot * stride + headroom) for slot in range(count)]
        self._names = ctypes.create_string_buffer(count * PLACE_BYTES)
        self._control = ctypes.create_string_buffer(count * _CONTROL_BYTES)
        self.names = memoryview(self._names).cast("B")
        self.control = memoryview(self._control).cast("B")
        self._parts = (_Part * count)()
        self.lengths = memoryview(self._parts).cast("B").cast("Q")  # of each part: every second word
        self.messages = (_Message * count)()
        for slot, (part, message) in enumerate(zip(self._parts, self.messages, strict=True)):
            part.base, part.length = self.buffer.address + slot * stride + headroom, stride - headroom
            header = message.header
            header.name = ctypes.addressof(self._names) + slot * PLACE_BYTES
            header.name_bytes = name_bytes
            header.parts, header.part_count = ctypes.addressof(part), 1
            if control_bytes:
                header.control = ctypes.addressof(self._control) + slot * _CONTROL_BYTES
                header.control_bytes = control_bytes


def _count_place_bytes(sock: socket.socket) -> int:
    return _SOCKADDR6.size if sock.family == socket.AF_INET6 else _SOCKADDR.size


class Inbox:
    """What one socket receives at once.

    view       all slots; slot n's datagram begins at n * STRIDE + HEADROOM
    pointers   the same for the C functions
    messages   struct mmsghdr[RECEIVE_SLOTS] of socket `number`, for the compiled forwarder
    sizes      bytes of each datagram received last
    senders    where each came from, as something to look up by; `get_address` says it in words
    stamps     wall-clock seconds at which each came; empty where the kernel did not say
    """

    def __init__(self, sock: socket.socket) -> None:
        """Ask the kernel to stamp each datagram."""
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.number = sock.fileno()
        self._place_bytes = _count_place_bytes(sock)
        self._slots = slots = _Slots(RECEIVE_SLOTS, STRIDE, HEADROOM, self._place_bytes, _CONTROL_BYTES)
        self.view, self.pointers, self.messages = slots.view, slots.pointers, slots.messages
        raw = memoryview(slots.messages).cast("B")
        self._words = raw.cast("I")
        self._raw, self._fresh = raw, bytes(raw)
        self._seconds = slots.control.cast("q")
        self._hosts = slots.names.cast("Q")  # the first word of a sockaddr_in: family, port and address
        self.sizes: list[int] = []
        self.senders: list[int] | list[bytes] = []
        self.stamps: list[float] = []

    def receive(self) -> int:
        """Take what has come, at most RECEIVE_SLOTS; return how many. Raises OSError."""
        count: int = _receive_many(self.number, self._slots.messages, RECEIVE_SLOTS, socket.MSG_DONTWAIT, None)
        if count <= 0:
            number = ctypes.get_errno()
            if count and number not in (errno.EAGAIN, errno.EINTR):
                raise OSError(number, os.strerror(number))
            return 0
        words, end = self._words, _MESSAGE_WORDS * count
        self.sizes = words[_RECEIVED_WORD:end:_MESSAGE_WORDS].tolist()
        if self._place_bytes == _SOCKADDR.size:
            self.senders = self._hosts[: 4 * count : 4].tolist()
        else:
            self.senders = [self._get_place(slot) for slot in range(count)]
        if words[_CONTROL_WORD:end:_MESSAGE_WORDS].tolist() == _STAMPED[:count]:
            whole, nano = self._seconds[2 : 4 * count : 4].tolist(), self._seconds[3 : 4 * count : 4].tolist()
            self.stamps = [seconds + 1e-9 * rest for seconds, rest in zip(whole, nano, strict=True)]
        else:
            self.stamps = []
            self._raw[:] = self._fresh  # the kernel has written over what it was told of room for a stamp
        return count

    def _get_place(self, slot: int) -> bytes:
        return bytes(self._slots.names[slot * PLACE_BYTES : slot * PLACE_BYTES + self._place_bytes])

    def get_address(self, slot: int) -> Address:
        """Return where the datagram in a slot came from."""
        return unpack_place(self._get_place(slot))


class Outbox:
    """What leaves by one socket at once. The hot path fills slot `count` inline, as `put` does, and counts it up.

    view       all slots; slot n begins at n * SENT_BYTES
    pointers   the same for the C functions
    lengths    bytes of slot n, at 2 * n + 1
    names      where slot n goes (pack_place), at n * PLACE_BYTES
    messages   struct mmsghdr[SEND_SLOTS] of socket `number`, for the compiled forwarder
    """

    __slots__ = ("_counters", "_slots", "count", "lengths", "messages", "names", "number", "pointers", "view")

    def __init__(self, sock: socket.socket, counters: Counters) -> None:
        """Begin empty."""
        self.number = sock.fileno()
        self._counters = counters
        self._slots = _Slots(SEND_SLOTS, SENT_BYTES, 0, _count_place_bytes(sock), 0)
        self.view, self.pointers = self._slots.view, self._slots.pointers
        self.lengths, self.names, self.messages = self._slots.lengths, self._slots.names, self._slots.messages
        self.count = 0

    def put(self, length: int, place: bytes) -> None:
        """Let the packet in slot `count` go; send all when there is no room for another."""
        slot = self.count
        self.lengths[2 * slot + 1] = length
        self.names[PLACE_BYTES * slot : PLACE_BYTES * slot + len(place)] = place
        self.count = slot + 1
        if self.count == SEND_SLOTS:
            self.flush()

    def flush(self, at: int = 0) -> None:
        """Send all from slot `at` on; what a full or unreachable network does not take is dropped and counted."""
        count, self.count = self.count, 0
        messages = ctypes.addressof(self._slots.messages)
        while at < count:
            sent = _send_many(self.number, messages + 4 * _MESSAGE_WORDS * at, count - at, socket.MSG_DONTWAIT)
            if sent > 0:
                self._counters.forwarded += sent
                at += sent
                continue
            full = ctypes.get_errno() in _FULL
            self._counters.dropped["send_buffer_full" if full else "send_failed"] += 1
            at += 1
