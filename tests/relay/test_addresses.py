"""The port on every address of the machine: IPv4 beside IPv6, and answers from the address that was asked."""

import socket

import pytest

from tests.relay.harness import until
from tests.relay.test_engine import Relay
from video_server.relay import sockets, transport
from video_server.relay.counters import Counters
from video_server.relay.port import Port


@pytest.fixture
async def make_relay(monkeypatch):
    made = []

    def make(**where):
        made.append(Relay(monkeypatch, **where))
        return made[-1]

    yield make
    for relay in made:
        await relay.close()


async def test_ipv4_and_ipv6_meet_in_one_room(make_relay):
    relay = make_relay(hosts=sockets.EVERYWHERE, addresses=("127.0.0.1", "::1"))
    four, six = await relay.join("four"), await relay.join("six", host="::1")
    assert relay.engine._peers[("r", "six")].link.address[0] == "::1"
    await four.send_until("video", six, 0, b"to six")
    await six.send_until("video", four, 0, b"to four")
    await until(lambda: six.rtcp, "reports go over IPv6 too")


async def test_an_answer_over_ipv6_says_so(make_relay):
    relay = make_relay(hosts=("::1",), addresses=("::1",))
    peer = await relay.join("a", host="::1")
    line = next(line for line in peer.answer.splitlines() if line.startswith("c="))
    assert line == "c=IN IP6 ::1"


async def test_media_leaves_by_the_address_that_was_asked(make_relay):
    # Bound to all addresses alone, the kernel would answer 127.0.0.1 from 127.0.0.1 whichever address it asked.
    relay = make_relay(hosts=(*sockets.EVERYWHERE, "127.0.0.2"), addresses=("127.0.0.2",))
    a, b = await relay.join("a"), await relay.join("b")
    sources = set()
    take = b.gatherer._connection._protocols[0].datagram_received
    b.gatherer._connection._protocols[0].datagram_received = lambda data, address: (
        sources.add(address[0]),
        take(data, address),
    )
    await a.send_until("audio", b, 0, b"heard")
    assert sources == {"127.0.0.2"}


def test_a_number_held_on_any_address_is_refused():
    port = Port((*sockets.EVERYWHERE, "127.0.0.1"), 0, Counters())
    try:
        for hosts in (sockets.EVERYWHERE, ("127.0.0.1",), ("::1",)):
            with pytest.raises(OSError, match="in use"):
                Port(hosts, port.number, Counters())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rival:
            rival.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="in use"):
                rival.bind(("127.0.0.1", port.number))
    finally:
        port.close()


@pytest.mark.parametrize(
    ("addresses", "more"),
    [
        (("192.0.2.1", "127.0.0.1"), ()),
        (("192.0.2.1", "2001:db8::1", "127.0.0.1"), ()),
        (("192.0.2.1", "192.0.2.2", "2001:db8::1", "127.0.0.1"), ("192.0.2.1", "192.0.2.2")),
        (("2001:db8::1", "2001:db8::2", "127.0.0.1"), ("2001:db8::1", "2001:db8::2")),
    ],
)
def test_a_socket_of_its_own_is_for_machines_with_several_addresses(addresses, more):
    assert sockets.find_hosts(addresses) == ("0.0.0.0", "::", *more)


def test_addresses_good_on_one_link_only_are_not_advertised(monkeypatch):
    own = ["fe80::1", "2001:db8::1", "192.0.2.1", "127.0.0.2", "169.254.3.4"]
    monkeypatch.setattr(transport.aioice.ice, "get_host_addresses", lambda **_: own)
    assert transport.find_own_addresses() == ("192.0.2.1", "2001:db8::1", "127.0.0.1")
