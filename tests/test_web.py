"""The plumbing around every page: headers, who may change anything, refusals, sessions, language, limits, files."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, CookieJar, WSMsgType, web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given
from hypothesis import settings as unhurried
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from pydantic import Field
from sqlalchemy import select

from tests.conftest import PASSWORD
from video_server.accounts.model import Role
from video_server.app import MAX_FORM_BYTES, make_app
from video_server.core.errors import N_, Conflict
from video_server.web import forms, guards, i18n, limits, origins, pages, proxy, sessions, sockets, static, storage


class Taken(Conflict):
    code = "taken"
    public = N_("That is taken.")


class Order(forms.Form):
    name: str = Field(max_length=5)
    count: int = Field(ge=1, le=9)


probe = web.RouteTableDef()
"""Small handlers beside the product's own, to see the plumbing from inside."""


@probe.get("/probe/fault")
@guards.public
async def _fault(_request: web.Request) -> web.Response:
    raise ZeroDivisionError("07700900123")


@probe.get("/probe/refusal")
@guards.public
async def _refusal(_request: web.Request) -> web.Response:
    raise Taken


@probe.post("/probe/form")
@guards.public
async def _form(request: web.Request) -> web.Response:
    try:
        order = await forms.read_form(request, Order, {"name": "Enter a name", "count.missing": "Enter how many"})
    except forms.FormInvalid as refusal:
        return web.json_response({"problems": refusal.problems, "values": refusal.values}, status=refusal.status)
    return web.json_response(order.model_dump())


@probe.get("/probe/who")
@guards.public
async def _who(request: web.Request) -> web.Response:
    return web.json_response({"remote": limits.remote(request), "secure": request.secure})


@probe.post("/probe/limited")
@guards.public
async def _limited(request: web.Request) -> web.Response:
    await limits.limit(request, "probe", "somebody", most=2, window=timedelta(minutes=1))
    return web.json_response({})


@probe.post("/probe/machine")
@guards.machine
async def _machine(_request: web.Request) -> web.Response:
    return web.json_response({})


@probe.get("/probe/socket")
@guards.public
async def _socket(request: web.Request) -> web.StreamResponse:
    raw, socket = await sockets.open_socket(request)
    async for message in socket.messages():
        await socket.send({"type": "echo", "said": message})
    return raw


@probe.get("/probe/room-socket")
@guards.public
async def _room_socket(request: web.Request) -> web.StreamResponse:
    of = {"session_id": request.query["of"], "room": request.query.get("in", "room")}
    if (away := await sockets.turn_away(request, **of)) is not None:
        return away
    raw, socket = await sockets.open_socket(request, **of)
    async for message in socket.messages():
        await socket.send(message)
    return raw


@pytest.fixture
async def server(database, settings, key_ring, clock) -> AsyncIterator[TestServer]:
    """The product with the probes beside it."""
    app = make_app(settings, key_ring, clock=clock)
    app.add_routes(probe)
    server = TestServer(app)
    await server.start_server()
    yield server
    await server.close()


@pytest.fixture
async def client(server) -> AsyncIterator[ClientSession]:
    """A browser on one of our own pages."""
    own = {"Sec-Fetch-Site": "same-origin", "Origin": str(server.make_url("")).rstrip("/")}
    async with ClientSession(server.make_url("/"), headers=own, cookie_jar=CookieJar(unsafe=True)) as client:
        yield client


async def test_every_answer_carries_the_houses_headers(client):
    for path in ("/sign-in", "/nowhere", "/healthz", "/probe/fault"):
        answer = await client.get(path)
        headers = answer.headers
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Cache-Control"] == "no-store"
        assert "camera=(self), microphone=(self)" in headers["Permissions-Policy"]
        assert not headers.get("Server")
        policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert policy["connect-src"].startswith("'self' ws")


async def test_the_one_inline_script_carries_the_nonce_of_its_own_answer(client):
    seen = set()
    for _ in range(2):
        answer = await client.get("/sign-in")
        nonce = answer.headers["Content-Security-Policy"].partition("'nonce-")[2].partition("'")[0]
        text = await answer.text()
        assert text.count(f'nonce="{nonce}"') == text.count("<script nonce=") == 1
        seen.add(nonce)
    assert len(seen) == 2


