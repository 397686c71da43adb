"""A client that costs little: requests over one socket, bodies straight from a file in the page cache."""

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

_TAKEN = bytearray(1 << 20)


class Connection:
    """One HTTP/1.1 connection, kept between requests unless the server ends it; use it as a context."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket = self._connect()
        self.first_byte_seconds = 0.0
        self.headers: dict[str, str] = {}

    def _connect(self) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self._port), timeout=60)
        made.settimeout(None)  # with a timeout it would not block, and sendfile expects it to
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        *,
        body: bytes = b"",
        file: Path | None = None,
        start: int = 0,
        size: int = 0,
        wanted: tuple[int, ...] = (200, 201, 204, 206),
    ) -> bytes:
        """Send one request and return the beginning of the answer's body, at most a MiB of it.

        file, start, size   `size` bytes from `start` of a file, which begins again where it ends
        Raises              RuntimeError for an answer with another status
        """
        began = time.monotonic()
        self.begin(method, path, headers, length=size if file is not None else len(body), body=body)
        if file is not None:
            self._send_file(file, start, size)
        return self._take(began, wanted, has_body=method != "HEAD")

    def begin(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, *, length: int, body: bytes = b""
    ) -> None:
        """Send the head of a request that announces so many bytes, and the first of them."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self._port}", f"Content-Length: {length}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if self.headers.get("connection", "").lower() == "close":
            self._socket.close()
            self._socket = self._connect()
        self.send("\r\n".join([*lines, "", ""]).encode() + body)

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._socket.sendall(data)

    def _send_file(self, file: Path, start: int, size: int) -> None:
        with file.open("rb") as source:
            whole = os.fstat(source.fileno()).st_size
            end = start + size
            while start < end:
                at = start % whole
                start += os.sendfile(self._socket.fileno(), source.fileno(), at, min(end - start, whole - at))

    def _take(self, began: float, wanted: tuple[int, ...], *, has_body: bool) -> bytes:
        held = b""
        while b"\r\n\r\n" not in held:
            held += self._more()
        head, _, held = held.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        code = int(status.split()[1])
        length = int(self.headers.get("content-length", 0)) if code != 204 and has_body else 0
        if length and not held:
            held = self._more()
        self.first_byte_seconds = time.monotonic() - began
        left, beginning = length - len(held), held
        while left > 0:
            taken = self._socket.recv_into(_TAKEN, min(left, len(_TAKEN)))
            if not taken:
                raise ConnectionError("the answer was cut short")
            if len(beginning) < len(_TAKEN):
                beginning += bytes(_TAKEN[:taken])
            left -= taken
        if code not in wanted:
            raise RuntimeError(f"{status}: {beginning[:300]!r}")
        return beginning

    def _more(self) -> bytes:
        found = self._socket.recv(1 << 16)
        if not found:
            raise ConnectionError("the connection was closed")
        return found
