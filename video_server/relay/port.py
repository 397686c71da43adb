"""The one UDP port: whose a datagram is, and who may speak from an address.

A STUN check finds its peer by the username fragment; once it has proved that it knows the password, its address belongs
to that peer, and what else comes from there (DTLS, RTP) goes to it by address.
"""

import socket
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

import aioice.stun

from video_server.core.clock import monotonic
from video_server.relay.counters import Counters
from video_server.relay.limits import DTLS_PER_SECOND, STUN_PER_SECOND, FloodGate
from video_server.relay.sockets import Address, bind_all
from video_server.relay.stun import BINDING_REQUEST, peek_ufrag

if TYPE_CHECKING:
    from video_server.relay.transport import Link

_STALE_ADDRESS_SECONDS = 2.0
_REQUEST = BINDING_REQUEST.to_bytes(2, "big")


class Port:
    """The shared UDP port. `links` maps an address to the link it has proved to belong to; the hot path reads it.

    number    the port's number, the same on every socket
    changes   counts changes of `links`
    sockets   one for each host that is bound; IPv4 and IPv6 stay apart, so that neither pays for the other
    """

    def __init__(self, hosts: Sequence[str], number: int, counters: Counters) -> None:
        """Bind. Raises OSError."""
        self.counters = counters
        self.sockets = bind_all(hosts, number)
        self.address: Address = self.sockets[0].getsockname()
        self.number = self.address[1]
        self.links: dict[Address, Link] = {}
        self.changes = 0
        self._by_ufrag: dict[str, Link] = {}
        self._gate = FloodGate()

    def close(self) -> None:
        """Close the sockets."""
        for each in self.sockets:
            each.close()

    def register(self, link: "Link") -> None:
        """Let checks find the link by its username fragment."""
        self._by_ufrag[link.ufrag] = link

    def unregister(self, link: "Link") -> None:
        """Undo `register`; addresses stay."""
        self._by_ufrag.pop(link.ufrag, None)

    def forget(self, link: "Link") -> None:
        """Let nothing find the link any more."""
        self.unregister(link)
        self.changes += 1
        for address in link.addresses:
            if self.links.get(address) is link:
                del self.links[address]
        link.addresses.clear()

    def send(self, data: bytes | memoryview, address: Address, by: socket.socket) -> bool:
        """Send a datagram by one of the sockets; a full or unreachable network drops it, as networks do."""
        try:
            by.sendto(data, address)
        except BlockingIOError:
            self.counters.dropped["send_buffer_full"] += 1
            return False
        except OSError:
            self.counters.dropped["send_failed"] += 1
            return False
        return True

    def receive(self, data: bytes, address: Address, by: socket.socket) -> None:
        """Take a datagram that is no media: STUN by its username fragment, DTLS by its address (RFC 7983).

        by   the socket it came to
        """
        first = data[0]
        link = self.links.get(address)
        if first < 4:
            self._receive_stun(data, address, by)
        elif 20 <= first <= 63 and link is not None:
            if self._gate.passes(("dtls", address), DTLS_PER_SECOND, now=monotonic()):
                link.receive(data, address)
            else:
                self.counters.dropped["dtls_flood"] += 1
        else:
            self.counters.dropped["unknown_sender" if 20 <= first <= 63 or 128 <= first <= 191 else "unknown_kind"] += 1

    def _receive_stun(self, data: bytes, address: Address, by: socket.socket) -> None:
        dropped, owner = self.counters.dropped, self.links.get(address)
        asks = data[:2] == _REQUEST
        link = self._by_ufrag.get(peek_ufrag(data) or "") if asks else owner
        if link is None:
            dropped["stun_unknown"] += 1
            return
        # Counted is only what is for somebody here: else any neighbour behind the same address could use up what those
        # may send who come. A participant is counted by itself, so that nobody else can use up its own.
        if not self._gate.passes(address[0] if owner is None else address, STUN_PER_SECOND, now=monotonic()):
            dropped["stun_flood"] += 1
            return
        try:
            message = aioice.stun.parse_message(data)
        except (ValueError, struct.error, IndexError, KeyError):
            dropped["stun_malformed"] += 1
            return
        if asks is not (message.message_class == aioice.stun.Class.REQUEST):
            dropped["stun_unknown"] += 1
            return
        key = link.password if asks else link.remote_password
        if not message.check_message_integrity(key.encode()):
            # No answer to a stranger: a forged source address would have us send to somebody who never asked.
            dropped["stun_unauthenticated"] += 1
            return
        if asks and ("PRIORITY" not in message.attributes or "ICE-CONTROLLED" in message.attributes):
            dropped["stun_malformed"] += 1  # the offering browser controls (RFC 8445 section 6.1.1)
            return
        if asks and not self._bind(link, address):
            dropped["stun_address_refused"] += 1
            return
        if asks:
            link.note_check(address, by, nominates="USE-CANDIDATE" in message.attributes)
        link.heard_at = monotonic()
        link.receive(data, address)

    def _bind(self, link: "Link", address: Address) -> bool:
        """Let the address belong to the link, unless somebody else is speaking from there."""
        owner = self.links.get(address)
        if owner is link:
            return True
        if owner is not None and monotonic() - owner.heard_at < _STALE_ADDRESS_SECONDS:
            return False
        if not link.accepts(address):
            return False
        if owner is not None:
            owner.addresses.discard(address)
        self.links[address] = link
        self.changes += 1
        link.addresses.add(address)
        return True