async def test_https_is_said_to_be_the_only_way_when_it_is(database, settings, key_ring):
    app = make_app(settings.model_copy(update={"public_url": "https://video.example.police.uk"}), key_ring)
    async with TestClient(TestServer(app)) as client:
        answer = await client.get("/sign-in")
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
        assert "wss://video.example.police.uk" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("method", "headers", "may"),
    [
        ("GET", {"Sec-Fetch-Site": "cross-site"}, True),
        ("POST", {"Sec-Fetch-Site": "same-origin"}, True),
        ("POST", {"Sec-Fetch-Site": "none"}, True),
        ("POST", {"Sec-Fetch-Site": "same-site"}, False),
        ("POST", {"Sec-Fetch-Site": "cross-site", "Origin": "https://a.example"}, False),
        ("POST", {"Origin": "https://public.example"}, True),
        ("POST", {"Origin": "https://public.example:443"}, True),
        ("POST", {"Origin": "https://PUBLIC.example"}, True),
        ("POST", {"Origin": "http://public.example"}, False),
        ("POST", {"Origin": "https://public.example:8443"}, False),
        ("POST", {"Origin": "https://a.example"}, False),
        ("POST", {"Origin": "http://[::1"}, False),
        ("POST", {"Origin": "https://public.example:port"}, False),
        ("POST", {"Origin": "https://evil.example"}, False),
        ("POST", {"Origin": "https://public.example.evil.example"}, False),
        ("POST", {"Origin": "null"}, False),
        ("POST", {}, False),
        ("DELETE", {}, False),
    ],
)
def test_only_our_own_pages_may_change_anything(method, headers, may):
    own = origins.own_origins(public_url="https://public.example", demo=False, scheme="https", host="a.example")
    assert origins.may_change_state(method, headers, own=own) is may


@pytest.mark.parametrize(
    ("demo", "host", "own"),
    [
        (False, "192.0.2.7:8080", False),
        (True, "192.0.2.7:8080", True),
        (True, "localhost:8080", True),
        (True, "[::1]:8080", True),
        (True, "rebound.evil.example:8080", False),
        (True, "192.0.2.7:8080; script-src *", False),
    ],
)
def test_the_host_that_was_asked_is_ours_in_a_demo_only_and_as_an_address(demo, host, own):
    ours = origins.own_origins(public_url="https://public.example", demo=demo, scheme="http", host=host)
    assert origins.is_own_origin(f"http://{host}", own=ours) is own


async def test_a_host_header_never_gets_into_the_policy_as_it_is(client):
    for host in ("evil.example", "127.0.0.1;script-src *", "[::1"):
        answer = await client.get("/sign-in", headers={"Host": host})
        assert "evil" not in answer.headers["Content-Security-Policy"]
        assert "*" not in answer.headers["Content-Security-Policy"]


async def test_a_redirect_carries_the_houses_headers_and_the_language(client):
    answer = await client.get("/booth?lang=cy", allow_redirects=False)
    assert answer.status == 303
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert "lang=cy" in answer.headers["Set-Cookie"]


async def test_a_malformed_origin_or_character_set_is_a_refusal_and_no_fault(client):
    del client.headers["Sec-Fetch-Site"]
    forged = await client.post("/probe/form", data={"name": "Sam"}, headers={"Origin": "http://[::1"})
    assert forged.status == 403
    kind = {"Content-Type": "application/x-www-form-urlencoded; charset=bogus"}
    assert (await client.post("/probe/form", data=b"name=Sam&count=1", headers=kind)).status == 400


@pytest.mark.parametrize("path", ["/probe/form", "/texts/twilio/status", "/evidence-events"])
async def test_a_body_that_does_not_arrive_is_not_waited_for_without_end(client, monkeypatch, path):
    monkeypatch.setattr(forms, "READING_SECONDS", 0.05)

    async def half() -> AsyncIterator[bytes]:
        yield b"name=S"
        await asyncio.Event().wait()

    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    async with asyncio.timeout(300), client.post(path, data=half(), headers=kind) as answer:
        assert answer.status == 408


