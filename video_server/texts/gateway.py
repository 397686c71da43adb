"""The way out to phones: Twilio, or the demo's screen. The only module that touches Twilio.

A gateway is handed a number and a body and says whether the other side took it. It cannot promise "exactly once":
Twilio has no idempotency key. So it can also be asked what it has taken for a number lately, and the worker looks
there before it tries again.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol
from urllib.parse import urlencode

import aiohttp

from video_server.core import keys
from video_server.core.clock import Clock, utc_now
from video_server.core.database import Database
from video_server.texts import storage
from video_server.texts.model import State

Progress = Literal[State.SENT, State.DELIVERED, State.FAILED]

SEND_SECONDS = 20.0
CLOCKS_DIFFER = timedelta(minutes=2)
_MOST_RECENT = 200
_TRIAL_PREFIX = "Sent from your Twilio trial account - "
_NOT_THE_TEXTS_FAULT = frozenset({401, 408, 425, 429})

# Twilio's message statuses; what is not listed (queued, sending, accepted, …) means that Twilio has it.
_ENDS: Mapping[str, Progress] = {
    "delivered": State.DELIVERED,
    "read": State.DELIVERED,
    "failed": State.FAILED,
    "undelivered": State.FAILED,
    "canceled": State.FAILED,
}


@dataclass(frozen=True)
class Taken:
    """A message that the other side has. `state` is how far it has come."""

    provider_id: str
    body: str
    state: Progress


class NotTaken(Exception):
    """It will never be taken as it is. `code` is the provider's own, such as "twilio_21211"."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Unsure(Exception):
    """Nobody knows whether it was taken (no answer, a fault, too busy): look before trying again."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Gateway(Protocol):
    """What the worker needs. Errors carry a code and nothing else: no number, no body, no address.

    longest_seconds  no call takes longer
    """

    longest_seconds: float

    async def send(self, to: str, body: str, *, key: str) -> Taken:
        """Hand a message over; `key` (the text's id) comes back with news of it. Raises NotTaken, Unsure."""
        ...

    async def list_taken(self, to: str, *, since: datetime) -> Sequence[Taken]:
        """Return what was taken for this number since then (or a little before: clocks differ). Raises Unsure."""
        ...

    async def get_state(self, provider_id: str) -> Progress:
        """Ask how far a message has come. Raises Unsure."""
        ...

    async def close(self) -> None: ...


class ScreenGateway:
    """The demo's phone: a message is "delivered" when it stands in a table that a page shows."""

    longest_seconds = 10.0

    def __init__(self, database: Database, *, clock: Clock = utc_now) -> None:
        self._database = database
        self._clock = clock

    async def send(self, to: str, body: str, *, key: str) -> Taken:
        message_id = keys.new_id()
        async with self._database.begin() as db:
            await storage.insert_screen_text(db, message_id, to=to, body=body, now=self._clock())
        return Taken(message_id, body, State.DELIVERED)

    async def list_taken(self, to: str, *, since: datetime) -> Sequence[Taken]:
        async with self._database.read() as db:
            shown = await storage.list_screen_texts(db, to=to, since=since - CLOCKS_DIFFER)
        return [Taken(message.id, message.body, State.DELIVERED) for message in shown]

    async def get_state(self, provider_id: str) -> Progress:
        return State.DELIVERED

    async def close(self) -> None:
        pass


class TwilioGateway:
    """Twilio's REST API, by its own client; made inside a running event loop."""

    def __init__(
        self,
        *,
        account: str,
        token: str,
        sender: str,
        public_url: str,
        base_url: str = "",
        longest_seconds: float = SEND_SECONDS,
    ) -> None:
        from twilio.http.async_http_client import AsyncTwilioHttpClient
        from twilio.rest import Client

        for library in ("twilio", "urllib3", "aiohttp.client"):
            logging.getLogger(library).setLevel(logging.ERROR)  # below that they write addresses, which hold numbers
        self._http = AsyncTwilioHttpClient()
        client = Client(account, token, http_client=self._http)
        if base_url:
            client.api.base_url = base_url
        self._messages: Any = client.api.v2010.account.messages
        self._sender = {"messaging_service_sid" if sender.startswith("MG") else "from_": sender}
        self._callback = f"{public_url}/texts/twilio/status"
        self.longest_seconds = longest_seconds

    async def send(self, to: str, body: str, *, key: str) -> Taken:
        callback = f"{self._callback}?{urlencode({'text': key})}"
        message = await self._ask(
            self._messages.create_async(to=to, body=body, status_callback=callback, **self._sender)
        )
        return Taken(str(message.sid), body, progress_of(message.status))

    async def list_taken(self, to: str, *, since: datetime) -> Sequence[Taken]:
        # Not by Twilio's DateSent filter: a message still in its queue has no such date and would be missed.
        messages = await self._ask(self._messages.list_async(to=to, limit=_MOST_RECENT))
        return [
            Taken(str(message.sid), (message.body or "").removeprefix(_TRIAL_PREFIX), progress_of(message.status))
            for message in messages
            if message.date_created is None or message.date_created >= since - CLOCKS_DIFFER
        ]

    async def get_state(self, provider_id: str) -> Progress:
        try:
            message = await self._ask(self._messages(provider_id).fetch_async())
        except NotTaken as problem:
            raise Unsure(problem.code) from None
        return progress_of(message.status)

    async def check(self) -> None:
        """Raise NotTaken or Unsure when the account cannot be used now; nothing is sent."""
        await self._ask(self._messages.list_async(limit=1))

    async def close(self) -> None:
        await self._http.close()

    async def _ask(self, call: Any) -> Any:
        """Await one call within the time limit (Twilio's asynchronous client ignores its own)."""
        from twilio.base.exceptions import TwilioException

        try:
            async with asyncio.timeout(self.longest_seconds):
                return await call
        except TimeoutError:
            raise Unsure("timeout") from None  # None: the cause's text holds the address, and that the number
        except (aiohttp.ClientError, OSError):
            raise Unsure("unreachable") from None
        except TwilioException as problem:
            status = getattr(problem, "status", 0)  # 0: a list could not be fetched, which refuses no text
            code = f"twilio_{getattr(problem, 'code', None) or status}"
        except ValueError:
            raise Unsure("unreadable_answer") from None
        if 400 <= status < 500 and status not in _NOT_THE_TEXTS_FAULT:
            raise NotTaken(code)
        raise Unsure(code)


def progress_of(status: object) -> Progress:
    """Read one of Twilio's message statuses."""
    return _ENDS.get(str(status), State.SENT)


def is_from_twilio(token: str, *, url: str, fields: Any, signature: str) -> bool:
    """Check the signature of a callback over the public URL and every form field, repeated ones included."""
    from twilio.request_validator import RequestValidator

    return bool(token) and bool(RequestValidator(token).validate(url, fields, signature))
