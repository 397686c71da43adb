"""Large bodies read past aiohttp, slow uploads on the shelf, buffers used again: whole, bounded, never mixed up."""

import asyncio
import json
import os
import random
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import ClientSession, StreamReader, web
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence_store import app_keys
from evidence_store.app import make_app, open_store, running
from evidence_store.config import Settings
from evidence_store.database import is_empty
from evidence_store.errors import Damaged
from evidence_store.intake import inlet
from evidence_store.intake.direct import largest_buffer
from evidence_store.model import Upload
from evidence_store.sealing import pending as pending_module
from evidence_store.sealing import signing
from evidence_store.sealing.buffers import SEGMENTS, SMALL_BYTES, Buffers
from evidence_store.sealing.incoming import Incoming
from evidence_store.sealing.keys import Keys
from evidence_store.sealing.pending import Pending
from evidence_store.sealing.shelf import Shelf
from evidence_store.uploads.service import Uploads
from evidence_store.verify import verify
from tests.conftest import HeldClock
from tests.evidence.conftest import INCIDENT, SEGMENT, Wire, jpeg, sha256
from tests.evidence_tokens import lay_tokens

MIB = 1 << 20


@pytest.fixture
async def wire(evidence_settings: Settings, keys: Keys, clock: HeldClock) -> AsyncIterator[Wire]:
    """A store that listens as in production: there a request whose sender is gone is brought to its end."""
    app = make_app(open_store(evidence_settings, keys, now=clock))
    async with running(app, evidence_settings) as address, ClientSession(f"http://{address}") as session:
        await lay_tokens(app[app_keys.STORE].database)
        yield Wire(app, session, clock)


class Raw:
    """One connection on which a test sends what it likes, when it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def begin(self, method: str, path: str, headers: dict[str, str], length: int) -> None:
        lines = [f"{method} {path} HTTP/1.1", "Host: store", f"Content-Length: {length}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        await self.send("\r\n".join([*lines, "", ""]).encode())

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def abort(self) -> None:
        self._writer.close()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        status, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return int(status.split()[1]), headers, await self._reader.readexactly(int(headers["content-length"]))


async def connect(wire: Wire) -> Raw:
    async with wire.http.get("/healthz") as answer:
        host, port = answer.url.host, answer.url.port
    return Raw(*await asyncio.open_connection(host, port))


def put_headers(wire: Wire, data: bytes) -> dict[str, str]:
    return wire.token() | {
        "Evidence-Incident": INCIDENT, "Evidence-Kind": "photo", "Evidence-Sha256": sha256(data),
        "Content-Type": "image/jpeg",
    }  # fmt: skip


def patch_headers(auth: dict[str, str], offset: int) -> dict[str, str]:
    return auth | {"Content-Type": "application/offset+octet-stream", "Upload-Offset": str(offset)}


async def is_taken(wire: Wire, path: str, count: int) -> None:
    """Wait until the store has taken so many bytes: what breaks off before it reads was never there."""

    async def does() -> bool:
        session = wire.app[app_keys.UPLOADS]._sessions._known.get(path.rsplit("/", 1)[1])
        return session is not None and session.incoming.offset == count

    await until(does)


async def content(wire: Wire, object_id: str) -> bytes:
    async with wire.http.get(f"/evidence/v1/objects/{object_id}/content", headers=wire.token()) as answer:
        assert answer.status == 200
        return await answer.read()


async def until(found: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a state."""
    for _ in range(30_000):
        if await found():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("waited in vain")


async def stands_at(wire: Wire, path: str, auth: dict[str, str], offset: int) -> None:
    """Wait until what was sent is durable, without asking the writer to let go as HEAD does; then ask."""

    async def does() -> bool:
        return (await wire.app[app_keys.UPLOADS].get(path.rsplit("/", 1)[1])).offset == offset

    await until(does)
    assert await wire.stand(path, auth) == offset