async def test_a_machine_needs_no_browsers_headers(server):
    async with ClientSession(server.make_url("/")) as plain:
        assert (await plain.post("/probe/machine")).status == 200
        assert (await plain.post("/probe/limited")).status == 403


async def test_a_socket_from_another_site_is_refused(server, client):
    own = str(server.make_url("")).rstrip("/")
    async with client.ws_connect("/probe/socket", origin=own) as socket:
        await socket.send_json({"type": "hello"})
        assert (await socket.receive_json())["said"] == {"type": "hello"}
    async with ClientSession(server.make_url("/")) as plain:
        for origin in ("https://evil.example", "null", None):
            headers = {"Origin": origin} if origin else {}
            with pytest.raises(Exception, match="403"):
                await plain.ws_connect("/probe/socket", headers=headers)


@pytest.mark.parametrize(
    "said", ["no json", "[1]", '"text"', "{}", '{"type": 1}', "{" * 5000, '{"type":' + "[" * 60_000]
)
async def test_a_socket_closes_on_what_it_does_not_understand(client, said):
    async with client.ws_connect("/probe/socket") as socket:
        await socket.send_str(said)
        assert (await socket.receive()).type is WSMsgType.CLOSE
        assert socket.close_code == 1003


async def test_a_socket_takes_no_bytes_and_no_message_without_bound(client):
    async with client.ws_connect("/probe/socket") as socket:
        await socket.send_bytes(b"x")
        assert (await socket.receive()).data == 1003
    async with client.ws_connect("/probe/socket") as socket:
        await socket.send_str(json.dumps({"type": "x" * sockets.MAX_MESSAGE_BYTES}))
        assert (await socket.receive()).data == 1009


async def test_open_sockets_are_told_to_come_back_when_the_process_stops(server, client):
    async with client.ws_connect("/probe/socket") as socket:
        await server.close()
        message = await socket.receive()
        assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, 1012, "restart")


async def is_let_in(client, of: str, room: str = "room") -> tuple[bool, ClientWebSocketResponse]:
    """Open a socket; say whether it carries anything. One that does not must say why."""
    socket = await client.ws_connect(f"/probe/room-socket?of={of}&in={room}")
    await socket.send_str('{"type": "x"}')
    answer = await socket.receive()
    if answer.type is WSMsgType.TEXT:
        return True, socket
    assert (answer.type, answer.data, answer.extra) == (WSMsgType.CLOSE, 4029, "opened_too_often")
    return False, socket


async def test_a_session_and_a_room_have_only_so_many_sockets_at_once(client, clock, monkeypatch):
    monkeypatch.setattr(sockets, "MOST_OPEN", 3)
    monkeypatch.setattr(sockets, "MOST_OPEN_OF_ROOM", 5)
    mine = [await is_let_in(client, "a") for _ in range(4)]
    assert [let_in for let_in, _ in mine] == [True, True, True, False]
    other = [(await is_let_in(client, "b"))[0] for _ in range(3)]
    assert other == [True, True, False], "the room is full"
    assert (await is_let_in(client, "b", "elsewhere"))[0], "of this session only"
    await mine[0][1].close()
    async with asyncio.timeout(300):
        while not (await is_let_in(client, "a"))[0]:  # once the server has noticed
            clock.move(minutes=1)


async def test_a_session_opens_sockets_only_so_often_and_may_again_a_minute_later(client, clock, monkeypatch):
    monkeypatch.setattr(sockets, "MOST_OPENED", 3)
    before = REGISTRY.get_sample_value("sockets_turned_away_total")

    async def once(of: str) -> bool:
        let_in, socket = await is_let_in(client, of)
        await socket.close()
        return let_in

    assert [await once("a") for _ in range(5)] == [True, True, True, False, False]
    assert await once("b"), "nobody else's"
    clock.move(minutes=1)
    assert await once("a")
    assert REGISTRY.get_sample_value("sockets_turned_away_total") == before + 2


