"""One try to deliver: one look-up, one connection to the address that was checked, one POST, a status and nothing more.

Redirects are not followed, no proxy is asked, no cookie is kept; of an answer only its head is read (bounded by lines,
bytes and time), and the connection is closed behind it.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from evidence_store.sealing import signing
from evidence_store.webhooks.addresses import may_connect
from evidence_store.webhooks.model import Hook

SIGNATURE_HEADER = "Evidence-Webhook-Signature"
ID_HEADER = "Evidence-Webhook-Id"
TRY_SECONDS = 10.0
_MAX_HEADERS = 50
_MAX_LINE_BYTES = 4096

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Takes a host and a port, returns addresses; raises OSError."""


class NotTaken(Exception):
    """It was not delivered; the message says why, without secrets or addresses of people."""


async def look_up(host: str, port: int) -> Sequence[str]:
    """Return what this machine's resolver says."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


async def send(
    hook: Hook, delivery_id: str, body: str, *, timestamp: int, resolve: Resolve = look_up, seconds: float = TRY_SECONDS
) -> None:
    """Deliver once. `timestamp` is Unix time, part of what is signed. Raises NotTaken."""
    raw = body.encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "evidence-store",
        ID_HEADER: delivery_id,
        SIGNATURE_HEADER: signing.webhook_signature(hook.secret, timestamp, raw),
    }
    try:
        async with asyncio.timeout(seconds):
            address = await _checked_address(hook, resolve)
            async with (
                _session(hook, address, seconds) as web,
                web.post(hook.url, data=raw, headers=headers, allow_redirects=False) as answer,
            ):
                status = answer.status
                answer.close()  # whatever else it says is not read
    except TimeoutError:
        raise NotTaken(f"no answer within {seconds:g} s") from None
    except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError):
        raise NotTaken("its certificate is not good for this address, or not trusted here") from None
    except (aiohttp.ClientError, OSError, ValueError) as problem:
        raise NotTaken(f"it cannot be reached ({type(problem).__name__})") from None
    if 300 <= status < 400:
        raise NotTaken(f"it answers {status}: redirects are not followed")
    if not 200 <= status < 300:
        raise NotTaken(f"it answers {status}")


async def _checked_address(hook: Hook, resolve: Resolve) -> str:
    url = URL(hook.url)
    assert url.host is not None, "the list holds no address without a host"
    assert url.port is not None, "https has a port"
    try:
        found = await resolve(url.host, url.port)
    except OSError:
        raise NotTaken("its name cannot be looked up") from None
    allowed = [address for address in found if may_connect(address, hook.networks)]
    if not allowed:
        raise NotTaken("its name leads to no address that may be connected to (see `networks`)")
    return allowed[0]


class _Pinned(AbstractResolver):
    """Knows one address, that was checked."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        family = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(hostname=host, host=self._address, port=port, family=family, proto=0, flags=flags)
        ]  # fmt: skip

    async def close(self) -> None:
        """Nothing is open."""


def _session(hook: Hook, address: str, seconds: float) -> aiohttp.ClientSession:
    context = ssl.create_default_context(cafile=hook.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    connector = aiohttp.TCPConnector(
        resolver=_Pinned(address), ssl=context, use_dns_cache=False, force_close=True, limit=1
    )
    return aiohttp.ClientSession(
        connector=connector, timeout=aiohttp.ClientTimeout(total=seconds), cookie_jar=aiohttp.DummyCookieJar(),
        read_bufsize=_MAX_LINE_BYTES, max_line_size=_MAX_LINE_BYTES, max_field_size=_MAX_LINE_BYTES,
        max_headers=_MAX_HEADERS, trust_env=False, auto_decompress=False,
    )  # fmt: skip
