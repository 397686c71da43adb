"""Where the evidence store answers, and what this program may ask of it: grants, its API token, its events' key."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import aiohttp
from aiohttp import web

from evidence_store.client import TICKET_LASTS, Event, StoreClient, make_grant, make_ticket, verify_event
from evidence_store.errors import StoreError
from video_server.core.errors import N_, CannotStart, Unavailable
from video_server.core.keys import EvidenceAccess, load_evidence_access
from video_server.core.log import get_logger

log = get_logger(__name__)

MOST_CONNECTIONS = 500
_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 90.0
"""How long the store may take after the last byte of a request: it flushes to disk before it answers."""


class StoreDown(Unavailable):
    code = "evidence_store_down"
    public = N_("Files cannot be received at the moment. What was sent is kept: try again in a minute.")


class StoreLink:
    """One process's way to the store. The keys are read when first needed: on a first start the store makes them."""

    def __init__(self, where: str, keys_folder: Path) -> None:
        self.where = where
        self._keys_folder = keys_folder
        self._access: EvidenceAccess | None = None
        self._client: StoreClient | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def access(self) -> EvidenceAccess:
        """Return the shared secrets. Raises StoreDown while they are missing."""
        if self._access is None:
            try:
                self._access = load_evidence_access(self._keys_folder)
            except CannotStart as problem:
                log.warning("evidence_keys_missing", why=str(problem))
                raise StoreDown from None
        return self._access

    @property
    def client(self) -> StoreClient:
        """Return the store's client. Raises StoreDown while its token is missing."""
        if self._client is None:
            self._client = StoreClient(self.where, self.access.token)
        return self._client

    def make_grant(
        self,
        *,
        incident: str,
        reference: str,
        max_bytes: int,
        kinds: Iterable[str],
        upload: str,
        officer: str,
        expires_at: datetime,
    ) -> str:
        """Return a signed grant for one upload. Raises StoreDown while the grant key is missing."""
        return make_grant(
            self.access.grant_key,
            incident=incident,
            reference=reference,
            max_bytes=max_bytes,
            kinds=kinds,
            upload=upload,
            officer=officer,
            expires_at=expires_at,
        )

    def make_ticket(
        self,
        *,
        person: str,
        title: str,
        role: str,
        incident: str | None,
        reference: str,
        home: str,
        ends_at: datetime,
        now: datetime,
    ) -> str:
        """Return a signed ticket that lets a person into the store's pages. Raises StoreDown without the grant key."""
        return make_ticket(
            self.access.grant_key,
            person=person,
            title=title,
            role=role,
            incident=incident,
            reference=reference,
            home=home,
            ends_at=ends_at,
            expires_at=now + TICKET_LASTS,
        )

    def verify_event(self, body: bytes, signature: str) -> Event:
        """Return what an event of the store says. Raises EventNotGenuine, StoreDown."""
        return verify_event(self.access.grant_key, body, signature)

    async def check(self) -> None:
        """Raise when the store cannot take evidence now."""
        try:
            problems = await self.client.ready()
        except StoreError as problem:
            raise StoreDown(str(problem)) from problem
        if problems:
            raise StoreDown("; ".join(problems))

    @property
    def session(self) -> aiohttp.ClientSession:
        """Return the connections of the forwarder; no cookie is kept, nothing is decoded on the way."""
        if self._session is None:
            path = self.where.removeprefix("unix:")
            is_socket = path != self.where
            connector: aiohttp.BaseConnector = (
                aiohttp.UnixConnector(path, limit=MOST_CONNECTIONS)
                if is_socket
                else aiohttp.TCPConnector(limit=MOST_CONNECTIONS)
            )
            self._session = aiohttp.ClientSession(
                "http://evidence-store" if is_socket else self.where,
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_ANSWER_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=("User-Agent", "Accept-Encoding", "Accept", "Content-Type"),
                read_bufsize=1 << 18,
            )
        return self._session

    @asynccontextmanager
    async def running(self) -> AsyncIterator["StoreLink"]:
        """Close the connections when the block ends."""
        try:
            yield self
        finally:
            if self._client is not None:
                await self._client.close()
            if self._session is not None:
                await self._session.close()


STORE = web.AppKey("evidence_store", StoreLink)
