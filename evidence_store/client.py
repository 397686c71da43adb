"""Speaking to the store from another program: aiohttp and the standard library only.

    async with StoreClient("http://127.0.0.1:8090", token) as store:
        await store.put_object(object_id, pdf, incident="AP-7F4K-92QD", kind="statement", media_type="application/pdf")

A refusal of the store is raised as the same class from `evidence_store.errors`; a store that does not answer raises
Unreachable: then it is not known whether the request was carried out, and putting the same object again is safe.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any
from urllib.parse import quote

import aiohttp

from evidence_store.errors import Refusal, Unreachable, from_problem
from evidence_store.grants import GRANT_LASTS, make_grant
from evidence_store.sealing import signing
from evidence_store.view.tickets import TICKET_LASTS, make_ticket

__all__ = [
    "GRANT_LASTS",
    "SIGNATURE_HEADER",
    "TICKET_LASTS",
    "WEBHOOK_HEADER",
    "Content",
    "Event",
    "EventNotGenuine",
    "ObjectPage",
    "Preview",
    "StoreClient",
    "StoredObject",
    "make_grant",
    "make_ticket",
    "new_object_id",
    "verify_event",
    "verify_webhook",
]

SIGNATURE_HEADER = "Evidence-Signature"
WEBHOOK_HEADER = "Evidence-Webhook-Signature"
_MAX_STAMP_DIGITS = 12
new_object_id = signing.new_id
_PIECE_BYTES = 1 << 18


@dataclass(frozen=True)
class StoredObject:
    """What the store says of one object.

    vouched  False where its signed ledger says something else of it: then rely on nothing here. None while it has no
             line yet, and from a store that does not say
    """

    id: str
    incident: str
    kind: str
    media_type: str
    filename: str
    reference: str
    officer: str
    size_bytes: int
    sha256: str
    client_digest: str
    state: str
    source: str
    received_at: datetime
    sealed_at: datetime | None
    vouched: bool | None = None


@dataclass(frozen=True)
class ObjectPage:
    """Some objects; `next` goes into `after` for those that follow, None when these were the last."""

    objects: tuple[StoredObject, ...]
    next: str | None


@dataclass(frozen=True)
class Content:
    """An object's bytes on their way: `headers` are the store's, `pieces` may be read once."""

    status: int
    headers: Mapping[str, str]
    pieces: AsyncIterator[bytes]


@dataclass(frozen=True)
class Preview:
    """A derived picture, for looking; not evidence."""

    media_type: str
    data: bytes


@dataclass(frozen=True)
class Event:
    """News from the store. The same id may come twice: after a crash it is sent again.

    actor, reason, until  of a break-glass: who opened an object that is not theirs, why, and for how long
    """

    id: str
    type: str
    object: str
    incident: str
    at: datetime
    actor: str = ""
    reason: str = ""
    until: datetime | None = None


class EventNotGenuine(Exception):
    """The signature does not belong to this body, or the body is no event."""


def verify_event(key: bytes, body: bytes, header: str) -> Event:
    """Return what a notification says. `header` is SIGNATURE_HEADER's value. Raises EventNotGenuine."""
    if not signing.is_event_genuine(key, body, header):
        raise EventNotGenuine
    try:
        said = json.loads(body)
        names = ("id", "type", "object", "incident")
        until = datetime.fromisoformat(said["until"]) if "until" in said else None
        return Event(
            **{name: str(said[name]) for name in names}, at=datetime.fromisoformat(said["at"]),
            actor=str(said.get("actor", "")), reason=str(said.get("reason", "")), until=until,
        )  # fmt: skip
    except (ValueError, KeyError, TypeError):
        raise EventNotGenuine from None


def verify_webhook(secret: bytes, body: bytes, header: str, *, now: float, tolerance_seconds: float = 300) -> Any:
    """Return what a webhook says, parsed. `header` is WEBHOOK_HEADER's value, `now` Unix time.

    Raises EventNotGenuine when the signature is not of this body, or too old (somebody plays it back). The same `id`
    may come twice: take the second as done.
    """
    stamp, _, _ = header.removeprefix("t=").partition(",")
    if not stamp.isascii() or not stamp.isdigit() or len(stamp) > _MAX_STAMP_DIGITS:
        raise EventNotGenuine
    is_genuine = signing.same(signing.webhook_signature(secret, int(stamp), body), header)
    if not is_genuine or abs(now - int(stamp)) > tolerance_seconds:
        raise EventNotGenuine
    return json.loads(body)


