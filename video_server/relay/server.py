"""The relay process: its control socket, its timers, its beginning and end."""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import uvloop

from video_server.core.clock import monotonic
from video_server.core.errors import CannotStart
from video_server.core.log import configure, get_logger
from video_server.relay import sockets, transport
from video_server.relay.engine import Engine
from video_server.relay.feedback import TICK_SECONDS
from video_server.relay.protocol import (
    Drain,
    Event,
    Hello,
    LineSplitter,
    Refused,
    Reply,
    parse_request,
    render_message,
)
from video_server.relay.remote import KNOCK_SECONDS, MAX_KNOCK_BYTES, Listening, opens, serving_context

ORPHANED_AFTER_SECONDS = 600.0
"""Rooms outlive the web by so long: a restart of the web must not end a call."""

_MAX_UNSENT_BYTES = 4 << 20
_MAX_KNOCKING = 32
_GC_THRESHOLDS = (50_000, 50, 1000)
_log = get_logger(__name__)


@dataclass(frozen=True)
class RelaySettings:
    """How to run a relay.

    control       path of the Unix socket, made with mode 0600; or where other machines connect
    udp_port      0: any free one
    addresses     addresses told to browsers, best first; none: this machine's own and 127.0.0.1
    parent_pipe   end when standard input ends, that is with the process that started us
    forwarder     python, or compiled
    drains        a file that is there while it drains, so that it goes on with that when it died; None: it forgets
    """

    control: Path | Listening
    udp_port: int = 0
    addresses: tuple[str, ...] = ()
    parent_pipe: bool = False
    forwarder: str = "python"
    drains: Path | None = None


class _Control(asyncio.Protocol):
    """One control connection; from another machine it must show the secret before anything else."""

    def __init__(self, server: "_Server") -> None:
        self._server = server
        self._lines = LineSplitter()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._enter()

    def _enter(self) -> None:
        self._server.add(self)
        self.say(Hello(self._server.engine.instance))

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.remove(self)

    def data_received(self, data: bytes) -> None:
        self._hear(self._lines.feed(data))

    def _hear(self, lines: list[bytes | None]) -> None:
        for line in lines:
            if line is None:
                self.say(Reply(0, code="bad_request", detail="line too long"))
            elif line.strip():
                self.say(self._server.answer(line))

    def say(self, message: Hello | Reply | Event) -> None:
        connection = self._transport
        if connection is None or connection.is_closing():
            return
        if connection.get_write_buffer_size() > _MAX_UNSENT_BYTES:
            _log.warning("control_connection_too_slow")
            connection.abort()
            return
        connection.write(render_message(message))


class _Guarded(_Control):
    """A control connection from another machine."""

    def __init__(self, server: "_Server", secret: str) -> None:
        super().__init__(server)
        self._secret = secret
        self._lines = LineSplitter(MAX_KNOCK_BYTES)
        self._knocking = True

    def _enter(self) -> None:
        self._server.knocking.add(self)
        if len(self._server.knocking) > _MAX_KNOCKING:
            self._refuse()
        asyncio.get_running_loop().call_later(KNOCK_SECONDS, self._refuse)

    def connection_lost(self, exc: Exception | None) -> None:
        self._knocking = False
        self._server.knocking.discard(self)
        super().connection_lost(exc)

    def _hear(self, lines: list[bytes | None]) -> None:
        if self._knocking and lines:
            if lines[0] is None or not opens(lines.pop(0) or b"", self._secret):
                self._refuse()
                return
            self._knocking, self._lines = False, LineSplitter()
            self._server.knocking.discard(self)
            super()._enter()
        super()._hear(lines)

    def _refuse(self) -> None:
        if self._knocking and self._transport is not None:
            _log.warning("control_refused")
            self._knocking = False
            self._server.knocking.discard(self)
            self._transport.abort()


