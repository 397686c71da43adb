"""The control protocol: JSON objects, one a line, over the relay's socket. Pure: bytes to values and back.

The relay greets with its instance; requests carry an `id` and are answered in order; events come between them.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, ClassVar

MAX_LINE_BYTES = 256 * 1024
MAX_OFFER_CHARS = 64 * 1024
MAX_EPOCH = 2**53 - 1
VERSION = 1

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

PUBLISHABLE = ("audio", "video", "screen")
"""What a participant may be permitted to publish: the microphone, the camera, a screen."""

CODES = frozenset(
    {"stale_epoch", "bad_offer", "unknown_room", "unknown_participant", "full", "draining", "bad_request", "internal"}
)


class Refused(Exception):
    """The relay says no. `code` is one of CODES; the detail is for logs and holds nothing personal."""

    def __init__(self, code: str, detail: str = "") -> None:
        """Keep both."""
        assert code in CODES
        super().__init__(detail or code)
        self.code = code
        self.detail = detail or code


@dataclass(frozen=True, slots=True)
class Join:
    """Bring a participant in by its browser's offer; an earlier connection of the same participant ends.

    publish   what of its media is forwarded, of PUBLISHABLE
    """

    op: ClassVar[str] = "join"
    room: str
    epoch: int
    participant: str
    offer: str
    admitted: bool
    echo: bool = False
    publish: tuple[str, ...] = PUBLISHABLE


@dataclass(frozen=True, slots=True)
class RestartIce:
    """Give an existing connection a new path by a new offer of the same shape."""

    op: ClassVar[str] = "restart_ice"
    room: str
    epoch: int
    participant: str
    offer: str


@dataclass(frozen=True, slots=True)
class Admit:
    """Let a participant in, or send it back to wait."""

    op: ClassVar[str] = "admit"
    room: str
    epoch: int
    participant: str
    admitted: bool


@dataclass(frozen=True, slots=True)
class Leave:
    """End a participant's connection."""

    op: ClassVar[str] = "leave"
    room: str
    epoch: int
    participant: str


@dataclass(frozen=True, slots=True)
class CloseRoom:
    """End everybody's connection."""

    op: ClassVar[str] = "close_room"
    room: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Permit:
    """Say anew what a participant may publish."""

    op: ClassVar[str] = "permit"
    room: str
    epoch: int
    participant: str
    publish: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hold:
    """Stop everything in a room, or let it go on. The room need not be there yet; of two the higher version stands."""

    op: ClassVar[str] = "hold"
    room: str
    epoch: int
    held: bool
    version: int = 0


@dataclass(frozen=True, slots=True)
class AudioOnly:
    """A participant's own wish to neither see nor be seen."""

    op: ClassVar[str] = "audio_only"
    room: str
    epoch: int
    participant: str
    on: bool


@dataclass(frozen=True, slots=True)
class Drain:
    """Take no new rooms, or take them again."""

    op: ClassVar[str] = "drain"
    on: bool


@dataclass(frozen=True, slots=True)
class Status:
    """Ask for figures."""

    op: ClassVar[str] = "status"


Request = Join | RestartIce | Admit | Permit | AudioOnly | Leave | Hold | CloseRoom | Drain | Status
_REQUESTS: dict[str, type[Request]] = {
    cls.op: cls for cls in (Join, RestartIce, Admit, Permit, AudioOnly, Leave, Hold, CloseRoom, Drain, Status)
}


@dataclass(frozen=True, slots=True)
class Hello:
    """The relay's first line."""

    instance: str
    version: int = VERSION


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to request `id`: a result, or a code."""

    id: int
    result: Mapping[str, Any] | None = None
    code: str | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened. Names: connected, media, slots, rung, quality, silent, heard, gone, left."""

    name: str
    room: str
    participant: str
    data: Mapping[str, Any]


