"""The web process's end of the control channel. Knows nothing of media."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from video_server.core.log import get_logger
from video_server.relay.protocol import (
    PUBLISHABLE,
    Admit,
    AudioOnly,
    CloseRoom,
    Drain,
    Event,
    Hello,
    Hold,
    Join,
    Leave,
    LineSplitter,
    Permit,
    Reply,
    Request,
    RestartIce,
    Status,
    parse_message,
    render_request,
)
from video_server.relay.remote import Remote, asking_context, render_knock

Control = Path | Remote
"""Where a relay takes requests: its Unix socket, or another machine."""

REQUEST_SECONDS = 10.0
_log = get_logger(__name__)


class RelayRefused(Exception):
    """The relay said no.

    code   stale_epoch, bad_offer, unknown_room, unknown_participant, full, draining, bad_request
    """

    def __init__(self, code: str, detail: str = "") -> None:
        """Keep the code."""
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code


class RelayLost(Exception):
    """The connection to the relay is gone; what was asked may or may not have happened."""


@dataclass(frozen=True)
class RelayEvent:
    """What the relay reports.

    name   connected, media, slots, rung, quality, silent, heard, gone, left
    data   as the relay's README shows for each
    """

    name: str
    room: str
    participant: str
    data: Mapping[str, Any]


class RelayClient:
    """One connection to one relay; several requests may be under way at once."""

    instance: str
    """Random id of the relay process's life: another one means that all its rooms are gone."""

    def __init__(self, on_event: Callable[[RelayEvent], None], on_lost: Callable[[], None]) -> None:
        """Use `connect` instead."""
        self._on_event = on_event
        self._on_lost = on_lost
        self._waiting: dict[int, asyncio.Future[Mapping[str, Any]]] = {}
        self._last_id = 0
        self._closed = False
        self._reader: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._hello: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @classmethod
    async def connect(
        cls, control: Control, *, on_event: Callable[[RelayEvent], None], on_lost: Callable[[], None]
    ) -> "RelayClient":
        """Connect to the relay. Raises RelayLost.

        on_event   called in the loop for each event, in order
        on_lost    called once when the connection ends, unless `close` ended it
        """
        client = cls(on_event, on_lost)
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                reader, client._writer = await _open(control)
                client._reader = asyncio.create_task(client._read(reader))
                client.instance = await client._hello
        except (OSError, TimeoutError) as error:  # RelayLost comes through from _read
            await client.close()
            raise RelayLost(str(error) or type(error).__name__) from error
        except RelayLost:
            await client.close()
            raise
        return client

    async def join(
        self,
        *,
        room: str,
        epoch: int,
        participant: str,
        offer: str,
        admitted: bool,
        echo: bool = False,
        publish: Sequence[str] = PUBLISHABLE,
    ) -> str:
        """Bring a participant in; return the SDP answer. Raises RelayRefused, RelayLost."""
        return await self._ask_answer(Join(room, epoch, participant, offer, admitted, echo, tuple(publish)))

    async def restart_ice(self, *, room: str, epoch: int, participant: str, offer: str) -> str:
        """Give a participant's connection a new path; return the SDP answer. Raises RelayRefused, RelayLost."""
        return await self._ask_answer(RestartIce(room, epoch, participant, offer))

    async def admit(self, *, room: str, epoch: int, participant: str, admitted: bool) -> None:
        """Let a participant in, or send it back to wait. Raises RelayRefused, RelayLost."""
        await self._ask(Admit(room, epoch, participant, admitted))

    async def permit(self, *, room: str, epoch: int, participant: str, publish: Sequence[str]) -> None:
        """Say anew what a participant may publish: "audio", "video", "screen". Raises RelayRefused, RelayLost."""
        await self._ask(Permit(room, epoch, participant, tuple(publish)))

    async def audio_only(self, *, room: str, epoch: int, participant: str, on: bool) -> None:
        """Let a participant neither see nor be seen, as it wishes. Raises RelayRefused, RelayLost."""
        await self._ask(AudioOnly(room, epoch, participant, on))

    async def leave(self, *, room: str, epoch: int, participant: str) -> None:
        """End a participant's connection. Raises RelayRefused, RelayLost."""
        await self._ask(Leave(room, epoch, participant))

    async def hold(self, *, room: str, epoch: int, held: bool, version: int = 0) -> None:
        """Stop everything in a room, also in one not joined yet, or let it go on. Raises RelayRefused, RelayLost."""
        await self._ask(Hold(room, epoch, held, version))

    async def close_room(self, *, room: str, epoch: int) -> None:
        """End everybody's connection. Raises RelayRefused, RelayLost."""
        await self._ask(CloseRoom(room, epoch))

    async def drain(self, *, on: bool) -> None:
        """Have the relay refuse rooms it does not hold, or take them again. Raises RelayLost."""
        await self._ask(Drain(on))

    async def status(self) -> dict[str, Any]:
        """Return the relay's figures. Raises RelayLost."""
        return dict(await self._ask(Status()))

    async def close(self) -> None:
        """Close the connection; the relay goes on."""
        self._closed = True
        if self._writer is not None:
            self._writer.close()
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        self._fail_all()

    async def _ask_answer(self, request: Join | RestartIce) -> str:
        return str((await self._ask(request))["answer"])

    async def _ask(self, request: Request) -> Mapping[str, Any]:
        if self._closed or self._writer is None:
            raise RelayLost("the connection is closed")
        self._last_id += 1
        number = self._last_id
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                self._writer.write(render_request(number, request))
                await self._writer.drain()
                result: Mapping[str, Any] = await future
                return result
        except TimeoutError as error:
            raise RelayLost("the relay did not answer in time") from error
        except OSError as error:
            raise RelayLost("the connection broke") from error
        finally:
            self._waiting.pop(number, None)
            if future.done() and not future.cancelled():
                future.exception()  # seen: nobody waits for it any more

    async def _read(self, reader: asyncio.StreamReader) -> None:
        lines = LineSplitter()
        try:
            while data := await reader.read(65536):
                for line in lines.feed(data):
                    if line is None:
                        raise ValueError("overlong line")
                    self._take(line)
        except (OSError, ValueError) as error:
            _log.warning("relay_connection_broken", reason=type(error).__name__)
        finally:
            self._end()

    def _take(self, line: bytes) -> None:
        message = parse_message(line)
        if isinstance(message, Event):
            try:
                self._on_event(RelayEvent(message.name, message.room, message.participant, message.data))
            except Exception:  # noqa: BLE001 — logged with its trace
                # The listener's fault must not cost the connection that all other calls hang on.
                _log.exception("relay_event_listener_failed", event_name=message.name)
        elif isinstance(message, Hello):
            if not self._hello.done():
                self._hello.set_result(message.instance)
        else:
            self._settle(message)

    def _settle(self, reply: Reply) -> None:
        future = self._waiting.get(reply.id)
        if future is None or future.done():
            return  # it was given up after its timeout
        if reply.code is not None:
            future.set_exception(RelayRefused(reply.code, reply.detail))
        else:
            future.set_result(reply.result or {})

    def _end(self) -> None:
        lost = not self._closed and self._hello.done()
        self._closed = True
        if self._writer is not None:
            self._writer.close()
        self._fail_all()
        if lost:
            self._on_lost()

    def _fail_all(self) -> None:
        waiting: list[asyncio.Future[Any]] = [*self._waiting.values(), self._hello]
        for future in waiting:
            if not future.done():
                future.set_exception(RelayLost("the connection ended"))
                future.exception()  # seen, also where nobody waits


async def _open(control: Control) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Raises OSError."""
    if isinstance(control, Path):
        return await asyncio.open_unix_connection(str(control))
    reader, writer = await asyncio.open_connection(control.host, control.port, ssl=asking_context(control))
    writer.write(render_knock(control.secret))
    return reader, writer
