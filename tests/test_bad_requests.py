"""Whatever a caller sends: each bad input is a refusal in words, never a fault of ours nor a line of error in the log.

Every route of the product is asked, as somebody who may use it, over a plain connection: no client stands between that
would mend what is sent. On PostgreSQL, which is the stricter: it takes no NUL and no number beyond its columns.
"""

import asyncio
import functools
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import pytest
from aiohttp import ClientSession, DummyCookieJar, WSMsgType, web
from structlog.testing import capture_logs

from evidence_store.unreadable import Runner
from video_server.accounts.model import Role as StaffRole
from video_server.app import make_app
from video_server.calls import arriving, presence, safety, seats, service
from video_server.calls.model import Role, Watched
from video_server.web import bodies, i18n, sessions, unreadable

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@dataclass
class Answer:
    """What came back: status, headers in lower case, body."""

    status: int
    headers: dict[str, str]
    body: str


@dataclass
class Callers:
    """The product as its process serves it, with somebody signed in for each kind of page."""

    app: web.Application
    where: tuple[str, int] = ("", 0)
    cookies: dict[str, str] = field(default_factory=dict)
    appointment: str = ""
    incident: str = ""

    def cookie_for(self, path: str) -> bytes:
        """Return the cookie of somebody who may use this path."""
        kind = next((kind for kind in ("phone", "booth") if path.startswith(f"/{kind}")), "desk")
        return self.cookies[kind].encode()

    async def ask(self, method: str, target: bytes, *lines: bytes, body: bytes = b"") -> Answer:
        """Send one request as it is; cookies, if any, stand in `lines`."""
        reading, writing = await asyncio.open_connection(*self.where)
        head = [b"%s %s HTTP/1.1" % (method.encode(), target), b"Host: localhost", b"Sec-Fetch-Site: same-origin"]
        head += [*lines, b"Connection: close", b"Content-Length: %d" % len(body)]
        writing.write(b"\r\n".join(head) + b"\r\n\r\n" + body)
        async with asyncio.timeout(120):
            came = await reading.read()
        writing.close()
        said, _, rest = came.partition(b"\r\n\r\n")
        first, *more = said.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in more)}
        return Answer(int(first.split()[1]), headers, rest.decode())

    def routes(self, *methods: str) -> Iterator[tuple[str, str]]:
        """Yield method and path, with its placeholders filled; what ends something comes last."""
        found = [
            (route.method, route.resource.canonical)
            for route in self.app.router.routes()
            if route.method in methods and route.resource is not None and "/static/" not in route.resource.canonical
        ]
        assert len(found) > 20
        yield from sorted(found, key=lambda one: bool(re.search("exit|leave|end$|sign-out|cancel", one[1])))

    def fill(self, path: str, **other: str) -> str:
        """Fill the placeholders of a route's path."""
        ids = {"appointment": self.appointment, "id": self.incident if "/incidents/" in path else self.appointment}
        known = ids | {"number": "1", "tail": "v1/objects", "token": "A" * 22} | other
        return re.sub(r"\{(\w+)[^{}]*\}", lambda found: known.get(found[1], "a" * 32), path)