@pytest.mark.parametrize("size", [MIB - 1, MIB, MIB + 1, 2 * SEGMENT, 2 * SEGMENT + 1, 5 * MIB + 4321])
async def test_a_body_sent_in_pieces_of_any_size_arrives_whole(wire: Wire, size: int):
    data, object_id, chance = jpeg(size, size), signing.new_id(), random.Random(size)
    raw = await connect(wire)
    ends = put_headers(wire, data) | {"Connection": "close"}  # what is taken over ends anyway
    await raw.begin("PUT", f"/evidence/v1/objects/{object_id}", ends, size)
    at = 0
    while at < size:
        more = chance.choice([1, 100, 1448, 20_000, 300_000, 2_000_000])
        await raw.send(data[at : at + more])
        at += more
        if chance.random() < 0.2:
            await asyncio.sleep(0.001)
    assert (await raw.answer())[0] == 201
    assert await content(wire, object_id) == data
    assert (await verify(wire.store)).holds


@pytest.mark.parametrize("sent", [4, 100_000, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * MIB + 17, 3 * MIB - 1])
async def test_what_came_before_a_large_body_broke_off_is_kept_to_the_byte(wire: Wire, sent: int):
    data = jpeg(3 * MIB)
    path, auth = await wire.create(data)
    raw = await connect(wire)
    await raw.begin("PATCH", path, patch_headers(auth, 0), len(data))
    await raw.send(data[:sent])
    await is_taken(wire, path, sent)
    raw.abort()
    await stands_at(wire, path, auth, sent)
    await wire.patch(path, auth, sent, data[sent:])
    assert (await wire.digest(path, auth, sha256(data)))["state"] == "received"
    assert await content(wire, path.rsplit("/", 1)[1]) == data


async def test_a_put_that_breaks_off_leaves_nothing(wire: Wire):
    data, object_id = jpeg(3 * MIB), signing.new_id()
    raw = await connect(wire)
    await raw.begin("PUT", f"/evidence/v1/objects/{object_id}", put_headers(wire, data), len(data))
    await raw.send(data[: 2 * MIB])
    incoming = wire.store.settings.data / "incoming"

    async def is_there() -> bool:
        return bool(list(incoming.iterdir()))

    async def is_gone() -> bool:
        return not await is_there()

    await until(is_there)
    raw.abort()
    await until(is_gone)
    await wire.put(object_id, data)


async def test_a_slow_sender_lets_go_when_it_is_asked_to_and_goes_on_where_it_was(wire: Wire):
    data = jpeg(4 * MIB)
    path, auth = await wire.create(data)
    raw = await connect(wire)
    await raw.begin("PATCH", path, patch_headers(auth, 0), len(data))
    sent = 0
    for size in (5000, 3000, 12_000, 1, SEGMENT, 7000, 9000):
        await raw.send(data[sent : sent + size])
        sent += size
        await is_taken(wire, path, sent)  # by themselves: they waited for more in vain
    assert await wire.stand(path, auth) == sent
    await raw.send(data[sent:])  # read off, so that the answer is seen
    status, _, body = await raw.answer()
    assert (status, b"urn:evidence-store:problem:locked" in body) == (423, True)
    await wire.patch(path, auth, sent, data[sent:])
    await wire.digest(path, auth, sha256(data))
    assert await content(wire, path.rsplit("/", 1)[1]) == data


async def test_silence_in_a_large_body_ends_the_request_and_keeps_what_came(wire: Wire, monkeypatch):
    now, data = [1000.0], jpeg(3 * MIB)
    path, auth = await wire.create(data)
    raw = await connect(wire)
    with monkeypatch.context() as patch:
        patch.setattr(inlet, "clock", SimpleNamespace(monotonic=lambda: now[0]))
        await raw.begin("PATCH", path, patch_headers(auth, 0), len(data))
        await raw.send(data[: 2 * MIB])
        await is_taken(wire, path, 2 * MIB)
        now[0] += wire.store.settings.idle_seconds + 1
        await stands_at(wire, path, auth, 2 * MIB)
    raw.abort()
    await wire.patch(path, auth, 2 * MIB, data[2 * MIB :])
    await wire.digest(path, auth, sha256(data))


async def test_a_refusal_reaches_a_sender_who_is_still_sending(wire: Wire):
    page = b"<html>" + bytes(5 * MIB)
    raw = await connect(wire)
    await raw.begin("PUT", f"/evidence/v1/objects/{signing.new_id()}", put_headers(wire, page), len(page))
    await raw.send(page)
    status, _, body = await raw.answer()
    assert status == 415
    assert b"wrong_kind" in body


