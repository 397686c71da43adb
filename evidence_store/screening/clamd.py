"""Asking clamd (its protocol is in clamd(8)): what a file holds, what version it is, and whether it can be believed.

A clamd without AlertExceedsMax answers "OK" to what is beyond its limits without having looked at all of it, and one
without AlertEncrypted to what nobody can look into without a password. So before each file it is given one that is
nested beyond every limit, an encrypted document and an encrypted archive: a clamd that calls one of them OK calls
nothing clean here. What is encrypted is not malware either: nothing is known of it. Blocking; run it in a thread.
"""

import contextlib
import gzip
import io
import re
import socket
import struct
import zipfile
from collections.abc import Callable, Iterable, Mapping
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
_ENCRYPTED = "Heuristics.Encrypted."
_ENTRY_IS_ENCRYPTED = 1  # bit 0 of a zip entry's general purpose flags: APPNOTE.TXT, 4.4.4
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


def encrypted_document() -> bytes:
    """Return a small PDF that opens with a password which nobody has (ISO 32000-1, 7.6.3)."""
    locks = b"<< /Filter /Standard /V 1 /R 2 /P -4 /O <" + b"5a" * 32 + b"> /U <" + b"a5" * 32 + b"> >>"
    pages = b"<< /Type /Pages /Kids [] /Count 0 >>"
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate((b"<< /Type /Catalog /Pages 2 0 R >>", pages, locks), 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"xref\n0 4\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places)
    trailer = b"trailer\n<< /Size 4 /Root 1 0 R /Encrypt 3 0 R /ID [<%s> <%s>] >>\n" % (b"0" * 32, b"0" * 32)
    return out + table + trailer + b"startxref\n%d\n%%%%EOF\n" % len(out)


def encrypted_archive() -> bytes:
    """Return a small zip file whose one entry says that it is encrypted."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("evidence store", bytes(range(64)))
    made = bytearray(out.getvalue())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        made[made.index(signature) + flags] |= _ENTRY_IS_ENCRYPTED
    return bytes(made)


PROBES: Mapping[str, tuple[Callable[[], bytes], str]] = {
    "AlertExceedsMax": (nested, _LIMITS),
    "AlertEncryptedDoc": (encrypted_document, _ENCRYPTED),
    "AlertEncryptedArchive": (encrypted_archive, _ENCRYPTED),
}
"""Each option that clamd must have, what is sent to learn whether it has, and what it then finds."""


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
            if missing := self.lets_pass():
                why = f"clamd lets pass what it cannot see ({missing})"
                return Screened(Verdict.UNKNOWN, why, engine, comes_again=True)
            return _read(self._stream(pieces), engine)
        except Down as problem:
            return Screened(Verdict.UNKNOWN, f"clamd did not answer ({problem})", comes_again=True)

    def version(self) -> str:
        """Return clamd's version, with those of its signatures. Raises Down."""
        return self._ask(b"zVERSION\0")

    def lets_pass(self) -> str:
        """Return the first option without which clamd says OK to what it did not look into; "": none. Raises Down."""
        return next((name for name, (make, found) in PROBES.items() if found not in self._stream([make()])), "")

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
        if name.startswith(_ENCRYPTED):
            kind = name.removeprefix(_ENCRYPTED)
            return Screened(Verdict.UNKNOWN, f"it is locked with a password that clamd does not have ({kind})", engine)
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