async def test_a_refusal_is_a_page_for_people_and_json_for_programs(client):
    page = await client.get("/probe/refusal")
    assert (page.status, page.content_type) == (409, "text/html")
    assert "That is taken." in await page.text()
    told = await client.get("/probe/refusal", headers={"Accept": "application/json"})
    assert told.status == 409
    assert await told.json() == {"error": "taken", "message": "That is taken."}


async def test_a_fault_is_an_apology_with_a_reference_and_tells_nothing_else(client):
    for accept in ("text/html", "application/json"):
        answer = await client.get("/probe/fault", headers={"Accept": accept})
        text = await answer.text()
        assert answer.status == 500
        assert "reference" in text.lower()
        assert "ZeroDivision" not in text
        assert "07700900123" not in text


async def test_what_does_not_exist_is_a_plain_page(client):
    for method, path in (("GET", "/nowhere"), ("POST", "/healthz"), ("GET", "/static/x/../../pyproject.toml")):
        answer = await client.request(method, path)
        assert answer.status in {404, 405}
        assert "There is a problem" in await answer.text()
        assert answer.headers.get("Allow") == ("GET,HEAD" if answer.status == 405 else None)


async def test_a_form_tells_every_fault_at_once_and_gives_back_what_was_typed(client):
    answer = await client.post("/probe/form", data={"name": " toolong ", "count": " "})
    assert answer.status == 422
    told = await answer.json()
    assert told["problems"] == {"name": "Enter a name", "count": "Enter how many"}
    assert told["values"]["name"] == " toolong "
    fine = await client.post("/probe/form", data={"name": " Sam ", "count": "3", "more": "ignored"})
    assert await fine.json() == {"name": "Sam", "count": 3}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        pytest.param(b"name=%FF%FE&count=1", "application/x-www-form-urlencoded", id="escaped, not UTF-8"),
        pytest.param(b"name=a%00b&count=1", "application/x-www-form-urlencoded", id="NUL"),
        pytest.param(b"--x\r\n\r\n", "multipart/form-data; boundary=x", id="broken multipart"),
        pytest.param(
            b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\nSam\r\n'
            b'--x\r\nContent-Disposition: form-data; name="count"\r\n\r\n3\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
            id="multipart",
        ),
        pytest.param(
            b'--x\r\nContent-Disposition: form-data; name="name"; filename="a"\r\n\r\nhello\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
            id="a file",
        ),
    ],
)
async def test_a_body_that_is_no_text_is_refused_and_no_fault_of_ours(client, body, kind):
    answer = await client.post("/probe/form", data=body, headers={"Content-Type": kind})
    assert answer.status == 400


@unhurried(deadline=None)
@given(st.binary(max_size=300))
def test_no_form_body_is_a_fault_of_ours(body):
    import asyncio

    from aiohttp.test_utils import make_mocked_request
    from multidict import CIMultiDict

    async def read() -> None:
        from unittest.mock import Mock

        from aiohttp import StreamReader
        from aiohttp.base_protocol import BaseProtocol

        stream = StreamReader(BaseProtocol(asyncio.get_running_loop()), 2**16, loop=asyncio.get_running_loop())
        stream.feed_data(body)
        stream.feed_eof()
        headers = CIMultiDict({"Content-Type": "application/x-www-form-urlencoded"})
        request = make_mocked_request("POST", "/", headers=headers, payload=stream, app=Mock())
        try:
            values = await forms.read_values(request)
        except forms.NotText:
            return
        assert all("\x00" not in value for value in values.values())

    asyncio.run(read())


async def test_a_body_that_is_too_large_is_refused_in_words(client):
    answer = await client.post("/probe/form", data={"name": "x" * (MAX_FORM_BYTES + 1)})
    assert answer.status == 413
    assert 'data-problem="too_large"' in await answer.text()


async def test_tries_are_counted_across_requests_and_forgotten_with_the_window(client, clock):
    assert [(await client.post("/probe/limited")).status for _ in range(3)] == [200, 200, 429]
    clock.move(minutes=1)
    assert (await client.post("/probe/limited")).status == 200


async def tries_kept(database) -> dict[str, int]:
    async with database.read() as db:
        return {row.name: row.count for row in await db.execute(select(storage.tries))}


