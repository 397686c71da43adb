"""What the tests of the store's pages share: a person who came in by a ticket, as the web server would let them in."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from html import unescape
from urllib.parse import quote

from aiohttp import ClientResponse, ClientSession, CookieJar

from evidence_store.client import make_ticket
from evidence_store.sealing import signing
from evidence_store.view.session import COOKIE, REFERENCE
from tests.evidence.conftest import INCIDENT, Wire, jpeg

STAFF_SESSION = "the session at the other program"


class Person:
    """A browser on the store's pages; redirects are told, not followed."""

    def __init__(self, wire: Wire, http: ClientSession) -> None:
        self.wire, self.http = wire, http

    def ticket(self, name: str = "ann", **changed: object) -> str:
        now = self.wire.clock()
        said: dict[str, object] = {
            "person": name, "title": name.title(), "role": "evidence", "reference": STAFF_SESSION, "home": "/desk",
            "expires_at": now + timedelta(seconds=60), "ends_at": now + timedelta(hours=12),
        }  # fmt: skip
        key = changed.pop("key", self.wire.store.keys.grant)
        return make_ticket(key, **said | changed)  # type: ignore[arg-type]

    async def enter(self, ticket: str, *, status: int = 303, where: str = "", **headers: str) -> ClientResponse:
        data = {"ticket": ticket, "next": where}
        answer = await self.http.post("/evidence/view/enter", data=data, headers=headers, allow_redirects=False)
        assert answer.status == status, await answer.text()
        if status == 303:
            line = answer.headers["Set-Cookie"]
            self.http.headers["Cookie"] = line.partition(";")[0]
        return answer

    async def get(self, path: str, *, status: int = 200, **headers: str) -> str:
        async with self.http.get(path, headers=headers, allow_redirects=False) as answer:
            text = await answer.text()
            assert answer.status == status, text
            return text

    def form_key(self) -> str:
        """Return what every form of this session carries."""
        secret = self.http.headers["Cookie"].partition("=")[2]
        return signing.sha256_hex(f"form\n{secret}".encode())[:32]

    async def post(self, path: str, *, status: int = 303, key: str | None = None, **form: str) -> str:
        """Send a form as a page of this session would; return where it leads, or the page."""
        data = form | {"form_key": self.form_key() if key is None else key}
        async with self.http.post(path, data=data, allow_redirects=False) as answer:
            text = await answer.text()
            assert answer.status == status, text
            return answer.headers["Location"] if status == 303 else text


@asynccontextmanager
async def person(wire: Wire, name: str = "ann", **how: object) -> AsyncIterator[Person]:
    """Somebody who is in, as evidence staff unless told otherwise."""
    async with nobody(wire) as one:
        await one.enter(one.ticket(name, **how))
        yield one


@asynccontextmanager
async def nobody(wire: Wire) -> AsyncIterator[Person]:
    """A browser that nobody let in."""
    headers = {REFERENCE: STAFF_SESSION, "Sec-Fetch-Site": "same-origin"}
    async with ClientSession(wire.http._base_url, headers=headers, cookie_jar=CookieJar(unsafe=True)) as http:
        http.cookie_jar.clear()
        yield Person(wire, http)


async def sealed(wire: Wire, seed: int = 1, *, incident: str = INCIDENT, name: str = "window.jpg") -> str:
    """Seal an object and return its id."""
    object_id = signing.new_id()
    await wire.put(
        object_id, jpeg(3000, seed),
        **{"Evidence-Incident": incident, "Evidence-Filename": quote(name), "Evidence-Officer": "1234"},
    )  # fmt: skip
    return object_id


def words_of(page: str) -> str:
    """Return what a person reads on a page, on one line."""
    shown = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", shown)).split())


__all__ = ["COOKIE", "Person", "nobody", "person", "sealed", "words_of"]