def _render(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def render_request(number: int, request: Request) -> bytes:
    """Return a request as a line."""
    return _render({"id": number, "op": request.op, **asdict(request)})


def render_message(message: Hello | Reply | Event) -> bytes:
    """Return what the relay says as a line."""
    if isinstance(message, Hello):
        return _render({"hello": message.version, "instance": message.instance})
    if isinstance(message, Event):
        return _render(
            {"event": message.name, "room": message.room, "participant": message.participant, "data": message.data}
        )
    if message.code is None:
        return _render({"id": message.id, "ok": True, "result": message.result or {}})
    return _render({"id": message.id, "ok": False, "code": message.code, "detail": message.detail})


def parse_request(line: bytes) -> tuple[int, Request | Refused]:
    """Return the request's id and the request, or why it is none; the id is 0 where it could not be read."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return 0, Refused("bad_request", "not JSON")
    if not isinstance(value, dict):
        return 0, Refused("bad_request", "not an object")
    number = value.pop("id", None)
    if type(number) is not int or not 0 < number <= MAX_EPOCH:
        return 0, Refused("bad_request", "id missing or not a positive integer")
    op = value.pop("op", None)
    kind = _REQUESTS.get(op) if isinstance(op, str) else None
    if kind is None:
        return number, Refused("bad_request", "unknown op")
    try:
        return number, _build(kind, value)
    except Refused as refusal:
        return number, refusal


def _build(kind: type[Request], value: dict[str, Any]) -> Request:
    known = fields(kind)
    needed = {field.name for field in known if field.default is MISSING}
    if not needed <= value.keys() <= {field.name for field in known}:
        raise Refused("bad_request", "a field is missing or unknown")
    for name, given in value.items():
        if not _is_valid(name, given):
            raise Refused("bad_request", f"{name} is malformed")
    if "publish" in value:
        value["publish"] = tuple(value["publish"])
    return kind(**value)


def _is_valid(name: str, given: object) -> bool:
    if name in {"room", "participant"}:
        return isinstance(given, str) and _ID.fullmatch(given) is not None
    if name in {"epoch", "version"}:
        return type(given) is int and 0 <= given <= MAX_EPOCH
    if name == "offer":
        return isinstance(given, str) and len(given) <= MAX_OFFER_CHARS
    if name == "publish":
        return (
            isinstance(given, list)
            and len(given) <= 3
            and all(given.count(each) == 1 for each in given)
            and all(isinstance(each, str) and each in PUBLISHABLE for each in given)
        )
    return isinstance(given, bool)


def parse_message(line: bytes) -> Hello | Reply | Event:
    """Return what the relay said. Raises ValueError: then this is no relay of ours."""
    value = json.loads(line)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    try:
        if "hello" in value:
            return Hello(str(value["instance"]), int(value["hello"]))
        if "event" in value:
            return Event(str(value["event"]), str(value["room"]), str(value["participant"]), dict(value["data"]))
        if value["ok"]:
            return Reply(int(value["id"]), result=dict(value["result"]))
        return Reply(int(value["id"]), code=str(value["code"]), detail=str(value["detail"]))
    except (KeyError, TypeError) as error:
        raise ValueError("a field is missing") from error


class LineSplitter:
    """Cuts a byte stream into lines of bounded length; an overlong line comes out as None and is skipped."""

    def __init__(self, limit: int = MAX_LINE_BYTES) -> None:
        """`limit` counts the bytes before the newline."""
        self._limit = limit
        self._rest = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> list[bytes | None]:
        """Return the lines that are complete now, without their newline."""
        lines: list[bytes | None] = []
        *whole, tail = data.split(b"\n")
        for piece in whole:
            if self._skipping:
                self._skipping = False  # the newline ends what was already reported
            elif len(self._rest) + len(piece) > self._limit:
                lines.append(None)
            else:
                lines.append(bytes(self._rest) + piece)
            self._rest.clear()
        if not self._skipping and len(self._rest) + len(tail) > self._limit:
            self._skipping = True
            self._rest.clear()
            lines.append(None)
        elif not self._skipping:
            self._rest += tail
        return lines
