"""Did this request come from one of our own pages? Pure decisions; the middleware and sockets ask."""

from collections.abc import Mapping
from urllib.parse import urlsplit

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def is_own_origin(origin: str | None, *, host: str, public_url: str) -> bool:
    """Compare an Origin header with the host that was asked and the public URL."""
    if not origin or origin == "null":
        return False
    return urlsplit(origin).netloc.lower() in {host.lower(), urlsplit(public_url).netloc.lower()}


def may_change_state(method: str, headers: Mapping[str, str], *, host: str, public_url: str) -> bool:
    """Say whether a request may change anything, by Sec-Fetch-Site and, where a browser lacks it, by Origin.

    "none" is the person's own doing (a typed address, a bookmark); same-site siblings are not trusted.
    Neither header present: refused, because every browser that matters sends Origin with a POST.
    """
    if method in SAFE_METHODS:
        return True
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in {"same-origin", "none"}
    return is_own_origin(headers.get("Origin"), host=host, public_url=public_url)
