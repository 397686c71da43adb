"""The sockets of the relay's port: which hosts it binds, and all of them on one number."""

import errno
import socket
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

Address = tuple[str, int] | tuple[str, int, int, int]
"""As Python's sockets give it: (host, port) in IPv4, with flow and scope, always 0 here, in IPv6."""

EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 — media is public

_SOCKET_BUFFER_BYTES = 4 << 20
_PORT_TRIES = 20


def find_hosts(addresses: Sequence[str]) -> tuple[str, ...]:
    """Return the hosts to bind on a machine with these addresses of its own.

    Of several addresses of one family the kernel would answer from whichever it likes, and a browser takes an answer
    only from the address it asked: there each gets a socket of its own, which answers from it by itself.
    """
    outside = [each for each in addresses if not ip_address(each).is_loopback]
    families = ([each for each in outside if ":" not in each], [each for each in outside if ":" in each])
    return (*EVERYWHERE, *(each for family in families if len(family) > 1 for each in family))


def bind_all(hosts: Sequence[str], number: int) -> list[socket.socket]:
    """Return sockets on one number, 0 for any that is free on every host. Raises OSError."""
    for last in (False,) * (0 if number else _PORT_TRIES) + (True,):
        sockets: list[socket.socket] = []
        try:
            for host in hosts:
                sockets += _bind(host, sockets[0].getsockname()[1] if sockets else number)
        except OSError as problem:
            for each in sockets:
                each.close()
            if last or problem.errno != errno.EADDRINUSE:
                raise
            continue
        for each in sockets:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)  # from now on the number is ours alone
        return sockets
    raise AssertionError("unreachable")


def _bind(host: str, number: int) -> list[socket.socket]:
    """Return a socket on this host; none where the machine knows no IPv6. Raises OSError.

    One address may be bound beside all addresses only while both say SO_REUSEADDR. "All" says it after it is bound,
    so that a number which somebody else holds is refused all the same.
    """
    everywhere = host in EVERYWHERE
    try:
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, _SOCKET_BUFFER_BYTES)
        if ":" in host:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if not everywhere:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    except OSError as problem:
        if host == "::" and problem.errno == errno.EAFNOSUPPORT:
            return []
        raise
    try:
        sock.bind((host, number))
    except OSError as problem:
        sock.close()
        if host == "::" and problem.errno == errno.EADDRNOTAVAIL:
            return []
        raise
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return [sock]