async def test_past_the_limit_nothing_more_is_written(client, database):
    for _ in range(6):
        await client.post("/probe/limited")
    assert list((await tries_kept(database)).values()) == [2]


async def test_opening_unknown_links_is_limited_and_writes_nothing(client, database, clock):
    answers = [(await client.get(f"/j/{number:022}")).status for number in range(42)]
    assert answers == [404] * 40 + [429] * 2
    assert await tries_kept(database) == {}
    clock.move(minutes=10)
    assert (await client.get("/j/unknown")).status == 404


def test_counters_in_memory_are_bounded_and_the_least_used_go_first(clock):
    tries = limits.Tries(most=3)
    for name in ("a", "b", "c", "a", "d"):
        tries.count(name, window_at=clock())
    assert len(tries) == 3
    assert tries.count("a", window_at=clock()) == 3
    assert tries.count("b", window_at=clock()) == 1


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("-", "-"),
    ],
)
def test_limits_count_a_subscriber_not_each_of_its_addresses(address, counted):
    assert limits.neighbourhood(address) == counted


async def test_old_counters_of_tries_are_forgotten(client, database, clock):
    await client.post("/probe/limited")
    for hours, kept in ((1, 1), (48, 0)):
        async with database.begin() as db:
            await sessions.forget_old(db, now=clock.move(hours=hours))
        assert len(await tries_kept(database)) == kept


async def test_a_session_can_be_ended_from_elsewhere(database, add_staff, sign_in, clock):
    person = await add_staff("smith", Role.OFFICER)
    client = await sign_in("smith")
    async with database.begin() as db:
        assert await sessions.end_sessions_of(db, "staff", person.id, why="test", now=clock()) == 1
    assert (await client.post("/sign-out", allow_redirects=False)).status == 401


async def test_a_session_ends_with_its_lifetime_however_busy(add_staff, sign_in, clock):
    await add_staff("smith", Role.OFFICER)
    client = await sign_in("smith")
    for _ in range(11):
        clock.move(hours=1)
        assert (await client.get("/booth", allow_redirects=False)).status == 200
    clock.move(hours=1)
    assert (await client.get("/booth", allow_redirects=False)).status == 303


async def test_a_cookie_of_one_kind_opens_nothing_of_another(browser, add_staff, sign_in):
    await add_staff("smith", Role.OFFICER)
    client = await sign_in("smith")
    [secret] = [cookie.value for cookie in client.session.cookie_jar if cookie.key == "__Host-staff"]
    other = await browser()
    answer = await other.get("/phone", headers={"Cookie": f"__Host-phone={secret}"}, allow_redirects=False)
    assert answer.status != 200
    for wrong in ("", "x", "x" * 5000, secret[:-1], secret + "x"):
        answer = await other.get("/booth", headers={"Cookie": f"__Host-staff={wrong}"}, allow_redirects=False)
        assert answer.status in {303, 400}


async def test_cookies_are_for_this_host_https_and_no_script(browser, add_staff):
    await add_staff("smith", Role.OFFICER)
    client = await browser()
    answer = await client.post("/sign-in", data={"username": "smith", "password": PASSWORD}, allow_redirects=False)
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-staff=")
    for part in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"):
        assert part in cookie
    assert "Domain" not in cookie


@pytest.mark.parametrize(
    ("wishes", "chosen"),
    [
        ((None, None, None), "en"),
        (("cy", None, None), "cy"),
        (("xx", "cy", "en"), "cy"),
        (("", None, "fr-FR,cy-GB;q=0.9,en;q=0.8"), "cy"),
        (("", "", ",;,," * 1000), "en"),
    ],
)
def test_the_language_is_the_first_wish_we_have(wishes, chosen):
    assert i18n.choose(*wishes) == chosen


async def test_the_language_switch_is_kept_for_the_next_page(client):
    assert '<html lang="en"' in await (await client.get("/sign-in")).text()
    switched = await client.get("/sign-in?lang=cy")
    assert '<html lang="cy"' in await switched.text()
    assert "lang=cy" in switched.headers["Set-Cookie"]
    kept = await client.get("/sign-in", headers={"Cookie": "lang=cy"})
    assert '<html lang="cy"' in await kept.text()


