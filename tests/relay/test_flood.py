"""Whatever is thrown at the UDP port of a relay process: no trace in its log, no growth, and the call goes on.

`hostile.bin` is a recorded corpus: datagrams that look like STUN, DTLS, RTP and RTCP and are not, one after another,
each behind its length (two bytes). Written by `python -m tests.relay.test_flood`, and added to when one does harm.
"""

import asyncio
import random
import re
import socket
import struct
from pathlib import Path

import pytest

from tests.relay.harness import RelayProcess, connect, until
from tests.relay.raw_peer import CHROMIUM, RawPeer

CORPUS = Path(__file__).parent / "hostile.bin"
ROUNDS = 8
COOKIE = struct.pack("!L", 0x2112A442)


def read_corpus() -> list[bytes]:
    data, found = CORPUS.read_bytes(), []
    while data:
        (size,) = struct.unpack_from("!H", data)
        found.append(data[2 : 2 + size])
        data = data[2 + size :]
    return found


def make_corpus() -> list[bytes]:
    """Return datagrams just beside what is well formed: cut short, too long, lengths that lie, unknown types."""
    rng = random.Random(7983)
    attribute = struct.pack("!HH", 6, 9) + b"abcd:efgh" + bytes(3)
    request = struct.pack("!HH", 1, len(attribute)) + COOKIE + bytes(12) + attribute
    integrity = struct.pack("!HH", 8, 20) + bytes(20)
    signed = struct.pack("!HH", 1, len(attribute + integrity)) + COOKIE + bytes(12) + attribute + integrity
    hello = bytes.fromhex("16fefd0000000000000000") + struct.pack("!H", 300) + bytes([1]) + bytes(299)
    rtp = struct.pack("!BBHLL", 0x90, 96, 7, 90_000, 1) + bytes.fromhex("bede0001 10ff0000") + bytes(60)
    report = struct.pack("!BBHL", 0x81, 201, 7, 1) + struct.pack("!LLLLLL", 1, 2, 3, 4, 5, 6)
    nack = struct.pack("!BBHLLHH", 0x81, 205, 3, 1, 2, 3, 0xFFFF)
    remb = struct.pack("!BBHLL", 0x8F, 206, 5, 1, 0) + b"REMB" + struct.pack("!BBHL", 1, 0xFF, 0xFFFF, 9)
    found = [bytes([first]) for first in range(256)]
    for seed in (request, signed, hello, rtp, report, nack, remb):
        found.append(seed)
        found += [seed[:size] for size in range(1, min(len(seed), 40))]
        found.append(seed + bytes(1400 - len(seed)))
        for _ in range(60):
            broken = bytearray(seed)
            for _ in range(rng.randrange(1, 5)):
                broken[rng.randrange(min(len(broken), 48))] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
            found.append(bytes(broken))
    return found


def test_the_corpus_reaches_every_kind_of_packet():
    firsts = {datagram[0] for datagram in read_corpus()}
    assert firsts == set(range(256))


def memory_of(process) -> int:
    """Return the resident memory in KiB."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


@pytest.fixture
async def call(tmp_path, monkeypatch, forwarder):
    relay = RelayProcess(tmp_path, forwarder=forwarder)
    client = await connect(relay.control, [])
    people = []
    for name in ("a", "b"):
        people.append(RawPeer(monkeypatch))
        offer = await people[-1].offer()
        await people[-1].accept(await client.join(room="r", epoch=1, participant=name, offer=offer, admitted=True))
    yield relay, client, people
    for peer in people:
        await peer.close()
    await client.close()
    relay.close()


async def throw(relay, client, send, datagrams):
    """Throw everything once and wait until the relay has read it."""
    for number, datagram in enumerate(datagrams):
        send(datagram)
        if number % 50 == 0:
            await asyncio.sleep(0)
    await client.status()


@pytest.mark.parametrize("thrower", ["strangers", "participant"])
async def test_the_port_survives_the_corpus_without_a_trace_or_growth_and_the_call_goes_on(call, thrower):
    relay, client, (a, b) = call
    await a.send_until("video", b, 0, b"before")
    datagrams = read_corpus()
    address = ("127.0.0.1", a.relay_address[1])
    strangers = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(20)]
    rng = random.Random(1)

    def send(datagram):
        if thrower == "participant":
            a.send_raw(datagram)
        else:
            rng.choice(strangers).sendto(datagram, address)

    await throw(relay, client, send, datagrams)  # once to warm up: caches, buffers
    settled = memory_of(relay.process)
    for _ in range(ROUNDS):
        rng.shuffle(datagrams)
        await throw(relay, client, send, datagrams)
    await a.send_until("video", b, 0, b"after")
    await b.send_until("audio", a, 0, b"after")
    for each in strangers:
        each.close()
    assert memory_of(relay.process) < settled + 4096, "it grew by megabytes"
    dropped = (await client.status())["counters"]["dropped"]
    assert sum(dropped.values()) > len(datagrams)
    text = relay.log_text()
    assert "Traceback" not in text
    assert "failed" not in text


async def test_a_flood_of_checks_from_one_address_is_cut_off_and_others_still_get_in(call, monkeypatch):
    _, client, (a, _) = call
    address = ("127.0.0.1", a.relay_address[1])
    name = re.search(r"a=ice-ufrag:(\S+)", a.answer)[1].encode()  # somebody who is here
    attribute = struct.pack("!HH", 6, len(name) + 5) + name + b":efgh" + bytes(-(len(name) + 5) % 4)
    check = struct.pack("!HH", 1, len(attribute)) + COOKIE + bytes(12) + attribute
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as loud:
        loud.bind(("127.0.0.99", 0))

        async def flooded():
            for _ in range(600):
                loud.sendto(check, address)
            return (await client.status())["counters"]["dropped"].get("stun_flood", 0) > 0

        await until(flooded, "the flood is cut off")
        late = RawPeer(monkeypatch)
        answer = await client.join(room="r", epoch=1, participant="late", offer=await late.offer(), admitted=True)
        await late.accept(answer)
        await a.send_until("audio", late, 0, b"welcome")
        await late.close()


async def test_a_connection_by_another_certificate_than_signalling_named_never_comes_up(call, monkeypatch):
    relay, client, (a, b) = call
    impostor = RawPeer(monkeypatch)
    offer = await impostor.offer()
    fingerprint = next(line for line in CHROMIUM.splitlines() if line.startswith("a=fingerprint:"))
    forged = "\r\n".join(fingerprint if x.startswith("a=fingerprint:") else x for x in offer.splitlines()) + "\r\n"
    answer = await client.join(room="r", epoch=1, participant="i", offer=forged, admitted=True)
    connecting = asyncio.create_task(impostor.accept(answer))
    await until(lambda: "connection_failed" in relay.log_text(), "the handshake is refused")
    await a.send_until("audio", b, 0, b"secret")
    assert impostor.packets == []
    assert (await client.status())["connected"] == 2
    connecting.cancel()
    await asyncio.gather(connecting, return_exceptions=True)
    await impostor.close()


if __name__ == "__main__":
    CORPUS.write_bytes(b"".join(struct.pack("!H", len(each)) + each for each in make_corpus()))
