"""Asking clamd (its protocol is in clamd(8)): what a file holds, what version it is, and whether it can be believed.

A clamd without AlertExceedsMax answers "OK" to what is beyond its limits without having looked at all of it. So before
each file it is given one that is nested beyond every limit: a clamd that calls that one OK calls nothing clean here.
Blocking; run it in a thread.
"""

import contextlib
import gzip
import re
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 300.0
"""clamd looks into a file after its last byte has come."""
_PIECE_BYTES = 1 << 17
_MOST_ANSWER_BYTES = 4096
_LAYERS = 120
"""More than MaxRecursion may be set to."""
_LIMITS = "Heuristics.Limits.Exceeded"
_DATE = re.compile(r"/\d+/(\w{3} \w{3} +\d+ \d\d:\d\d:\d\d \d{4})")


class Verdict(StrEnum):
    """What is known after asking."""

    CLEAN = "clean"
    INFECTED = "infected"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Screened:
    """A verdict. `reason` is the signature's name, or why nothing is known; `comes_again`: asking soon may help."""

    verdict: Verdict
    reason: str = ""
    engine: str = ""
    comes_again: bool = False


class Down(Exception):
    """clamd did not answer; the words say how."""


def nested() -> bytes:
    """Return a small file that lies deeper than any clamd unpacks."""
    inner = b"evidence store"
    for _ in range(_LAYERS):
        inner = gzip.compress(inner, mtime=0)
    return inner


class Clamd:
    """One conversation after another with one clamd. `where` is an absolute path of a socket, or host:port."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._open: socket.socket | None = None
        self._stopped = False

    def screen(self, pieces: Iterable[bytes]) -> Screened:
        """Return what clamd says of a file. Raises nothing but what `pieces` raises."""
        try:
            engine = self.version()
            if not self.alerts_beyond_limits():
                return Screened(Verdict.UNKNOWN, "clamd lets pass what is beyond its limits", engine, comes_again=True)
            return _read(self._stream(pieces), engine)
        except Down as problem:
            return Screened(Verdict.UNKNOWN, f"clamd did not answer ({problem})", comes_again=True)

    def version(self) -> str:
        """Return clamd's version, with those of its signatures. Raises Down."""
        return self._ask(b"zVERSION\0")

    def alerts_beyond_limits(self) -> bool:
        """Say whether clamd alerts when a file is beyond its limits (AlertExceedsMax). Raises Down."""
        return _LIMITS in self._stream([nested()])

    def stop(self) -> None:
        """Break off what runs, from another thread."""
        self._stopped = True
        if self._open is not None:
            with contextlib.suppress(OSError):
                self._open.shutdown(socket.SHUT_RDWR)

    def _ask(self, command: bytes) -> str:
        return self._stream([], command)

    def _stream(self, pieces: Iterable[bytes], command: bytes = b"zINSTREAM\0") -> str:
        with self._connect() as connection:
            self._open = connection
            try:
                connection.sendall(command)
                if command == b"zINSTREAM\0":
                    self._send(connection, pieces)
                return self._answer(connection)
            except TimeoutError:
                raise Down("timeout") from None
            except OSError as problem:
                raise Down(type(problem).__name__) from None
            finally:
                self._open = None

    def _send(self, connection: socket.socket, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            for start in range(0, len(piece), _PIECE_BYTES):
                part = piece[start : start + _PIECE_BYTES]
                try:
                    connection.sendall(struct.pack(">I", len(part)) + part)
                except (BrokenPipeError, ConnectionResetError):
                    return  # it has heard enough, and says why
        try:
            connection.sendall(struct.pack(">I", 0))
        except (BrokenPipeError, ConnectionResetError):
            return

    def _answer(self, connection: socket.socket) -> str:
        answer = b""
        while not answer.endswith(b"\0") and len(answer) < _MOST_ANSWER_BYTES:
            part = connection.recv(_MOST_ANSWER_BYTES)
            if not part:
                break
            answer += part
        if not answer:
            raise Down("it closed the connection")
        return "".join(c for c in answer.decode("utf-8", "replace") if c.isprintable()).strip()

    def _connect(self) -> socket.socket:
        if self._stopped:
            raise Down("it was broken off")
        try:
            if self._where.startswith("/"):
                made = socket.socket(socket.AF_UNIX)
                made.settimeout(_CONNECT_SECONDS)
                try:
                    made.connect(self._where)
                except OSError:
                    made.close()
                    raise
            else:
                host, _, port = self._where.rpartition(":")
                made = socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS)
        except OSError as problem:
            raise Down(type(problem).__name__) from None
        made.settimeout(_ANSWER_SECONDS)
        return made


def _read(answer: str, engine: str) -> Screened:
    said = answer.removeprefix("stream: ")
    if said == "OK":
        return Screened(Verdict.CLEAN, "", engine)
    if said.endswith(" FOUND"):
        name = said.removesuffix(" FOUND")[:100]
        if name.startswith(_LIMITS):
            return Screened(Verdict.UNKNOWN, f"beyond clamd's limits ({name.rpartition('.')[2]})", engine)
        return Screened(Verdict.INFECTED, name, engine)
    if "size limit exceeded" in said:
        return Screened(Verdict.UNKNOWN, "larger than clamd takes (StreamMaxLength)", engine)
    return Screened(Verdict.UNKNOWN, f"clamd could not tell ({said[:80]})", engine, comes_again=True)


def signatures_made_at(version: str) -> datetime | None:
    """Return when the signatures in a version were made; None when it does not say."""
    found = _DATE.search(version)
    if found is None:
        return None
    return datetime.strptime(found[1], "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC)
