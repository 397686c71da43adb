"""A small S3 server that keeps objects in memory and does wrong what a test asks it to.

It speaks what the store asks of a bucket without versions, and checks no signature.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from urllib.parse import parse_qs, unquote, urlsplit

from evidence_store.backend.bucket import Address

_EMPTY = b'<?xml version="1.0"?><%s xmlns="http://s3.amazonaws.com/doc/2006-03-01/">%s</%s>'


class FaultyS3(ThreadingHTTPServer):
    """The server, and its faults."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.turn = Lock()
        self.ignores_conditions = False
        """Replaces what it was told to keep."""
        self.fails = False
        """Answers 500 to everything."""
        self.loses_answers = 0
        """Does what it is asked, so many times, and breaks the connection without a word."""
        self.garbles = False
        """Keeps another last byte than it was sent, of everything large."""
        self.never_ends = False
        """Says of every list that there is more."""

    def address(self) -> Address:
        return Address(f"http://127.0.0.1:{self.server_address[1]}", "faulty", "us-east-1", "", "key", "a-secret-word")


@contextmanager
def faulty_s3() -> Iterator[FaultyS3]:
    server = FaultyS3()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyS3

    def log_message(self, *_args: object) -> None:
        """Keep quiet."""

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _do(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.fails:
            self._answer(500, b"<Error><Code>InternalError</Code></Error>")
            return
        url = urlsplit(self.path)
        asked, name = parse_qs(url.query, keep_blank_values=True), unquote(url.path)[1:].partition("/")[2]
        with self.server.turn:
            if self.command == "PUT":
                self._put(name, body)
            elif self.command == "DELETE":
                self.server.objects.pop(name, None)
                self._answer(204)
            elif "list-type" in asked:
                self._list(asked.get("prefix", [""])[0])
            elif not name:
                root = b"VersioningConfiguration" if "versioning" in asked else b"ListMultipartUploadsResult"
                if "object-lock" in asked:
                    self._answer(404, b"<Error><Code>ObjectLockConfigurationNotFoundError</Code></Error>")
                else:
                    more = b"<IsTruncated>true</IsTruncated><NextKeyMarker>x</NextKeyMarker>"
                    self._answer(200, _EMPTY % (root, more if self.server.never_ends else b"", root))
            else:
                self._get(name)

    do_GET = do_HEAD = do_PUT = do_DELETE = _do  # noqa: N815 (http.server's names)

    def _put(self, name: str, body: bytes) -> None:
        objects = self.server.objects
        if not self.server.ignores_conditions:
            taken = self.headers.get("If-None-Match") == "*" and name in objects
            if taken or self.headers.get("If-Match", etag_of(objects.get(name, b""))) != etag_of(
                objects.get(name, b"")
            ):
                self._answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
                return
        garbled = self.server.garbles and len(body) > 10_000
        objects[name] = body[:-1] + bytes([body[-1] ^ 1]) if garbled else body
        if self.server.loses_answers:
            self.server.loses_answers -= 1
            self.close_connection = True
            self.connection.close()
            return
        self._answer(200, ETag=etag_of(body))

    def _get(self, name: str) -> None:
        if name not in self.server.objects:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        data = self.server.objects[name]
        said = {"ETag": etag_of(data), "Last_Modified": formatdate(0, usegmt=True)}
        ranged = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if self.command == "HEAD":
            self._answer(200, Content_Length=str(len(data)), **said)
        elif ranged is None:
            self._answer(200, data, **said)
        elif int(ranged[1]) >= len(data):
            self._answer(416, b"<Error><Code>InvalidRange</Code></Error>")
        else:
            part = data[int(ranged[1]) : int(ranged[2]) + 1]
            span = f"bytes {ranged[1]}-{int(ranged[1]) + len(part) - 1}/{len(data)}"
            self._answer(206, part, Content_Range=span, **said)

    def _list(self, prefix: str) -> None:
        rows = b"".join(
            b"<Contents><Key>%s</Key><Size>%d</Size><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            b"<ETag>%s</ETag></Contents>" % (name.encode(), len(data), etag_of(data).encode())
            for name, data in sorted(self.server.objects.items())
            if name.startswith(prefix)
        )
        self._answer(
            200, _EMPTY % (b"ListBucketResult", b"<IsTruncated>false</IsTruncated>" + rows, b"ListBucketResult")
        )


def etag_of(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest()}"'
