"""A small, honest Twilio: the part of its REST API that texts use, over real HTTP, with faults on demand.

Shapes follow Twilio's public API reference for the Message resource (2010-04-01): create, fetch, list with `To` and
`DateSent` filters, newest first and in pages; basic authentication; errors as {"code", "message", "status"}; callbacks
signed with the auth token. Like the real one it has no idempotency key: what is posted twice is there twice.
"""

import asyncio
from base64 import b64encode
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from random import Random

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer
from twilio.request_validator import RequestValidator

ACCOUNT = "AC" + "0" * 32
TOKEN = "an auth token that nobody uses"
SENDER = "+447700900999"


@dataclass
class Message:
    sid: str
    to: str
    sender: str
    body: str
    callback: str
    created_at: datetime
    status: str = "queued"
    sent_at: datetime | None = None

    def as_json(self) -> dict[str, object]:
        return {
            "sid": self.sid,
            "account_sid": ACCOUNT,
            "to": self.to,
            "from": self.sender,
            "body": self.body,
            "status": self.status,
            "date_created": format_datetime(self.created_at),
            "date_sent": format_datetime(self.sent_at) if self.sent_at else None,
            "date_updated": format_datetime(self.created_at),
            "error_code": None,
            "error_message": None,
            "num_segments": "1",
            "direction": "outbound-api",
            "uri": f"/2010-04-01/Accounts/{ACCOUNT}/Messages/{self.sid}.json",
        }


@dataclass
class TwilioServer:
    """What it holds, and how it is to misbehave.

    faults       what the next creates meet, in order: ("status", 400, 21211) · ("swallow",) keeps and answers nothing ·
                 ("keep_and_hang",) keeps the message, does not answer · ("keep_and_drop",) keeps it, hangs up
    list_faults  the same for lists: ("status", 500, 20500)
    slow_s       up to so many seconds pass before a message is kept, and again before the answer
    awaited      no create is dealt with before so many have come
    """

    url: str = ""
    messages: list[Message] = field(default_factory=list)
    faults: deque[tuple] = field(default_factory=deque)
    list_faults: deque[tuple] = field(default_factory=deque)
    slow_s: float = 0.0
    awaited: int = 0
    dice: Random = field(default_factory=lambda: Random(1))
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    creates: int = 0
    created: asyncio.Event = field(default_factory=asyncio.Event)
    all_came: asyncio.Event = field(default_factory=asyncio.Event)
    lists: int = 0

    async def wait_for_create(self) -> None:
        """Wait until somebody posts the next message."""
        self.created.clear()
        await self.created.wait()

    def move_on(self, message: Message, status: str) -> None:
        message.status = status
        message.sent_at = message.sent_at or self.clock()

    async def report(
        self, message: Message, status: str, *, to: str | None = None, extra: dict[str, str] | None = None
    ) -> int:
        """Call back as Twilio does, signed over `message.callback`; `to` sends it to where the test listens."""
        fields = {
            "AccountSid": ACCOUNT,
            "MessageSid": message.sid,
            "SmsSid": message.sid,
            "MessageStatus": status,
            "SmsStatus": status,
            "To": message.to,
            "From": message.sender,
            "ApiVersion": "2010-04-01",
        } | (extra or {})
        signature = RequestValidator(TOKEN).compute_signature(message.callback, fields)
        async with (
            aiohttp.ClientSession() as client,
            client.post(to or message.callback, data=fields, headers={"X-Twilio-Signature": signature}) as answer,
        ):
            return answer.status

    async def _create(self, request: web.Request) -> web.StreamResponse:
        _check(request)
        self.creates += 1
        self.created.set()
        if self.creates >= self.awaited:
            self.all_came.set()
        await self.all_came.wait()
        form = await request.post()
        fault = self.faults.popleft() if self.faults else ("none",)
        if fault[0] == "status":
            return _error(fault[1], fault[2])
        if fault[0] == "swallow":
            await asyncio.sleep(3600)
        await asyncio.sleep(self.dice.uniform(0, self.slow_s))
        message = Message(
            sid=f"SM{len(self.messages):032x}",
            to=str(form["To"]),
            sender=str(form.get("From") or form["MessagingServiceSid"]),
            body=str(form["Body"]),
            callback=str(form.get("StatusCallback", "")),
            created_at=self.clock().replace(microsecond=0),
        )
        self.messages.append(message)
        if fault[0] == "keep_and_hang":
            await asyncio.sleep(3600)
        if fault[0] == "keep_and_drop":
            assert request.transport is not None
            request.transport.abort()
        await asyncio.sleep(self.dice.uniform(0, self.slow_s))
        return web.json_response(message.as_json(), status=201)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        _check(request)
        self.lists += 1
        if self.list_faults:
            fault = self.list_faults.popleft()
            return _error(fault[1], fault[2])
        query = request.query
        found = [message for message in reversed(self.messages) if query.get("To") in (None, message.to)]
        if "DateSent>" in query:
            since = datetime.fromisoformat(query["DateSent>"])
            found = [message for message in found if message.sent_at is not None and message.sent_at >= since]
        size, page = int(query.get("PageSize", "50")), int(query.get("Page", "0"))
        more = request.rel_url.update_query(Page=str(page + 1)) if len(found) > size * (page + 1) else None
        return web.json_response(
            {
                "messages": [message.as_json() for message in found[page * size : (page + 1) * size]],
                "page": page,
                "page_size": size,
                "uri": str(request.rel_url),
                "next_page_uri": str(more) if more else None,
                "previous_page_uri": None,
                "first_page_uri": str(request.rel_url),
                "start": 0,
                "end": 0,
            }
        )

    async def _fetch(self, request: web.Request) -> web.StreamResponse:
        _check(request)
        for message in self.messages:
            if message.sid == request.match_info["sid"]:
                return web.json_response(message.as_json())
        return _error(404, 20404)


def _check(request: web.Request) -> None:
    right = request.headers.get("Authorization") == f"Basic {b64encode(f'{ACCOUNT}:{TOKEN}'.encode()).decode()}"
    if not right or request.match_info["account"] != ACCOUNT:
        raise web.HTTPUnauthorized(text='{"code": 20003, "message": "Authenticate", "status": 401}')


def _error(status: int, code: int) -> web.Response:
    return web.json_response({"code": code, "message": "no", "more_info": "", "status": status}, status=status)


@asynccontextmanager
async def twilio_server() -> AsyncIterator[TwilioServer]:
    """Run one on a free port of this machine."""
    twilio = TwilioServer()
    app = web.Application()
    base = "/2010-04-01/Accounts/{account}"
    app.router.add_post(f"{base}/Messages.json", twilio._create)
    app.router.add_get(f"{base}/Messages.json", twilio._list)
    app.router.add_get(f"{base}/Messages/{{sid}}.json", twilio._fetch)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server(shutdown_timeout=0.1)
    twilio.url = str(server.make_url("")).rstrip("/")
    try:
        yield twilio
    finally:
        await server.close()
