"""Everything that touches aiortc and aioice, and every private name of theirs.

All peers share one UDP port (port.py).

Private names used (exact versions are pinned; tests/relay/test_transport_contract.py names each):
    aioice 0.13.0      Connection._nominated, _check_list, _protocols, _local_candidates, _local_candidates_start,
                       _local_candidates_end, _local_username, _local_password, _remote_candidates, _queue;
                       StunProtocol, CandidatePair; check_complete is wrapped on the instance, query_consent replaced
    aiortc 1.16.0      RTCIceGatherer._connection, RTCDtlsTransport._rx_srtp, _tx_srtp, _set_role, _ssl, _srtp_profiles;
                       RTCCertificate._create_ssl_context is replaced on the instance; rtcdtlstransport.SRTP_PROFILES
"""

import asyncio
import secrets
import socket
import string
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import aioice.ice
import pylibsrtp
from aioice.candidate import Candidate, candidate_foundation, candidate_priority
from aiortc import (
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
    RTCIceGatherer,
    RTCIceTransport,
)
from aiortc.rtcdtlstransport import SRTP_PROFILES
from OpenSSL.SSL import SESS_CACHE_OFF

from video_server.relay.port import Port
from video_server.relay.sdp import Offer
from video_server.relay.sockets import Address
from video_server.relay.srtp import Session

_MAX_QUEUED_DTLS = 64
_MAX_ADDRESSES = 64
_ICE_CHARS = string.ascii_letters + string.digits
_COMPONENT = 1


def find_own_addresses() -> tuple[str, ...]:
    """Return this machine's addresses, IPv4 before IPv6 and loopback last: a browser on this machine reaches us by it.

    Addresses that are good on one link only (fe80::…) are left out: browsers do not look for them.
    """
    own = aioice.ice.get_host_addresses(use_ipv4=True, use_ipv6=True)
    outside = [each for each in own if not (ip_address(each).is_loopback or ip_address(each).is_link_local)]
    return (*sorted(outside, key=lambda each: ":" in each), "127.0.0.1")


class Certificate:
    """The one certificate of this process; browsers check its fingerprint from the answer."""

    def __init__(self) -> None:
        """Make a new key pair, and one context of OpenSSL for all handshakes with it."""
        self.rtc: Any = RTCCertificate.generateCertificate()
        context = self.rtc._create_ssl_context(srtp_profiles=SRTP_PROFILES)
        context.set_session_cache_mode(SESS_CACHE_OFF)  # each connection shakes hands in full, as with contexts apart
        setattr(self.rtc, "_create_ssl_context", lambda srtp_profiles: context)  # noqa: B010 — it is a method of theirs
        prints = {each.algorithm: each.value for each in self.rtc.getFingerprints()}
        self.sha256: str = prints["sha-256"]


class _Leg:
    """What aioice takes for a datagram transport of its own: one peer's share of the port."""

    def __init__(self, port: Port, link: "Link") -> None:
        self._port = port
        self._link = link

    def sendto(self, data: bytes, address: Address) -> None:
        self._link.send_to(data, address)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._port.address if name == "sockname" else default

    def is_closing(self) -> bool:
        return self._link.closed

    def close(self) -> None:
        self._port.forget(self._link)
        asyncio.get_running_loop().call_soon(self._link.protocol.connection_lost, None)