class StoreClient:
    """A connection to one store. `where` is http(s)://host:port, or unix:/path/of/socket."""

    def __init__(self, where: str, token: str, *, timeout_seconds: float = 60) -> None:
        self._where, self._token = where, token
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=timeout_seconds)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "StoreClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def put_object(
        self,
        object_id: str,
        data: bytes,
        *,
        incident: str,
        kind: str,
        media_type: str,
        filename: str = "",
        officer: str = "",
    ) -> StoredObject:
        """Seal an object; durable when this returns. Again with the same bytes is the same object.

        Raises Conflict when the id stands for other bytes.
        """
        headers = {
            "Evidence-Incident": incident,
            "Evidence-Kind": kind,
            "Evidence-Sha256": signing.sha256_hex(data),
            "Content-Type": media_type,
        }
        if officer:
            headers["Evidence-Officer"] = quote(officer, safe="")
        if filename:
            headers["Evidence-Filename"] = quote(filename, safe="")
        async with self._request("PUT", f"/evidence/v1/objects/{object_id}", headers=headers, data=data) as answer:
            return _stored(await answer.json())

    async def get_metadata(self, object_id: str) -> StoredObject:
        """Return what the store says of an object. Raises NotFound."""
        async with self._request("GET", f"/evidence/v1/objects/{object_id}") as answer:
            return _stored(await answer.json())

    async def get_media(self, object_id: str, *, purpose: str = "") -> dict[str, Any]:
        """Return what looking into an object found: state, picture, playable, says, facts, place_says. Raises NotFound.

        `purpose` stands in the ledger beside the reader.
        """
        headers = {"Evidence-Purpose": purpose} if purpose else {}
        async with self._request("GET", f"/evidence/v1/objects/{object_id}", headers=headers) as answer:
            return dict((await answer.json())["media"])

    async def get_preview(self, object_id: str, *, purpose: str = "") -> Preview:
        """Return a small picture of an object, without metadata. Raises NoPreviewHere, NotScreened, Quarantined."""
        headers = {"Evidence-Purpose": purpose} if purpose else {}
        async with self._request("GET", f"/evidence/v1/objects/{object_id}/preview", headers=headers) as answer:
            return Preview(answer.content_type, await answer.read())

    async def list_objects(self, incident: str, *, after: str = "") -> ObjectPage:
        """Return an incident's objects in the order they were sealed, at most a hundred."""
        query = {"incident": incident} | ({"after": after} if after else {})
        async with self._request("GET", "/evidence/v1/objects", params=query) as answer:
            page = await answer.json()
        return ObjectPage(tuple(map(_stored, page["objects"])), page["next"])

    @asynccontextmanager
    async def open_content(
        self, object_id: str, *, byte_range: str | None = None, purpose: str = ""
    ) -> AsyncIterator[Content]:
        """Open an object's bytes, whole or `byte_range` (a Range header's value, such as `bytes=0-99`).

        `purpose` stands in the ledger beside the reader. Raises NotFound, Quarantined, RangeRefused, DamagedHere.
        """
        headers = {"Evidence-Purpose": purpose} if purpose else {}
        if byte_range is not None:
            headers["Range"] = byte_range
        async with self._request("GET", f"/evidence/v1/objects/{object_id}/content", headers=headers) as answer:
            yield Content(answer.status, answer.headers, answer.content.iter_chunked(_PIECE_BYTES))

    async def ready(self) -> list[str]:
        """Return what keeps the store from working; empty when it is ready. Raises Unreachable."""
        try:
            async with self._open().get("/readyz") as answer:
                return list((await answer.json())["problems"])
        except (aiohttp.ClientError, OSError, TimeoutError) as problem:
            raise Unreachable(type(problem).__name__) from problem

    @asynccontextmanager
    async def _request(self, method: str, path: str, **more: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"Authorization": f"Bearer {self._token}"} | more.pop("headers", {})
        try:
            async with self._open().request(method, path, headers=headers, allow_redirects=False, **more) as answer:
                if answer.status >= 300:
                    raise await _refusal(answer)
                yield answer
        except (aiohttp.ClientError, OSError, TimeoutError, asyncio.IncompleteReadError) as problem:
            raise Unreachable(type(problem).__name__) from problem

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            path = self._where.removeprefix("unix:")
            connector = aiohttp.UnixConnector(path) if path != self._where else aiohttp.TCPConnector()
            base = "http://store" if path != self._where else self._where
            self._session = aiohttp.ClientSession(
                base, connector=connector, timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session


async def _refusal(answer: aiohttp.ClientResponse) -> Refusal:
    try:
        said = await answer.json(content_type=None)
        return from_problem(answer.status, str(said["code"]), str(said["detail"] or said["title"]))
    except (ValueError, KeyError, TypeError):
        return from_problem(answer.status, "", answer.reason or "")


def _stored(said: dict[str, Any]) -> StoredObject:
    times = {"received_at": datetime.fromisoformat(said["received_at"])}
    sealed_at = datetime.fromisoformat(said["sealed_at"]) if said["sealed_at"] else None
    said = {"vouched": None} | said  # an older store says less, a newer one more
    known = {name: said[name] for name in StoredObject.__dataclass_fields__}
    return StoredObject(**known | times | {"sealed_at": sealed_at})
