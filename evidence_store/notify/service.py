"""Telling the web server: signed events, from the database, tried until they are taken.

An event's body and id stay the same at every try, so a receiver recognises one that it has had. The destination is
the operator's setting and nothing else; redirects are not followed, answers are bounded and not read.
"""

import ssl
from datetime import timedelta

import aiohttp

from evidence_store import seals
from evidence_store.log import get_logger
from evidence_store.notify import storage
from evidence_store.notify.model import Event
from evidence_store.sealing import signing
from evidence_store.store import Store, wait_for_news
from evidence_store.waiting import refuse

log = get_logger(__name__)

SIGNATURE_HEADER = "Evidence-Signature"
_TRY_SECONDS = 5
_LONGEST_PAUSE = timedelta(minutes=5)
_LOOK_SECONDS = 1.0
_BATCH = 20


def pause_after(attempts: int) -> timedelta:
    """Return how long to wait after so many tries: 1 s doubling up to 5 min."""
    return min(_LONGEST_PAUSE, timedelta(seconds=2 ** min(attempts, 10)))


class Notifier:
    """Sends what waits; run as one task in each process. Several processes share the work by claiming."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def run(self) -> None:
        """Send until cancelled."""
        settings = self._store.settings
        if not settings.notify_url:
            return
        trust: ssl.SSLContext | bool = True
        if settings.notify_ca is not None:
            trust = ssl.create_default_context(cafile=settings.notify_ca)
        connector = aiohttp.TCPConnector(ssl=trust, limit=4)
        timeout = aiohttp.ClientTimeout(total=_TRY_SECONDS)
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
        ) as web:
            while True:
                coming = self._store.news.coming()
                try:
                    sent = await self._send_due(web)
                except Exception:
                    log.exception("events_not_sent")
                    sent = 0
                if not sent:
                    await wait_for_news(coming, _LOOK_SECONDS)

    async def _send_due(self, web: aiohttp.ClientSession) -> int:
        now = self._store.clock()
        async with self._store.database.read() as db:
            due = await storage.list_due_events(db, now=now, limit=_BATCH)
        taken = 0
        for event in due:
            if not seals.is_own(self._store.keys.bearer, event):
                await self._refuse(event)
                continue
            async with self._store.database.begin() as db:  # a claim ends by itself when its holder dies
                mine = await storage.claim_event(db, event, next_at=now + timedelta(seconds=2 * _TRY_SECONDS))
            if not mine:
                continue
            delivered = await self._send(web, event)
            now = self._store.clock()
            async with self._store.database.begin() as db:
                if delivered:
                    await storage.set_event_delivered(db, event.id, now=now)
                else:
                    await storage.delay_event(db, event.id, next_at=now + pause_after(event.attempts))
            taken += delivered
        return taken

    async def _refuse(self, event: Event) -> None:
        """Sign and send nothing that the store did not write; it stays, to be looked at, and is told each time."""
        await refuse(self._store, event)
        async with self._store.database.begin() as db:
            await storage.delay_event(db, event.id, next_at=self._store.clock() + _LONGEST_PAUSE)

    async def _send(self, web: aiohttp.ClientSession, event: Event) -> bool:
        body = event.body.encode()
        headers = {
            "Content-Type": "application/json",
            SIGNATURE_HEADER: signing.event_signature(self._store.keys.grant, body),
        }
        url = self._store.settings.notify_url
        try:
            async with web.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                taken = 200 <= answer.status < 300
                if not taken:
                    log.warning("event_not_taken", event_id=event.id, status=answer.status, attempts=event.attempts)
                return taken
        except (aiohttp.ClientError, OSError, TimeoutError) as problem:
            log.warning("event_not_sent", event_id=event.id, problem=type(problem).__name__, attempts=event.attempts)
            return False
