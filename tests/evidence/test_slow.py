"""Who sends or reads a byte now and then, or nothing more, is let go: they hold a connection, and a reader memory."""

import asyncio
import os
import socket

import pytest

from evidence_store.objects import outgoing
from evidence_store.sealing import signing
from tests.evidence.conftest import SEGMENT, Wire, jpeg
from tests.product import until

_FORM = "application/x-www-form-urlencoded"


def connect(wire: Wire) -> socket.socket:
    """Open a connection to the store whose other end keeps little."""
    url = wire.http._base_url
    assert url is not None
    end = socket.socket()
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    end.settimeout(60)
    end.connect((url.host, url.port))
    return end


def head_of(line: str, headers: dict[str, str]) -> bytes:
    return "\r\n".join([f"{line} HTTP/1.1", "Host: here", *map(": ".join, headers.items()), "", ""]).encode()


def read_all(end: socket.socket) -> bytes:
    found = b""
    try:
        while piece := end.recv(1 << 16):
            found += piece
    except ConnectionResetError:
        pass
    return found


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/evidence/v1/holds", "application/json"), ("/evidence/view/enter", _FORM)],
    ids=["JSON", "a form, from anybody"],
)
async def test_a_short_body_that_does_not_come_to_its_end_is_not_waited_for(wire: Wire, path: str, kind: str):
    wire.store.settings = wire.store.settings.model_copy(update={"idle_seconds": 0.3})
    headers = wire.token() | {"Content-Length": "100", "Content-Type": kind}
    with connect(wire) as end:
        end.sendall(head_of(f"POST {path}", headers) + b"{")
        assert b" 408 " in (await asyncio.to_thread(read_all, end)).partition(b"\r\n")[0]


async def test_a_reader_who_takes_nothing_more_is_let_go(wire: Wire, monkeypatch):
    object_id, size = signing.new_id(), 24 * SEGMENT
    await wire.put(object_id, jpeg(size))
    monkeypatch.setattr(outgoing, "PATIENCE_SECONDS", 0.3)
    with connect(wire) as end:
        end.sendall(head_of(f"GET /evidence/v1/objects/{object_id}/content", wire.token()))
        assert await asyncio.to_thread(end.recv, 100)  # it began
        await asyncio.to_thread(until, lambda: not is_open(object_id), "the file of who reads nothing to be closed")
        assert len(await asyncio.to_thread(read_all, end)) < size


def is_open(object_id: str) -> bool:
    """Say whether this process has a file of an object open."""
    links = []
    for name in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:  # closed meanwhile
            continue
    return any(object_id in link for link in links)
