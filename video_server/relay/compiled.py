"""The forwarder with plain media done in C (`compiled.c`, which says what that is); all else is Python's as ever."""

import socket
from typing import Any

from video_server.relay import srtp
from video_server.relay.batch import Inbox, Outbox
from video_server.relay.built import load_compiled
from video_server.relay.counters import Counters
from video_server.relay.forward import Forwarder
from video_server.relay.history import MASK, History
from video_server.relay.limits import PACKET_COST
from video_server.relay.peers import Peer
from video_server.relay.streams import Output, Source


class CompiledForwarder(Forwarder):
    """Does what Forwarder does, without the interpreter where a packet is the next in order of a stream that runs."""

    def __init__(self, port: Any, counters: Counters, *, cipher: srtp.Cipher = srtp.SRTP, **callbacks: Any) -> None:
        """As Forwarder. Raises CannotStart when the compiled part is not there."""
        super().__init__(port, counters, cipher=cipher, **callbacks)
        self._path = load_compiled().Path(
            self,
            counters,
            self.known,
            [(each, self.inboxes[each], self.outboxes[each]) for each in port.sockets],
            (Source, Output, History, srtp.Session, Outbox, Counters),
            (cipher.protect_at, cipher.unprotect_at),
            (PACKET_COST, MASK),
        )

    def drain(self, sock: socket.socket) -> None:
        """As Forwarder.drain."""
        self._path.drain(sock)

    def take(self, peer: Peer, inbox: Inbox, slot: int, size: int, now: float, arrived: float) -> None:
        """As Forwarder.take."""
        self._path.take(peer, inbox, slot, size, now, arrived)


FORWARDERS: dict[str, type[Forwarder]] = {"python": Forwarder, "compiled": CompiledForwarder}
"""By the names of the setting."""