async def test_a_request_sent_behind_a_large_body_is_not_taken_for_part_of_it(wire: Wire):
    data, object_id = jpeg(3 * MIB), signing.new_id()
    raw = await connect(wire)
    await raw.begin("PUT", f"/evidence/v1/objects/{object_id}", put_headers(wire, data), len(data))
    await raw.send(data + b"GET /healthz HTTP/1.1\r\nHost: store\r\n\r\n")
    status, headers, body = await raw.answer()
    assert (status, headers["connection"]) == (201, "close")
    assert json.loads(body)["size_bytes"] == len(data)
    assert await content(wire, object_id) == data


async def test_a_sender_is_not_read_faster_than_its_bytes_are_sealed(wire: Wire, monkeypatch):
    goes_on, write = threading.Event(), Incoming.write
    monkeypatch.setattr(Incoming, "write", lambda *a, **k: (goes_on.wait(120), write(*a, **k))[1])
    data, object_id = jpeg(64 * MIB), signing.new_id()
    raw = await connect(wire)
    try:
        await raw.begin("PUT", f"/evidence/v1/objects/{object_id}", put_headers(wire, data), len(data))
        writer = raw._writer
        writer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)
        writer.write(data)
        left = [writer.transport.get_write_buffer_size()]

        async def stands_still() -> bool:
            left.append(writer.transport.get_write_buffer_size())
            return len(left) > 50 and len(set(left[-50:])) == 1

        await until(stands_still)
        assert left[-1] > 40 * MIB  # the rest is in the kernel's buffers, and at most three of ours
    finally:
        goes_on.set()
    assert (await raw.answer())[0] == 201
    assert await content(wire, object_id) == data


async def test_what_comes_before_anybody_reads_it_is_little(wire: Wire, monkeypatch):
    goes_on, append, waiting = asyncio.Event(), Uploads.append, list[StreamReader]()

    async def late(self: Uploads, upload_id: str, *, request: web.Request, **more: Any) -> Upload:
        waiting.append(request.content)
        await goes_on.wait()
        return await append(self, upload_id, request=request, **more)

    monkeypatch.setattr(Uploads, "append", late)
    data, seen = jpeg(8 * MIB), list[int]()
    path, auth = await wire.create(data)
    raw = await connect(wire)
    await raw.begin("PATCH", path, patch_headers(auth, 0), len(data))
    sending = asyncio.ensure_future(raw.send(data))

    async def stands_still() -> bool:
        seen.extend(stream.total_bytes for stream in waiting if stream.total_bytes)
        return len(seen) > 50 and len(set(seen[-50:])) == 1

    await until(stands_still)
    assert 0 < seen[-1] < MIB // 2  # one read of the socket, at most 256 kB, behind what is allowed
    goes_on.set()
    await sending
    await stands_at(wire, path, auth, len(data))
    await wire.digest(path, auth, sha256(data))


async def test_many_at_once_share_the_buffers_and_get_their_own_bytes(wire: Wire):
    bodies = {signing.new_id(): jpeg(2 * MIB + 1000 * n, n) for n in range(8)}
    await asyncio.gather(*(wire.put(object_id, data) for object_id, data in bodies.items()))

    async def read(object_id: str, *, leaves: bool) -> None:
        url = f"/evidence/v1/objects/{object_id}/content"
        async with wire.http.get(url, headers=wire.token()) as answer:
            got = b""
            async for chunk in answer.content.iter_chunked(1 << 16):
                got += chunk
                if leaves and len(got) > MIB:
                    return  # in the middle of it
            assert got == bodies[object_id]

    await asyncio.gather(*(read(object_id, leaves=bool(n % 2)) for n, object_id in enumerate([*bodies, *bodies])))
    assert (await verify(wire.store)).holds


async def test_a_wrong_checksum_puts_a_large_piece_back_to_where_it_began(wire: Wire):
    data = jpeg(4 * MIB + 99)
    path, auth = await wire.create(data)
    await wire.patch(path, auth, 0, data[:700_001])
    wrong = {"Upload-Checksum": "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA="}
    for _ in range(2):
        await wire.patch(path, auth | wrong, 700_001, data[700_001 : 3 * MIB], status=460)
        assert await wire.stand(path, auth) == 700_001
    await wire.patch(path, auth, 700_001, data[700_001:])
    await wire.digest(path, auth, sha256(data))
    assert await content(wire, path.rsplit("/", 1)[1]) == data


# --- the parts by themselves


