"""Many datagrams with one system call: what the kernel writes and reads is what these sockets send and receive."""

import socket
import time

import pytest

from video_server.relay.batch import (
    HEADROOM,
    RECEIVE_SLOTS,
    SEND_SLOTS,
    STRIDE,
    Inbox,
    Outbox,
    pack_place,
    unpack_place,
)
from video_server.relay.counters import Counters
from video_server.relay.srtp import SENT_BYTES

LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


def open_socket(family):
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setblocking(False)
    try:
        sock.bind((LOOPBACK[family], 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    return sock


@pytest.fixture(params=[socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])
def sockets(request):
    made = [open_socket(request.param) for _ in range(3)]
    yield made
    for each in made:
        each.close()


def read(inbox, slot):
    begin = slot * STRIDE + HEADROOM
    return bytes(inbox.view[begin : begin + inbox.sizes[slot]])


def put(outbox, data, address):
    begin = outbox.count * SENT_BYTES
    outbox.view[begin : begin + len(data)] = data
    outbox.put(len(data), pack_place(address))


@pytest.mark.parametrize("address", [("192.0.2.7", 65535), ("2001:db8::7", 1, 0, 0), ("fe80::1", 40000, 5, 3)])
def test_an_address_is_the_same_after_the_way_through_the_kernels_form(address):
    assert unpack_place(pack_place(address)) == address


def test_an_ipv6_address_may_leave_out_flow_and_scope():
    assert unpack_place(pack_place(("2001:db8::7", 1))) == ("2001:db8::7", 1, 0, 0)


def test_datagrams_come_in_order_with_sender_size_and_time(sockets):
    ours, one, two = sockets
    inbox = Inbox(ours)
    assert inbox.receive() == 0
    before = time.time()
    for sender, data in ((one, b"a"), (two, b""), (one, b"c" * 1400), (two, b"d")):
        sender.sendto(data, ours.getsockname())
    assert inbox.receive() == 4
    assert [read(inbox, slot) for slot in range(4)] == [b"a", b"", b"c" * 1400, b"d"]
    assert [inbox.get_address(slot) for slot in range(4)] == [each.getsockname() for each in (one, two, one, two)]
    first, second, third, fourth = inbox.senders
    assert first == third != second == fourth
    # The kernel begins to stamp arrivals a moment after it was first asked; what came before has the time of reading.
    assert all(before - 0.01 <= stamp <= time.time() + 0.01 for stamp in inbox.stamps)
    assert len(inbox.stamps) == 4


def test_what_does_not_fit_a_batch_comes_with_the_next(sockets):
    ours, one, _ = sockets
    inbox = Inbox(ours)
    for number in range(RECEIVE_SLOTS + 3):
        one.sendto(b"%d" % number, ours.getsockname())
    assert inbox.receive() == RECEIVE_SLOTS
    assert inbox.receive() == 3
    assert read(inbox, 2) == b"%d" % (RECEIVE_SLOTS + 2)


def test_without_stamps_nothing_is_said_of_times_and_they_come_back(sockets):
    ours, one, _ = sockets
    inbox = Inbox(ours)
    for on in (0, 1):
        ours.setsockopt(socket.SOL_SOCKET, 35, on)
        one.sendto(b"x", ours.getsockname())
        assert inbox.receive() == 1
        assert len(inbox.stamps) == on


def test_an_outbox_sends_each_packet_to_its_own_place(sockets):
    ours, one, two = sockets
    counters = Counters()
    outbox = Outbox(ours, counters)
    put(outbox, b"for one", one.getsockname())
    put(outbox, b"for two, longer", two.getsockname())
    with pytest.raises(BlockingIOError):
        one.recv(100)
    outbox.flush()
    assert (one.recv(100), two.recv(100)) == (b"for one", b"for two, longer")
    assert (counters.forwarded, outbox.count) == (2, 0)


def test_a_full_outbox_sends_by_itself(sockets):
    ours, one, _ = sockets
    outbox = Outbox(ours, Counters())
    for number in range(SEND_SLOTS):
        put(outbox, b"%d" % number, one.getsockname())
    assert [one.recv(100) for _ in range(SEND_SLOTS)] == [b"%d" % number for number in range(SEND_SLOTS)]


def test_a_packet_that_cannot_go_is_counted_and_stops_no_other(sockets):
    ours, one, two = sockets
    counters = Counters()
    outbox = Outbox(ours, counters)
    nowhere = (*one.getsockname()[:1], 0, *one.getsockname()[2:])
    for address in (nowhere, one.getsockname(), nowhere, nowhere, two.getsockname()):
        put(outbox, b"x", address)
    outbox.flush()
    assert (one.recv(100), two.recv(100)) == (b"x", b"x")
    assert (counters.forwarded, dict(counters.dropped)) == (2, {"send_failed": 3})
