"""The forwarder: what the store receives and what comes back, looked at from behind it by a store that tells."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import ClientError, web
from yarl import URL

from tests.conftest import AddStaff
from tests.evidence_support import PIECES, Call, calling, until
from video_server.accounts.model import Role
from video_server.evidence import forwarder
from video_server.evidence.forwarder import path_of

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@dataclass
class Telling:
    """Stands where the store would; keeps each request's headers and path, and answers as it is told."""

    requests: list[web.Request] = field(default_factory=list)
    got: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    ends: list[str] = field(default_factory=list)
    answer: web.Response | None = None
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        if request.path.endswith("/streamed"):
            response = web.StreamResponse(headers={"Content-Length": "10"})
            await response.prepare(request)
            await response.write(b"first")
            await self.go_on.wait()
            await response.write(b"later")
            return response
        if request.path.endswith("/unread"):
            return web.Response(status=204)
        try:
            while piece := await request.content.readany():
                self.got.put_nowait(piece)
            self.ends.append("whole")
        except (OSError, web.RequestPayloadError):
            self.ends.append("cut")
        return self.answer or web.Response(status=204, headers={"Upload-Offset": "3", "Tus-Resumable": "1.0.0"})


@pytest.fixture
async def telling(settings) -> AsyncIterator[Telling]:
    (settings.data / "run").mkdir()
    telling = Telling()
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{tail:.*}", telling.take)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=False)
    await runner.setup()
    await web.UnixSite(runner, settings.evidence_where.removeprefix("unix:")).start()
    yield telling
    await runner.cleanup()


@pytest.fixture
async def call(database, settings, key_ring, clock, add_staff: AddStaff, telling) -> AsyncIterator[Call]:
    officer = await add_staff("smith", Role.OFFICER)
    async with calling(database, settings, key_ring, clock, officer, with_store=False) as call:
        yield call


async def test_no_cookie_but_the_stores_own_and_no_header_that_is_not_named_reaches_the_store(call, telling):
    where = call.server.make_url("/")
    for browser in (call.officer, call.phone):
        browser.session.cookie_jar.update_cookies({"__Secure-evidence": "ticket", "other": "x"}, URL(str(where)))
        headers = {
            **PIECES,
            "Upload-Offset": "0",
            "Authorization": "Bearer b",
            "X-Forwarded-For": "1.2.3.4",
            "X-Odd": "1",
        }
        answer = await browser.patch("/evidence/files/" + "a" * 32, headers=headers, data=b"abc")
        assert answer.status == 204
    for request in telling.requests:
        assert request.headers["Cookie"] == "__Secure-evidence=ticket"
        assert set(request.headers) <= {*forwarder._REQUEST_HEADERS, "Host", "Cookie", "Accept", "Connection"}
        assert request.headers["Authorization"] == "Bearer b"
        assert request.headers["Content-Length"] == "3"


async def test_of_a_packed_body_only_the_head_is_passed_for_the_store_to_refuse(call, telling):
    telling.answer = web.Response(status=415, headers={"Accept-Encoding": "identity"})
    headers = {**PIECES, "Upload-Offset": "0", "Authorization": "Bearer b", "Content-Encoding": "gzip"}
    bomb = gzip.compress(bytes(5_000_000))
    answer = await call.phone.patch("/evidence/files/" + "a" * 32, headers=headers, data=bomb)
    assert (answer.status, answer.headers["Accept-Encoding"]) == (415, "identity")
    [request] = telling.requests
    assert request.headers["Content-Encoding"] == "gzip"
    assert telling.got.empty()


async def test_without_the_stores_own_cookie_none_is_passed(call, telling):
    assert (await call.officer.get("/evidence/v1/objects?incident=A&after=1")).status == 204
    [request] = telling.requests
    assert "Cookie" not in request.headers
    assert request.path_qs == "/evidence/v1/objects?incident=A&after=1"