@pytest.mark.parametrize("bodies", [17, 50, 200, 384, 385, 5000])
def test_the_buffers_of_many_bodies_have_a_sum(bodies: int):
    assert largest_buffer(16) == SEGMENTS.size_bytes
    assert largest_buffer(bodies) == SMALL_BYTES or bodies * largest_buffer(bodies) <= 3 * MIB


async def test_reads_of_the_database_take_turns(wire: Wire):
    database, now, most, four = wire.store.database, [0], [0], asyncio.Event()

    async def read() -> None:
        async with database.read() as db:
            now[0] += 1
            most[0] = max(most[0], *now)
            if now[0] == 4:
                four.set()
            await four.wait()
            assert await is_empty(db) is False
            now[0] -= 1

    async with asyncio.timeout(300):
        await asyncio.gather(*(read() for _ in range(60)))
    assert most == [4]


def test_slow_uploads_fill_their_segments_in_turn(tmp_path: Path, monkeypatch):
    inside, most, append = [0], [0], Incoming._append

    def watched(self: Incoming, *, final: bool) -> None:
        inside[0] += 1
        most[0] = max(most[0], *inside)
        append(self, final=final)
        inside[0] -= 1

    monkeypatch.setattr(Incoming, "_append", watched)
    slow = []
    for name in "abcd":
        (tmp_path / name / "object").mkdir(parents=True)
        slow.append(Incoming.create(tmp_path / name, name, bytes(32)))

    def send(incoming: Incoming) -> None:
        for _ in range(3 * MIB // 20_000):
            incoming.write([bytes(20_000)], rests=True)

    with ThreadPoolExecutor(4) as workers:
        list(workers.map(send, slow))
    for incoming in slow:
        assert incoming.finish() == sha256(bytes(3 * MIB // 20_000 * 20_000))
        incoming.close()
    assert most == [1]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from("arw"), st.integers(0, 70_000)), max_size=40))
def test_pending_bytes_come_back_as_they_were_wherever_they_were_kept(steps):
    with TemporaryDirectory() as folder:
        kept = [Pending(Path(folder)), Pending(Path(folder))]
        meant = [b"", b""]
        for number, (who, step, size) in enumerate(steps):
            data, one = random.Random(number).randbytes(size), kept[who]
            if step == "r":
                one.rest()
            elif step == "w" and one.put_aside([data[: size // 2], data[size // 2 :]]):
                meant[who] += data
            else:
                meant[who] += data[: one.add(memoryview(data))]
            assert one.size == len(meant[who]) <= SEGMENT
        assert [bytes(one.whole()) for one in kept] == meant
        for one in kept:
            one.close()


def test_a_whole_segment_fits_the_shelf_in_the_smallest_pieces(tmp_path: Path):
    one, data = Pending(tmp_path), random.Random(5).randbytes(SEGMENT)
    for at in range(0, SEGMENT, 1000):
        if not one.put_aside([data[at : at + 1000]]):
            one.add(memoryview(data)[at : at + 1000])
    assert one.whole() == data
    assert one.add(memoryview(b"more")) == 0
    one.clear()
    assert (one.size, one.whole()) == (0, b"")
    one.close()


def test_what_is_on_the_shelf_is_sealed_and_a_change_is_noticed(tmp_path: Path, monkeypatch):
    shelf = Shelf()
    monkeypatch.setattr(pending_module, "SHELF", shelf)
    one, data = Pending(tmp_path), b"secret" * 2000
    assert one.put_aside([data])
    lying = os.pread(shelf._descriptor, MIB, 0)
    assert len(lying) > len(data)
    assert b"secret" not in lying
    assert list(tmp_path.iterdir()) == []  # it has no name
    os.pwrite(shelf._descriptor, bytes([lying[77] ^ 1]), 77)
    with pytest.raises(Damaged):
        one.whole()
    os.close(shelf._descriptor)


def test_a_buffer_is_lent_to_one_at_a_time_and_few_are_kept():
    buffers = Buffers(10, kept=2)
    lent = [buffers.borrow() for _ in range(5)]
    assert len({id(buffer) for buffer in lent}) == 5
    for buffer in lent:
        buffers.give_back(buffer)
    again = [buffers.borrow() for _ in range(3)]
    assert sum(any(buffer is old for old in lent) for buffer in again) == 2
    assert len({id(buffer) for buffer in again}) == 3
    assert len(SEGMENTS.borrow()) == MIB
