"""The addresses of TURN servers as settings give them; apart from `turn`, so that reading them loads no TURN client."""

import re
from dataclasses import dataclass

_URL = re.compile(r"(turns?):(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)(?::(\d{1,5}))?(?:\?transport=(udp|tcp))?")


@dataclass(frozen=True)
class TurnUrl:
    """A TURN URI (RFC 7065)."""

    host: str
    port: int
    transport: str
    secure: bool


def parse_turn_url(text: str) -> TurnUrl:
    """Raises ValueError."""
    found = _URL.fullmatch(text)
    if found is None:
        raise ValueError("must be a TURN address, such as turn:turn.example.police.uk:3478?transport=udp")
    scheme, host, port, transport = found.groups()
    secure = scheme == "turns"
    chosen = transport or ("tcp" if secure else "udp")
    if secure and chosen == "udp":
        raise ValueError("turns: with transport=udp is not supported: use transport=tcp")
    return TurnUrl(host.strip("[]"), int(port or (5349 if secure else 3478)), chosen, secure)