@pytest.fixture
async def callers(database, settings, key_ring, clock, appointment, add_staff) -> AsyncIterator[Callers]:
    """The appointment's officer and victim are in the call; somebody with every role has the desk."""
    app = make_app(settings, key_ring, clock=clock)
    runner = Runner(app, functools.partial(unreadable.tell, app), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    everybody = await add_staff("boss", *StaffRole)
    async with database.begin() as db:
        _, desk = await sessions.open_session(db, "staff", everybody.id, now=clock())
        _, booth = await sessions.open_session(db, "staff", appointment.officer_id, now=clock())
        session, phone = await sessions.open_session(db, "phone", appointment.id, now=clock())
        in_room = {"session_id": session.id, "now": clock()}
        person = await arriving.arrive(db, appointment, role=Role.VICTIM, device="", **in_room)
        await safety.answer_safety(db, appointment, safe_place=True, watched=Watched.NO, **in_room)
        await service.start_waiting(db, person.id, now=clock())
        await presence.take_socket(db, person, socket=session.id, now=clock())
        await service.admit(db, appointment, person.id, by=appointment.officer_id, now=clock())
    cookies = {"desk": f"__Host-staff={desk}", "booth": f"__Host-staff={booth}", "phone": f"__Host-phone={phone}"}
    yield Callers(app, runner.addresses[0], cookies, appointment.id, appointment.incident_id)
    await runner.cleanup()


Logged = Callable[..., list[str]]


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[Logged]:
    """Return the lines of our own log and of the libraries', of these levels or of all."""
    with capture_logs() as ours:

        def read(*levels: str) -> list[str]:
            theirs = [(record.levelname.lower(), record.getMessage()) for record in caplog.records]
            found = [(one["log_level"], str(one)) for one in ours] + theirs
            return [said for level, said in found if level in levels or not levels]

        yield read


class Faults:
    """Collects what is no refusal in words, so that one run shows all of it."""

    def __init__(self, logged: Logged) -> None:
        self._logged, self._found, self.statuses = logged, [], []

    def look(self, answer: Answer, what: str, *, refused: bool = False) -> None:
        """Take an answer: never a fault of ours, and with `refused` none that does as it was told.

        503 is an answer of a part that this test does not run: the relay, the evidence store.
        """
        self.statuses.append(answer.status)
        is_told = answer.headers.get("content-type", "").startswith(("text/html", "application/json"))
        if answer.status >= 500 and answer.status != 503:
            self._found.append(f"{answer.status}: {what}")
        elif answer.status >= 400 and not (is_told and len(answer.body) > 20):
            self._found.append(f"{answer.status} without words: {what}: {answer.body[:60]}")
        elif refused and answer.status < 400:
            self._found.append(f"{answer.status}, though it is bad: {what}")

    def check(self) -> None:
        """Fail for what was found, and for every error in the log."""
        assert self._found == []
        assert self._logged("error", "critical") == []


@pytest.fixture
def faults(logged: Logged) -> Faults:
    return Faults(logged)


_RAW = b"\xff\xfe" * 22
"""As long as a secret, and no UTF-8."""
_LISTED = (
    *("Accept-Language", "Accept", "User-Agent", "Referer", "Range", "If-None-Match", "If-Range", "X-Forwarded-For"),
    *("X-Forwarded-Proto", "Authorization", "Tus-Resumable", "Upload-Offset", "Upload-Length", "Upload-Metadata"),
    *("Idempotency-Key", "X-Twilio-Signature", "Evidence-Signature", "Evidence-Purpose"),
)
_HEADERS = {
    "cookies": [b"Cookie: " + b"; ".join(b"%s=%s" % (name, _RAW) for name in (
        b"__Host-staff", b"__Host-phone", b"__Host-guest", b"__Host-evidence", b"__Host-device", b"lang"))],
    "what a cookie may not hold": [b'Cookie: __Host-staff="\\777\\000"; =; ;; lang; __Host-phone=' + b"=" * 43],
    "listed": [b"%s: %s" % (name.encode(), _RAW) for name in _LISTED],
    "kind": [b"Content-Type: %s/%s; charset=%s; boundary=%s" % (_RAW, _RAW, _RAW, _RAW)],
    "origin": [b"Origin: http://[" + _RAW],
    "socket": [b"Upgrade: websocket", b"Origin: http://[::" + _RAW, b"Sec-WebSocket-Key: " + _RAW],
}  # fmt: skip


@pytest.mark.parametrize("lines", _HEADERS.values(), ids=_HEADERS)
async def test_no_header_is_a_fault_of_ours(callers, faults, lines):
    for method, path in callers.routes("GET", "POST"):
        known = [] if lines[0].startswith(b"Cookie") else [b"Cookie: " + callers.cookie_for(path)]
        faults.look(await callers.ask(method, callers.fill(path).encode(), *known, *lines), f"{method} {path}")
    faults.check()


_NAMES = ("lang", "day", "next", "seen", "reference", "text", "slot", "listen", "incident", "object")
_QUERIES = (b"%00", b"\xff", b"%ed%a0%80", b"9999-12-31")


@pytest.mark.parametrize("value", _QUERIES, ids=[repr(value[:12]) for value in _QUERIES])
async def test_no_address_is_a_fault_of_ours(callers, faults, value):
    query = b"?" + b"&".join(name.encode() + b"=" + value for name in _NAMES)
    for method, path in callers.routes("GET"):
        cookie = b"Cookie: " + callers.cookie_for(path)
        faults.look(await callers.ask(method, callers.fill(path).encode() + query, cookie), f"{path}{query!r}")
        for name in re.findall(r"\{(\w+)", path):
            target = callers.fill(path, **{name: "@"}).encode().replace(b"@", value)
            faults.look(await callers.ask(method, target, cookie), f"{path} {name}={value!r}")
        faults.look(await callers.ask(method, callers.fill(path).encode() + query), f"{path}{query!r}, signed out")
    faults.check()


_JSON = b"Content-Type: application/json"
_NO_BODIES = (b"[]", b"\xff", b'{"\\ud800": 1}', b"[" * 60_000)
_HUGE = "9" * 400
_VALUES = (
    "1e999", _HUGE, '"\\u0000"', '"' + "x" * 100_000 + '"', "[" * 500 + "]" * 500, '["\\u0000"]',
    f'{{"width": 9, "height": 9, "strokes": [[[{_HUGE}, 1, 1, 1], [1, 1, {_HUGE}, 1], [1, 1, 1, 1]]]}}',
)  # fmt: skip
_FITS = {
    "version": 1, "kind": "photo", "role": "guardian", "language": "en", "signs": False, "mobile": "07700900123",
    "form_id": "a" * 32, "needs": [], "wish": "mute", "held": True, "sent": 1, "total": 2, "age": None, "live": True,
    "answer": "right", "declared": True, "signature": {"typed": "Jo Bloggs"}, "outcome": "statement",
}  # fmt: skip


def remember_models(monkeypatch: pytest.MonkeyPatch, base: type, method: str) -> list[type]:
    """Return a list that grows by the model of each body that a handler reads."""
    seen: list[type] = []
    real = getattr(base, method).__func__

    def spy(cls: type, *given: object, **named: object) -> object:
        seen.append(cls)
        return real(cls, *given, **named)

    monkeypatch.setattr(base, method, classmethod(spy))
    return seen


async def test_no_json_is_a_fault_of_ours(callers, faults, monkeypatch):
    seen = remember_models(monkeypatch, bodies.Body, "model_validate_json")
    models: dict[str, type] = {}
    for _, path in callers.routes("POST"):
        lines = _JSON, b"Accept: application/json", b"Cookie: " + callers.cookie_for(path)
        for body in _NO_BODIES:
            seen.clear()
            answer = await callers.ask("POST", callers.fill(path).encode(), *lines, body=body)
            faults.look(answer, f"{path} {body[:20]!r}", refused=bool(seen))
            if seen:
                models[path] = seen[0]
    assert len(models) > 15
    for path, model in models.items():
        lines = _JSON, b"Accept: application/json", b"Cookie: " + callers.cookie_for(path)
        for name in model.model_fields:
            for value in _VALUES:
                fits = {one: _FITS.get(one, "x") for one in model.model_fields if one != name}
                body = json.dumps(fits)[:-1] + (", " if fits else "") + f'"{name}": {value}}}'
                answer = await callers.ask("POST", callers.fill(path).encode(), *lines, body=body.encode())
                faults.look(answer, f"{path} {name}={value[:40]}")
    faults.check()
    assert {400, 404} < set(faults.statuses)


_NUMBERS = (
    "1e999", "NaN", "-Infinity", "9" * 400, '"\\ud800"', '"\\u0000"', "[]", "{}", "null", "true", "-1",
    "[" * 90 + "]" * 90,
)  # fmt: skip
_SAID = [
    *(f'{{"type": "quality", "freezes": {n}, "concealed": {n}, "round_trip_ms": {n}}}' for n in _NUMBERS),
    *(f'{{"type": "quality", "freezes": 0, "concealed": 0, "width": {n}}}' for n in _NUMBERS),
    *(f'{{"type": "broke", "why": {n}, "ago_ms": {n}, "lasted_ms": {n}}}' for n in _NUMBERS),
    *(f'{{"type": "broke", "why": "offline", "ago_ms": {n}, "lasted_ms": 0}}' for n in _NUMBERS),
    *(f'{{"type": "pause", "why": {n}, "on": {n}}}' for n in _NUMBERS),
    *(f'{{"type": "sending", "muted": {n}, "camera_off": {n}, "audio_only": {n}}}' for n in _NUMBERS),
    *(f'{{"type": "offer", "id": {n}, "sdp": {n}, "echo": {n}}}' for n in _NUMBERS),
    *(f'{{"type": "offer", "id": 1, "sdp": {n}}}' for n in ('"\\ud800"', '"\\u0000"', '"v=0\\r\\n"')),
    *(f'{{"type": {n}, "id": {n}}}' for n in ('"\\ud800"', '"\\u0000"')),
]  # fmt: skip


@pytest.mark.parametrize("path", ["/phone/socket", "/booth/appointments/{appointment}/socket"])
async def test_no_message_over_a_socket_is_a_fault_of_ours(callers, faults, path, monkeypatch):
    monkeypatch.setattr(seats, "MOST_AT_ONCE", 10_000)
    origin = f"http://localhost:{callers.where[1]}"
    headers = {"Origin": origin, "Host": origin[7:], "Cookie": callers.cookie_for(path).decode()}
    url = f"http://{callers.where[0]}:{callers.where[1]}{callers.fill(path)}"
    async with ClientSession(cookie_jar=DummyCookieJar()) as client, client.ws_connect(url, headers=headers) as socket:
        for said in _SAID:
            await socket.send_str(said)
        await socket.send_str('{"type": "ping"}')
        async with asyncio.timeout(120):
            while (answer := await socket.receive()).type is WSMsgType.TEXT and answer.json()["type"] != "pong":
                pass
        assert answer.type is WSMsgType.TEXT, f"the line was cut: {answer}"
    faults.check()


_TOO_LONG = b"A" * 9000
Send = Callable[[bytes], Awaitable[tuple[str, str]]]


@pytest.fixture
def bare(callers) -> Send:
    """Send bytes as they are; head and body of what comes back before the connection ends."""

    async def send(head: bytes) -> tuple[str, str]:
        reading, writing = await asyncio.open_connection(*callers.where)
        writing.write(head + b"\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(120):
            said, _, body = (await reading.read()).decode().partition("\r\n\r\n")
        writing.close()
        return said, body

    return send


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        (b"GET /booth HTTP/1.1\r\nHost: x\r\nCookie: a=" + _TOO_LONG, 431, "head_too_long"),
        (b"GET /j/" + _TOO_LONG + b" HTTP/1.1\r\nHost: x", 431, "head_too_long"),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400, "not_http"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5", 400, "not_http"),
        (b"POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: -1", 400, "not_http"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nno colon", 400, "not_http"),
        (b"GET /desk HTTP/1.1\r\nHost: x\r\nX: \x00", 400, "not_http"),
        (b"G\xffT / HTTP/1.1\r\nHost: x", 400, "not_http"),
    ],
    ids=["cookies", "address", "tls", "two framings", "length", "no colon", "control", "method"],
)
async def test_what_is_no_request_is_answered_in_the_products_words(bare, head, status, code, logged):
    said, body = await bare(head)
    assert f" {status} " in said.partition("\r\n")[0]
    assert "text/html" in said
    assert "There is a problem" in body
    assert f'data-problem="{code}"' in body
    is_staffs = any(head.startswith(b"%s %s" % (one, path)) for one in (b"GET", b"POST") for path in _STAFFS)
    assert ("ring 101" in body) == is_staffs, "whoever may be watched is shown nothing of a force"
    assert ("use the number you know" in body) != is_staffs
    assert "Content-Security-Policy" in said
    assert "no-store" in said
    assert "aiohttp" not in (said + body).lower()
    assert "AAAA" not in "".join(logged()) + body
    assert logged("error", "critical") == []
    assert len(logged("info")) == 1, "that it came is told"


_STAFFS = (b"/booth", b"/desk", b"/sign-in")


async def test_what_is_no_request_is_answered_in_json_and_in_welsh_where_that_can_be_seen(bare):
    asked = b"POST /phone/x HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\nAccept-Language: cy\r\nCookie: "
    said, body = await bare(asked + _TOO_LONG)
    assert "application/json" in said
    told = json.loads(body)
    assert told["error"] == "head_too_long"
    assert told["message"] == i18n._translations("cy").gettext(unreadable._SAYS[431]) != unreadable._SAYS[431]


async def test_a_fault_before_there_is_a_handler_is_an_apology_with_a_reference(bare, monkeypatch, logged):
    def fail(*_args: object, **_named: object) -> None:
        raise ZeroDivisionError("07700900123")

    monkeypatch.setattr(i18n, "choose", lambda *wishes: fail() if len(wishes) == 3 else "en")
    said, body = await bare(b"GET / HTTP/1.1\r\nHost: x")
    assert " 500 " in said.partition("\r\n")[0]
    assert "reference" in body.lower()
    assert "ZeroDivision" not in body
    assert ["request_failed" in line for line in logged("error")] == [True]
