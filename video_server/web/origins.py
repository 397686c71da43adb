"""Did this request come from one of our own pages? Pure decisions; the middleware and sockets ask."""

from collections.abc import Collection, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


Origin = tuple[str, str, int]
_PORTS = {"http": 80, "https": 443}


def parse(origin: str) -> Origin | None:
    """Return scheme, host and port of a bare origin, None for anything else."""
    try:
        parts = urlsplit(origin)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    more = parts.path or parts.query or parts.fragment or "@" in parts.netloc or "?" in origin or "#" in origin
    if more or not host or parts.scheme not in _PORTS or not _is_host(host):
        return None
    return parts.scheme, host, _PORTS[parts.scheme] if port is None else port


def write(origin: Origin) -> str:
    """Write an origin as browsers do."""
    scheme, host, port = origin
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}" if port == _PORTS[scheme] else f"{scheme}://{host}:{port}"


def own_origins(*, public_url: str, demo: bool, scheme: str, host: str) -> frozenset[Origin]:
    """Return where our own pages live: the public URL; in a demo also the address (no name) that was asked.

    A name in the Host header is never believed: another site may have made its own name lead here.
    """
    asked = parse(f"{scheme}://{host}") if demo else None
    if asked is not None and not _is_address(asked[1]):
        asked = None
    return frozenset(origin for origin in (parse(public_url), asked) if origin is not None)


def is_own_origin(origin: str | None, *, own: Collection[Origin]) -> bool:
    """Compare an Origin header, scheme, host and port, with where our own pages live."""
    return origin is not None and parse(origin) in own


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return host == "localhost"
    return True


def _is_host(host: str) -> bool:
    return _is_address(host) or (host.isascii() and host.translate({ord(mark): None for mark in "-._"}).isalnum())


def may_change_state(method: str, headers: Mapping[str, str], *, own: Collection[Origin]) -> bool:
    """Say whether a request may change anything, by Sec-Fetch-Site and, where a browser lacks it, by Origin.

    "none" is the person's own doing (a typed address, a bookmark); same-site siblings are not trusted.
    Neither header present: refused, because every browser that matters sends Origin with a POST.
    """
    if method in SAFE_METHODS:
        return True
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in {"same-origin", "none"}
    return is_own_origin(headers.get("Origin"), own=own)