class _Server:
    """All control connections and the engine behind them."""

    def __init__(self, settings: RelaySettings, addresses: tuple[str, ...]) -> None:
        hosts = sockets.find_hosts(transport.find_own_addresses())
        self.engine = Engine(
            udp_hosts=hosts,
            udp_port=settings.udp_port,
            addresses=addresses,
            emit=self._emit,
            forwarder=settings.forwarder,
        )
        self._drains = settings.drains
        self.engine.draining = self._drains is not None and self._drains.exists()
        self.knocking: set[_Guarded] = set()
        self._connections: set[_Control] = set()
        self._alone_since = monotonic()

    def add(self, connection: _Control) -> None:
        self._connections.add(connection)

    def remove(self, connection: _Control) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._alone_since = monotonic()

    def answer(self, line: bytes) -> Reply:
        number, request = parse_request(line)
        if isinstance(request, Refused):
            return Reply(number, code=request.code, detail=request.detail)
        try:
            if isinstance(request, Drain) and self._drains is not None:
                note_drain(self._drains, on=request.on)
            return Reply(number, result=self.engine.handle(request))
        except Refused as refusal:
            return Reply(number, code=refusal.code, detail=refusal.detail)
        except Exception:  # noqa: BLE001 — logged with its trace; one bad request must not end all calls
            _log.exception("request_failed", op=request.op)
            return Reply(number, code="internal", detail="see the relay's log")

    def _emit(self, event: Event) -> None:
        for connection in list(self._connections):
            connection.say(event)

    async def tick_for_ever(self) -> None:
        """Call the engine's tick; how late we come shows how long the loop was held up."""
        due = monotonic()
        while True:
            due += TICK_SECONDS
            await asyncio.sleep(max(0.0, due - monotonic()))
            now = monotonic()
            self.engine.stalls.note(now - due, now=now)
            due = max(due, now - TICK_SECONDS)
            try:
                self.engine.tick(now=now)
            except Exception:  # noqa: BLE001 — logged with its trace; the next tick may do better
                _log.exception("tick_failed")
            alone = not self._connections and now - self._alone_since >= ORPHANED_AFTER_SECONDS
            if alone and self.engine.rooms.rooms:
                _log.warning("rooms_orphaned", rooms=len(self.engine.rooms.rooms))
                self.engine.close_all("orphaned")


async def run(settings: RelaySettings) -> None:
    """Serve until SIGTERM, SIGINT or the end of the parent's pipe. Raises CannotStart."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):  # explicitly: a shell's background job inherits SIGINT ignored
        loop.add_signal_handler(number, stop.set)
    if settings.parent_pipe:
        _watch_parent(loop, stop)
    addresses = settings.addresses or transport.find_own_addresses()
    try:
        server = _Server(settings, addresses)
    except OSError as error:
        raise CannotStart(f"The relay cannot use UDP port {settings.udp_port}: {error.strerror}.") from error
    engine = server.engine
    listener = await _listen(server, settings.control)
    for each in engine.port.sockets:
        loop.add_reader(each.fileno(), engine.forwarder.drain, each)
    ticking = loop.create_task(server.tick_for_ever())
    _log.info(
        "relay_ready",
        instance=engine.instance,
        udp_port=engine.port.number,
        addresses=len(addresses),
        forwarder=settings.forwarder,
    )
    gc.collect()
    gc.freeze()  # a full collection over everything imported holds packets up by tens of milliseconds
    gc.set_threshold(*_GC_THRESHOLDS)
    try:
        await stop.wait()
    finally:
        _log.info("relay_stopping", instance=engine.instance)
        if settings.drains is not None:
            note_drain(settings.drains, on=False)  # stopped on purpose: it drained for this
        ticking.cancel()
        listener.close()
        for each in engine.port.sockets:
            loop.remove_reader(each.fileno())
        await engine.close()
        if isinstance(settings.control, Path):
            with contextlib.suppress(FileNotFoundError):
                settings.control.unlink()


def main(settings: RelaySettings) -> None:
    """Run the relay in this process. Raises CannotStart."""
    configure("relay")
    uvloop.run(run(settings))


def note_drain(file: Path, *, on: bool) -> None:
    """Keep in mind that a relay drains, or that it does not any more. Raises OSError."""
    if on:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.touch(mode=0o600)
    else:
        file.unlink(missing_ok=True)


async def _listen(server: _Server, control: Path | Listening) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    if isinstance(control, Path):
        return await loop.create_unix_server(lambda: _Control(server), sock=_bind_control(control))
    context = serving_context(control)
    try:
        return await loop.create_server(
            lambda: _Guarded(server, control.secret), control.host, control.port, ssl=context
        )
    except OSError as error:
        raise CannotStart(
            f"The relay cannot listen on {control.host} port {control.port}: {error.strerror}."
        ) from error


def _bind_control(path: Path) -> socket.socket:
    """Return a listening socket at `path` that was never open to other users, not for a moment."""
    if path.is_socket():
        if _answers(path):
            raise CannotStart(f"Another relay is already running at {path}.")
        path.unlink()  # left over by a relay that was killed
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.setblocking(False)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise CannotStart(f"The relay cannot make its control socket {path}: {error.strerror or error}.") from error
    finally:
        os.umask(before)
    listener.listen()
    return listener


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _watch_parent(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    descriptor = sys.stdin.fileno()
    os.set_blocking(descriptor, False)

    def look() -> None:
        try:
            if os.read(descriptor, 4096):
                return
        except BlockingIOError:
            return
        except OSError as error:
            _log.warning("parent_pipe_broken", error_number=error.errno)
        loop.remove_reader(descriptor)
        stop.set()

    loop.add_reader(descriptor, look)