async def test_of_the_answer_only_what_is_named_comes_back_and_location_is_a_path(call, telling):
    telling.answer = web.Response(
        status=201,
        headers={
            "Location": "http://10.0.0.7:8090/evidence/files/abc?x=1",
            "Upload-Bearer": "secret",
            "X-Internal": "host-7",
            "Set-Cookie": "other=1; Path=/",
            "Content-Security-Policy": "sandbox",
        },
    )
    telling.answer.headers.add("Set-Cookie", "__Secure-evidence=t; Path=/evidence; Secure; HttpOnly")
    answer = await call.phone.post("/evidence/files/", headers={"Authorization": "Grant g"})
    assert answer.headers["Location"] == "/evidence/files/abc?x=1"
    assert answer.headers["Upload-Bearer"] == "secret"
    assert "X-Internal" not in answer.headers
    assert answer.headers.getall("Set-Cookie") == ["__Secure-evidence=t; Path=/evidence; Secure; HttpOnly"]
    assert answer.headers["Content-Security-Policy"] == "sandbox"
    assert answer.headers["X-Frame-Options"] == "DENY"


async def test_bytes_pass_while_more_are_still_to_come_in_both_directions(call, telling):
    may_end = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"first"
        await may_end.wait()
        yield b"later"

    headers = {**PIECES, "Upload-Offset": "0", "Authorization": "Bearer b", "Content-Length": "10"}
    sending = asyncio.create_task(call.phone.patch("/evidence/files/" + "a" * 32, headers=headers, data=slow()))
    assert await telling.got.get() == b"first"  # though the phone has not finished
    may_end.set()
    assert (await sending).status == 204
    assert telling.ends == ["whole"]
    answer = await call.officer.get("/evidence/v1/streamed")
    assert await answer.content.readexactly(5) == b"first"  # though the store has not finished
    telling.go_on.set()
    assert await answer.read() == b"later"


async def test_a_body_that_breaks_off_looks_broken_to_the_store_as_well(call, telling):
    async def broken() -> AsyncIterator[bytes]:
        yield b"first"
        await telling.got.get()
        raise ConnectionError

    headers = {**PIECES, "Upload-Offset": "0", "Authorization": "Bearer b", "Content-Length": "1000"}
    with pytest.raises((ClientError, ConnectionError)):
        await call.phone.patch("/evidence/files/" + "a" * 32, headers=headers, data=broken())

    async def ends() -> list[str]:
        return telling.ends

    assert await until("the end of it at the store", ends) == ["cut"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE"])
async def test_no_length_is_announced_to_the_store_for_a_body_that_does_not_follow(call, telling, method):
    """Else the next caller's request on that connection would be taken for it, and answers go to the wrong people."""
    call.officer.session.cookie_jar.update_cookies({"__Secure-evidence": "ticket"}, call.server.make_url("/"))
    await call.phone.request(method, "/evidence/files/unread", data=b"x" * 50)
    await call.officer.get("/evidence/view/unread", data=b"x" * 50)
    assert [request.headers.get("Content-Length", "0") for request in telling.requests] == ["0", "0"]


@pytest.mark.parametrize(
    "path",
    [
        "/evidence/metrics",
        "/evidence/healthz",
        "/evidence/x",
        "/evidence/files/%2e%2e/%2e%2e/metrics",
        "/evidence/v1/..%2f..%2fmetrics",
        "/evidence/v1/a%00b",
        "/evidence/v1/" + "x" * 500,
    ],
)
async def test_only_uploads_and_the_storage_api_are_reached(call, telling, path):
    assert (await call.phone.get(URL(path, encoded=True))).status == 404
    assert telling.requests == []


async def test_large_json_and_methods_that_are_not_spoken_are_refused(call, telling):
    assert (await call.phone.post("/evidence/files/", data=b"x" * 70_000)).status == 413
    assert (await call.phone.request("REPORT", "/evidence/files/" + "a" * 32)).status == 405

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 10_000

    answer = await call.phone.post("/evidence/v1/grants", data=endless())
    assert answer.status == 413


async def test_who_shows_the_stores_cookie_must_come_from_our_own_pages(call, telling):
    call.phone.session.cookie_jar.update_cookies({"__Secure-evidence": "ticket"}, call.server.make_url("/"))
    answer = await call.phone.post("/evidence/files/", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status == 403
    assert telling.requests == []


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("/evidence/files/a", "/evidence/files/a"),
        ("https://evil.example/evidence/files/a", "/evidence/files/a"),
        ("//evil.example/x", "/x"),
        ("https://evil.example//x", "/x"),
        ("", "/"),
    ],
)
def test_a_location_becomes_a_path_on_this_origin(location, path, database_url):
    assert path_of(location) == path
