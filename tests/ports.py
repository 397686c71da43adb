"""TCP ports for servers that are told theirs by number, as an operator tells it."""

import socket

_held: list[socket.socket] = []


def find_free_port() -> int:
    """Return a TCP port that the kernel gives nobody else while this process lives.

    It is held by a socket that is bound and never listens. Whoever is told the number may listen there, because a
    server's socket says SO_REUSEADDR as this one does; for a socket that asks for any port the number is taken
    (inet_csk_bind_conflict), and for a connection that goes out as well.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("", 0))
    _held.append(holder)
    return int(holder.getsockname()[1])
