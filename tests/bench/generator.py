"""The load generator: participants' sockets and keys in, packets sent, received and timed by generator.c."""

import asyncio
import ctypes
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from pylibsrtp import _binding

from tests.bench.figures import MissingTool

SOURCE = Path(__file__).parent / "generator.c"
BINS = 200_000
SECOND = 1_000_000_000


class _Peer(ctypes.Structure):
    _fields_ = (
        ("socket", ctypes.c_int32),
        ("rtcp_bytes", ctypes.c_uint32),
        ("protect", ctypes.c_void_p),
        ("unprotect", ctypes.c_void_p),
        ("rtcp_due", ctypes.c_int64),
        ("transport_number", ctypes.c_uint32),
        ("transport_cc", ctypes.c_uint8),
        ("send_time", ctypes.c_uint8),
        ("rtcp", ctypes.c_uint8 * 256),
    )


class _Stream(ctypes.Structure):
    _fields_ = (
        *[
            (name, ctypes.c_uint32)
            for name in ["peer", "ssrc", "payload_type", "sequence", "timestamp", "ticks", "packets", "payload_bytes"]
        ],
        ("every", ctypes.c_int64),
        ("due", ctypes.c_int64),
    )


class _Result(ctypes.Structure):
    _fields_ = (
        *[
            (name, ctypes.c_uint64)
            for name in ["sent", "received", "not_authentic", "foreign", "rtcp", "handed", "send_failed", "behind"]
        ],
        ("latency", ctypes.c_uint32 * (BINS + 1)),
    )


class _Route(ctypes.Structure):
    _fields_ = (("address", ctypes.c_uint32), ("port", ctypes.c_uint16), ("room", ctypes.c_uint16))


@dataclass(frozen=True)
class Stream:
    """What one microphone or camera sends: `packets` packets of `payload_bytes`, `per_second` times a second."""

    ssrc: int
    payload_type: int
    per_second: float
    packets: int
    payload_bytes: int
    clock_rate: int
    sequence: int = 0


@dataclass
class Participant:
    """A connected socket with its keys, and what to send over it.

    protect, unprotect   addresses of libsrtp sessions
    on_other             takes what is neither RTP nor RTCP
    """

    socket: socket.socket
    protect: int
    unprotect: int
    transport_cc: int
    send_time: int
    on_other: Callable[[bytes], None]
    streams: tuple[Stream, ...] = ()
    report: bytes = b""
    keep: list[object] = field(default_factory=list)


@dataclass(frozen=True)
class Result:
    """What one run saw. `latency`: how many packets took so many microseconds; the last for all beyond."""

    seconds: float
    sent: int
    received: int
    not_authentic: int
    foreign: int
    rtcp: int
    handed: int
    send_failed: int
    behind: int
    latency: list[int]


def build(source: Path = SOURCE) -> ctypes.CDLL:
    """Compile the generator for this machine and load it. Raises MissingTool."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise MissingTool("gcc", "gcc libc6-dev")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "generator.so"
        subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", target, source], check=True)
        return ctypes.CDLL(str(target), use_errno=True)


def _function(name: str) -> ctypes.c_void_p:
    pointer = _binding.ffi.addressof(_binding.lib, name)
    return ctypes.c_void_p(int(_binding.ffi.cast("uintptr_t", pointer)))


class Generator:
    """Runs the load of all participants in a thread, while this loop goes on answering what else they are asked."""

    def __init__(self) -> None:
        """Compile."""
        self._library = build()
        self._functions = [_function(name) for name in ("srtp_protect", "srtp_unprotect", "srtp_protect_rtcp")]
        self._participants: list[Participant] = []
        self._peers: list[_Peer] = []
        self._streams: list[_Stream] = []
        self._inner, self._outer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._inner.setblocking(False)
        asyncio.get_running_loop().add_reader(self._inner.fileno(), self._take_other)

    def close(self) -> None:
        """Forget all."""
        asyncio.get_running_loop().remove_reader(self._inner.fileno())
        self._inner.close()
        self._outer.close()

    def add(self, participant: Participant, *, phase: float) -> None:
        """Let a participant send from the next run on.

        phase   0 to 1: where in its interval each of its streams begins, so that not all send at once
        """
        participant.socket.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS
        participant.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        number = len(self._participants)
        self._participants.append(participant)
        self._peers.append(
            _Peer(
                participant.socket.fileno(), len(participant.report), participant.protect, participant.unprotect,
                int(phase * SECOND), 0, participant.transport_cc, participant.send_time,
                (ctypes.c_uint8 * 256)(*participant.report),
            )
        )  # fmt: skip
        for each in participant.streams:
            every = int(SECOND / each.per_second)
            self._streams.append(
                _Stream(
                    number, each.ssrc, each.payload_type, each.sequence, 0, int(each.clock_rate / each.per_second),
                    each.packets, each.payload_bytes, every, int(phase * every),
                )
            )  # fmt: skip

    async def run(self, seconds: float, *, sending: bool = True) -> Result:
        """Send and receive for a while."""
        peers = (_Peer * len(self._peers))(*self._peers)
        streams = (_Stream * len(self._streams))(*self._streams)
        result = _Result()
        now = _now()
        for stream in streams:
            stream.due = now + (stream.due - now) % stream.every if stream.due < now else stream.due
        for peer in peers:
            peer.rtcp_due = now + (peer.rtcp_due - now) % SECOND if peer.rtcp_due < now else peer.rtcp_due

        def work() -> int:
            take_precedence(0, above=1)
            return int(
                self._library.run(
                    *self._functions, peers, len(peers), streams, len(streams), self._outer.fileno(),
                    ctypes.c_int64(int(seconds * SECOND)), int(sending), ctypes.byref(result),
                )
            )  # fmt: skip

        begun = _now()
        with ThreadPoolExecutor(1) as threads:  # one of its own each time: its precedence ends with it
            error = await asyncio.get_running_loop().run_in_executor(threads, work)
        if error:
            raise OSError(error, os.strerror(error))
        self._peers, self._streams = list(peers), list(streams)
        figures = {name: getattr(result, name) for name, _ in _Result._fields_ if name != "latency"}
        return Result((_now() - begun) / SECOND, **figures, latency=list(result.latency))

    def _take_other(self) -> None:
        while True:
            try:
                message = self._inner.recv(4096)
            except BlockingIOError:
                return
            self._participants[int.from_bytes(message[:4], "little")].on_other(message[4:])


def _now() -> int:
    return time.monotonic_ns()


def take_precedence(process: int, *, above: int = 0) -> bool:
    """Let a process or thread (0: this one) run before all that is not part of the bench, where we may."""
    try:
        os.sched_setscheduler(process, os.SCHED_RR, os.sched_param(2 + above))
    except PermissionError:
        return False
    return True


def forward_bare(port: socket.socket, rooms: list[list[tuple[str, int]]]) -> None:
    """Forward each datagram to the others of its room, with no other work, until killed."""
    library = build()
    routes = [
        _Route(int.from_bytes(socket.inet_aton(host), "little"), socket.htons(number), room)
        for room, members in enumerate(rooms)
        for host, number in members
    ]
    library.forward_bare(port.fileno(), (_Route * len(routes))(*routes), len(routes))