class Link:
    """ICE, DTLS and SRTP of one peer.

    address        where media goes: the pair the browser nominated last; None before the first
    socket         that one of our sockets which the browser nominated, to send to `address` by
    rx, tx         SRTP sessions; None until DTLS is up
    heard_at       monotonic time of the last authenticated packet; 0.0 before the first
    media          whatever the owner hangs on the link; the hot path reaches it by address
    failed         the connection ended by itself; the owner should close it
    on_up          called once when DTLS is up; on_down when the peer closed or DTLS failed (reason); on_moved when
                   address or socket changed
    """

    def __init__(
        self,
        port: Port,
        certificate: Certificate,
        offer: Offer,
        *,
        on_up: Callable[[], None],
        on_down: Callable[[str], None],
        on_moved: Callable[[], None],
    ) -> None:
        """Register the link's username fragment with the port; `start` must follow."""
        self.port = port
        self.address: Address | None = None
        self.socket = port.sockets[0]
        self.addresses: set[Address] = set()
        self._asked_at: dict[Any, socket.socket] = {}  # (host, port) of the browser -> where it last sent its check
        self._nominated_at: dict[Any, socket.socket] = {}  # the same of checks that nominated
        self.rx: Session | None = None
        self.tx: Session | None = None
        self.heard_at = 0.0
        self.media: Any = None
        self.closed = False
        self.failed = False
        self.profile = ""
        self._on_up, self._on_down, self._on_moved = on_up, on_down, on_moved
        self._fingerprints = [RTCDtlsFingerprint(algorithm=a, value=v) for a, v in offer.fingerprints]
        self._nominated = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

        gatherer = RTCIceGatherer(iceServers=[], local_username=_random(8), local_password=_random(24))
        self._connection: Any = gatherer._connection
        self._connection.remote_username = offer.ufrag
        self._connection.remote_password = offer.password
        self._dtls: Any = RTCDtlsTransport(RTCIceTransport(gatherer), [certificate.rtc])
        self._dtls._set_role("server")  # then the choice of cipher is ours: AES-256-GCM where the browser has it
        self._dtls.on("statechange", self._follow_dtls)
        self.protocol: Any = aioice.ice.StunProtocol(self._connection)
        self._attach_protocol()
        port.register(self)

    def _attach_protocol(self) -> None:
        """Do what gathering does, with the shared port as the only local candidate."""
        host, number = self.port.address[:2]
        self.protocol.connection_made(_Leg(self.port, self))
        self.protocol.local_candidate = Candidate(
            foundation=candidate_foundation("host", "udp", host),
            component=_COMPONENT,
            transport="udp",
            priority=candidate_priority(_COMPONENT, "host"),
            host=host,
            port=number,
            type="host",
        )
        connection = self._connection
        connection._protocols.append(self.protocol)
        connection._local_candidates.append(self.protocol.local_candidate)
        connection._local_candidates_start = True
        connection._local_candidates_end = True
        completed = connection.check_complete

        def check_complete(pair: Any) -> None:
            completed(pair)
            self._follow_nomination()

        connection.query_consent = _trust_liveness
        connection.check_complete = check_complete  # tells us at once, where connect() looks every 20 ms

    @property
    def ufrag(self) -> str:
        """Return our username fragment."""
        return str(self._connection.local_username)

    @property
    def password(self) -> str:
        """Return our ICE password."""
        return str(self._connection.local_password)

    @property
    def remote_password(self) -> str:
        """Return the browser's ICE password."""
        return str(self._connection.remote_password)

    def start(self) -> None:
        """Wait for the browser's checks, then for its DTLS hello."""
        self._spawn(self._connect_ice())
        self._spawn(self._connect_dtls())

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect_ice(self) -> None:
        try:
            await self._connection.connect()
        except ConnectionError:
            if not self._nominated.is_set():
                self._fail("ice_failed")

    async def _connect_dtls(self) -> None:
        await self._nominated.wait()
        await self._dtls.start(RTCDtlsParameters(fingerprints=self._fingerprints))

    def _follow_nomination(self) -> None:
        pair = self._connection._nominated.get(_COMPONENT)
        if pair is None or self.closed:
            return
        address = pair.remote_addr
        sock = self._nominated_at.get(address) or self._asked_at.get(address, self.port.sockets[0])
        if address != self.address or sock is not self.socket:
            self.address, self.socket = address, sock
            self._on_moved()
        self._nominated.set()

    def note_check(self, address: Address, by: socket.socket, *, nominates: bool) -> None:
        """Remember which of our sockets an authentic check came to: the answer must leave by the same."""
        self._asked_at[address[:2]] = by
        if nominates:
            self._nominated_at[address[:2]] = by

    def send_to(self, data: bytes, address: Address) -> None:
        """Send a STUN or DTLS datagram by the socket that was asked from there."""
        self.port.send(data, address, self._asked_at.get(address[:2], self.port.sockets[0]))

    def send(self, data: bytes) -> None:
        """Send to where media goes, or nowhere before there is such a place."""
        if self.address is not None:
            self.port.send(data, self.address, self.socket)

    def _follow_dtls(self) -> None:
        state = self._dtls.state
        if self.closed:
            return
        if state == "connected":
            self.rx = Session(self._dtls._rx_srtp)
            self.tx = Session(self._dtls._tx_srtp)
            self.profile = self._dtls._ssl.get_selected_srtp_profile().decode()
            self._on_up()
        elif state == "failed":
            self._fail("dtls_failed")
        elif state == "closed":
            self._fail("closed")

    def _fail(self, reason: str) -> None:
        if not self.closed and not self.failed:
            self.failed = True
            self._on_down(reason)

    def accepts(self, address: Address) -> bool:
        """Bound the candidate pairs that one peer can make us keep."""
        return address in self.addresses or len(self.addresses) < _MAX_ADDRESSES

    def receive(self, data: bytes, address: Address) -> None:
        """Take a STUN or DTLS datagram that was found to be ours."""
        if self.closed:
            return
        if data[0] > 3 and self._connection._queue.qsize() >= _MAX_QUEUED_DTLS:
            self.port.counters.dropped["dtls_flood"] += 1
            return
        self.protocol.datagram_received(data, address)

    def probe(self) -> None:
        """Ask the browser for a sign of life: a check whose answer counts as heard."""
        pair = self._connection._nominated.get(_COMPONENT)
        if pair is not None and not self.closed:
            request = self._connection.build_request(pair, nominate=False)
            request.add_message_integrity(self.remote_password.encode())
            self.protocol.send_stun(request, pair.remote_addr)

    def restart(self, ufrag: str, password: str) -> None:
        """Begin ICE anew with new credentials on both sides; media goes on over the old path meanwhile.

        RFC 8445 section 2.4. aioice has no restart: the pairs learnt so far are dropped, and checks of the new
        generation make new ones.
        """
        connection = self._connection
        self.port.unregister(self)
        connection.remote_username, connection.remote_password = ufrag, password
        connection._local_username, connection._local_password = _random(8), _random(24)
        for pair in connection._check_list:
            if pair.task is not None:
                pair.task.cancel()
        connection._check_list.clear()
        connection._remote_candidates.clear()
        self.port.register(self)

    def protect_rtcp(self, data: bytes) -> bytes | None:
        """Return the encrypted packet, or None before DTLS is up."""
        if self.tx is None:
            return None
        result: bytes = self._dtls._tx_srtp.protect_rtcp(data)
        return result

    def unprotect_rtcp(self, data: bytes) -> bytes | None:
        """Return the packet in the clear, or None when it is not authentic."""
        try:
            result: bytes = self._dtls._rx_srtp.unprotect_rtcp(data)
        except (pylibsrtp.Error, ValueError):
            return None
        return result

    def close(self) -> asyncio.Task[None]:
        """Stop at once: no packet reaches or leaves this link any more, but for one DTLS goodbye."""
        self.closed = True
        self.media = None
        self.rx = self.tx = None
        self._dtls.remove_all_listeners()
        self.port.forget(self)
        return asyncio.get_running_loop().create_task(self._shut())

    async def _shut(self) -> None:
        await self._dtls.stop()
        await self._connection.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _trust_liveness() -> None:
    """Stand in for aioice's consent checks (RFC 7675), which end a connection whose round trip is over half a second.

    Our own rule is as strict: whoever sends nothing authentic for 30 s, though asked, is removed (liveness.py).
    """


def _random(length: int) -> str:
    return "".join(secrets.choice(_ICE_CHARS) for _ in range(length))