async def test_a_file_under_its_builds_address_may_be_kept_for_a_year_and_another_may_not(client):
    now = await client.get(pages.asset("icon.svg"))
    assert (now.status, now.content_type) == (200, "image/svg+xml")
    assert "immutable" in now.headers["Cache-Control"]
    old = await client.get("/static/000000000000/icon.svg")
    assert (old.status, old.headers["Cache-Control"]) == (200, "no-cache")


@pytest.mark.parametrize(
    "path",
    [
        "../pyproject.toml",
        "a/../../pyproject.toml",
        "/etc/passwd",
        "styles.scss",
        "pages",
        "",
        "lib/nope.js",
        "x\x00.js",
        "x" * 300 + ".js",
    ],
)
def test_nothing_but_the_browsers_files_is_given_out(path):
    assert static.find_file(path) is None


async def test_strange_paths_are_not_faults(client):
    for path in ("/static/x/%00", "/static/x/..%2f..%2fpyproject.toml", "/j/%ff", "/%e2%28", "/j/" + "x" * 4000):
        assert (await client.get(path)).status in {400, 404, 410, 200}


async def test_health_says_which_part_fails(client):
    alive = await client.get("/healthz")
    assert await alive.json() == {"status": "ok"}
    ready = await client.get("/readyz")
    told = await ready.json()
    assert told["parts"]["database"] == "ok"
    assert ready.status == (200 if set(told["parts"].values()) == {"ok"} else 503)


async def test_metrics_are_in_prometheus_form(client):
    answer = await client.get("/metrics")
    assert answer.status == 200
    assert "# TYPE process_cpu_seconds_total counter" in await answer.text()


@pytest.mark.parametrize(
    ("header", "address"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("10.0.0.1, 203.0.113.9", "203.0.113.9"),
        ("2001:db8::1", "2001:db8::1"),
        ("", None),
        ("unknown", None),
        ("203.0.113.9, ", None),
    ],
)
def test_only_the_address_our_own_proxy_wrote_counts(header, address):
    assert proxy.nearest_address(header) == address


FORWARDED = {"X-Forwarded-For": "198.51.100.7, 203.0.113.9", "X-Forwarded-Proto": "https"}


async def test_forwarded_headers_count_for_nothing_unless_a_proxy_is_configured(client):
    answer = await client.get("/probe/who", headers=FORWARDED)
    assert await answer.json() == {"remote": "127.0.0.1", "secure": False}


async def test_behind_a_proxy_the_caller_is_the_one_it_names(database, settings, key_ring):
    app = make_app(settings.model_copy(update={"behind_proxy": True}), key_ring)
    app.add_routes(probe)
    server = TestServer(app)
    async with TestClient(server) as client:
        answer = await client.get("/probe/who", headers=FORWARDED)
        assert await answer.json() == {"remote": "203.0.113.9", "secure": True}
        for address, status in (("10.1.2.3", 200), ("81.2.69.142", 404), ("::ffff:81.2.69.142", 404)):
            asked = await client.get("/metrics", headers={"X-Forwarded-For": address})
            assert asked.status == status, "the figures are not for the Internet"
        own = str(server.make_url("")).rstrip("/").replace("http:", "https:")
        async with client.ws_connect("/probe/socket", headers=FORWARDED | {"Origin": own}) as socket:
            await socket.send_json({"type": "hello"})
            assert (await socket.receive_json())["said"] == {"type": "hello"}
        form = await client.post("/probe/form", data={"name": "Sam", "count": "1"}, headers=FORWARDED | {"Origin": own})
        assert form.status == 200


def test_data_inside_a_page_cannot_leave_its_script_element():
    written = pages.data_json({"said": "</script><b>&amp;"})
    assert "<" not in written
    assert json.loads(written) == {"said": "</script><b>&amp;"}


async def test_an_application_with_an_unguarded_route_does_not_start():
    app = web.Application()

    async def unguarded(_request: web.Request) -> web.Response:
        return web.Response()

    app.router.add_get("/open", unguarded)
    with pytest.raises(RuntimeError, match="GET /open"):
        guards.check_routes(app)
