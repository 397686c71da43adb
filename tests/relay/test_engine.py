"""The relay in this process, with hand-made participants: admission, echo, epochs, coming again, bad packets."""

import asyncio
import socket
import struct
from itertools import pairwise

import pytest
from aioice import stun
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.relay.harness import until
from tests.relay.raw_peer import OPUS, RED, VP8, VP8_RTX, RawPeer
from video_server.core.clock import monotonic
from video_server.relay import engine as engine_module
from video_server.relay import port as port_module
from video_server.relay import rtcp
from video_server.relay.engine import Engine
from video_server.relay.feedback import TICK_SECONDS
from video_server.relay.ladder import Sight
from video_server.relay.protocol import (
    PUBLISHABLE,
    Admit,
    AudioOnly,
    CloseRoom,
    Drain,
    Event,
    Hold,
    Join,
    Leave,
    Permit,
    Refused,
    RestartIce,
    Status,
)
from video_server.relay.sdp import parse_offer


class Relay:
    """An engine with its timers, as the server runs it."""

    def __init__(self, monkeypatch, *, hosts=("127.0.0.1",), addresses=("127.0.0.1",), forwarder="python") -> None:
        self.monkeypatch = monkeypatch
        self.events: list[Event] = []
        self.peers: list[RawPeer] = []
        self.engine = Engine(
            udp_hosts=hosts, udp_port=0, addresses=addresses, emit=self.events.append, forwarder=forwarder
        )
        self.loop = asyncio.get_running_loop()
        for each in self.engine.port.sockets:
            self.loop.add_reader(each.fileno(), self.engine.forwarder.drain, each)
        self.tick()

    def tick(self) -> None:
        """Let time pass in the engine; a test whose matter is time cancels `ticking`, and does it by itself."""
        self.ticking = asyncio.create_task(self._tick())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.engine.tick(now=monotonic())

    def jump(self, seconds, *, since=None) -> None:
        """Look at everybody as if `seconds` had passed without a stall, from a moment or from now."""
        now = (monotonic() if since is None else since) + seconds
        self.engine._ticked_at = now
        self.engine._liveness_due = 0.0
        self.engine.tick(now=now)

    async def join(
        self, name, *, admitted=True, echo=False, epoch=1, room="r", publish=PUBLISHABLE, host="127.0.0.1"
    ) -> RawPeer:
        peer = RawPeer(self.monkeypatch, host)
        self.peers.append(peer)
        answer = self.engine.handle(Join(room, epoch, name, await peer.offer(), admitted, echo, publish))["answer"]
        await peer.accept(answer)
        await until(lambda: self.engine._peers[(room, name)].up, f"{name} is up")
        return peer

    def admit(self, name, admitted=True) -> None:
        self.engine.handle(Admit("r", 1, name, admitted))

    def dropped(self, reason) -> int:
        return self.engine.counters.dropped[reason]

    def told(self, name, participant=None) -> list[Event]:
        return [e for e in self.events if e.name == name and participant in (None, e.participant)]

    async def close(self) -> None:
        self.ticking.cancel()
        for peer in self.peers:
            await peer.close()
        for each in self.engine.port.sockets:
            self.loop.remove_reader(each.fileno())
        await self.engine.close()


@pytest.fixture
async def relay(monkeypatch, forwarder):
    relay = Relay(monkeypatch, forwarder=forwarder)
    yield relay
    await relay.close()


async def test_two_admitted_participants_hear_and_see_each_other(relay):
    a, b = await relay.join("a"), await relay.join("b")
    for kind in ("audio", "video"):
        await a.send_until(kind, b, 0, b"from a")
        await b.send_until(kind, a, 0, b"from b")
    assert {event.participant for event in relay.told("connected")} == {"a", "b"}
    assert relay.told("connected")[0].data == {"cipher": "SRTP_AEAD_AES_256_GCM"}
    assert relay.told("media", "a")[-1].data == {"kinds": ["audio", "video"]}
    last = relay.told("slots", "b")[-1].data["slots"]
    assert last == [{"slot": 0, "participant": "a", "audio": True, "video": True, "screen": False}]


async def test_who_is_not_admitted_receives_nothing_and_is_not_heard(relay):
    a, b = await relay.join("a"), await relay.join("b")
    waiting = await relay.join("w", admitted=False)
    await waiting.send("audio", b"may I?")
    await waiting.send("video", b"hello")
    await until(lambda: len(relay.told("media", "w")) == 2, "the relay has both packets")
    for kind in ("audio", "video"):
        await a.send_until(kind, b, 0, b"secret")
    assert waiting.packets == []
    assert all(b"secret" not in data and len(data) < 200 for data in waiting.rtcp)
    assert not any(b"may I" in p[4] or b"hello" in p[4] for p in (*a.packets, *b.packets))
    assert relay.told("slots", "w")[-1].data == {"slots": []}
    assert all(slot["participant"] != "w" for e in relay.events if e.name == "slots" for slot in e.data["slots"])

    relay.admit("w")
    await a.send_until("audio", waiting, 0, b"come in")
    await waiting.send_until("audio", a, 1, b"thank you")
    assert all(not payload.startswith(b"secret") for *_, payload in waiting.packets)

    relay.admit("w", False)
    await a.send_until("audio", b, 0, b"after")
    await waiting.send("audio", b"still here?")
    await until(lambda: relay.engine.counters.received, "counted")
    await a.send_until("video", b, 0, b"flush")
    assert all(not payload.startswith(b"after") for *_, payload in waiting.packets)
    assert all(b"still here" not in payload for *_, payload in (*a.packets, *b.packets))


async def test_of_a_kind_not_permitted_every_packet_is_counted_and_dropped(relay):
    a, b = await relay.join("a", publish=("audio",)), await relay.join("b")
    for kind in ("video", "screen"):
        await a.send(kind, b"not allowed")
    await a.send("video", b"\0\1not allowed", payload_type=VP8_RTX, ssrc=a.ssrcs["video-rtx"])
    await a.send_until("audio", b, 0, b"allowed")
    assert relay.dropped("not_permitted") == 3
    assert {p[4][:7] for p in b.packets} == {b"allowed"}
    assert relay.told("media", "a")[-1].data == {"kinds": ["audio"]}
    assert relay.told("slots", "b")[-1].data["slots"][0] | {"slot": 0} == {
        "slot": 0, "participant": "a", "audio": True, "video": False, "screen": False,
    }  # fmt: skip


async def test_a_permission_holds_from_the_very_answer_on_and_can_be_given_back(relay):
    a, b = await relay.join("a"), await relay.join("b")
    for kind in ("audio", "video"):
        await a.send_until(kind, b, 0, b"before")
    relay.engine.handle(Permit("r", 1, "a", ("video",)))
    await a.send("audio", b"silenced")
    await a.send_until("video", b, 0, b"still seen")
    assert relay.dropped("not_permitted") == 1
    relay.engine.handle(Permit("r", 1, "a", PUBLISHABLE))
    await a.send_until("audio", b, 0, b"again")
    assert all(not payload.startswith(b"silenced") for payload in b.got(0, "audio"))
    numbers = [sequence for ssrc, _, sequence, _, _ in b.packets if ssrc == b.slot_ssrc(0, "audio")]
    assert [(after - before) & 0xFFFF for before, after in pairwise(numbers)] == [1] * (len(numbers) - 1)


async def test_who_may_publish_nothing_hears_everybody_and_takes_no_slot(relay):
    listening = await relay.join("s", publish=())
    a, b = await relay.join("a"), await relay.join("b")
    await a.send_until("audio", listening, 0, b"I was there")
    await b.send_until("audio", a, 0, b"the first slot is free")
    await listening.send("audio", b"psst")
    await a.send_until("audio", b, 0, b"flush")
    assert all(b"psst" not in payload for *_, payload in (*a.packets, *b.packets))
    assert all(seat["participant"] != "s" for e in relay.told("slots") for seat in e.data["slots"])


async def test_a_permission_taken_from_a_screen_frees_its_slot(relay):
    relay.ticking.cancel()  # a screen that sends nothing for five seconds gives its slot back
    a, b = await relay.join("a"), await relay.join("b")
    await a.send("screen", b"slide")
    await until(lambda: b.got(1, "video"), "the screen arrives")
    relay.engine.handle(Permit("r", 1, "a", ("audio", "video")))
    assert [seat["screen"] for seat in relay.told("slots", "b")[-1].data["slots"]] == [False]
    await a.send("screen", b"another slide")
    await a.send_until("audio", b, 0, b"flush")
    assert all(b"another" not in payload for *_, payload in b.packets)


async def test_while_held_nothing_passes_and_everybody_keeps_the_slot(relay):
    a, b = await relay.join("a"), await relay.join("b")
    for kind in ("audio", "video"):
        await a.send_until(kind, b, 0, b"before")
    echo = await relay.join("e", admitted=False, echo=True)
    told = len(relay.told("slots"))
    relay.engine.handle(Hold("r", 1, True))
    received = relay.engine.counters.received
    for kind in ("audio", "video"):
        await a.send(kind, b"private")
    report = rtcp.SenderReport(a.ssrcs["video"], 5, 6, 7, 8)
    await a.send_rtcp(rtcp.build_sender_report(report))
    heard = len(b.packets)
    await b.send_rtcp(rtcp.build_nack(1, b.packets[0][0], [b.packets[0][2]]))
    await until(lambda: relay.engine.counters.received >= received + 2, "the relay has both packets")
    await until(lambda: relay.dropped("resend_impossible") == 1, "not even sent again")
    await echo.send_until("audio", echo, 0, b"the mirror works")
    assert len(b.packets) == heard
    assert not [p for d in b.rtcp for p in rtcp.parse(d) or () if isinstance(p, rtcp.SenderReport)]
    assert len(relay.told("slots")) == told + 1, "only the echo's own sound is news"
    relay.engine.handle(Hold("r", 1, False))
    await a.send_until("audio", b, 0, b"after")
    assert all(not payload.startswith(b"private") for *_, payload in b.packets)


async def test_a_hold_before_the_first_join_and_through_new_connections_ends_with_the_epoch(relay):
    relay.engine.handle(Hold("r", 1, True))
    a, b = await relay.join("a"), await relay.join("b")
    again = await relay.join("b")
    await a.send("audio", b"private")
    await until(lambda: relay.told("media", "a"), "the relay has it")
    a, again = await relay.join("a", epoch=2), await relay.join("b", epoch=2)
    await a.send_until("audio", again, 0, b"a new life")
    assert all(b"private" not in payload for *_, payload in (*b.packets, *again.packets))


async def test_who_wishes_sound_alone_neither_sees_nor_is_seen(relay):
    a, b = await relay.join("a"), await relay.join("b")
    for kind in ("audio", "video"):
        await a.send_until(kind, b, 0, b"before")
        await b.send_until(kind, a, 0, b"before")
    relay.engine.handle(AudioOnly("r", 1, "a", True))
    for one, other in ((a, b), (b, a)):
        await one.send("video", b"unseen")
        await one.send_until("audio", other, 0, b"heard")
    assert all(not payload.startswith(b"unseen") for *_, payload in (*a.packets, *b.packets))
    assert [relay.told("slots", name)[-1].data["slots"][0]["video"] for name in "ab"] == [False, False]
    again = await relay.join("a")
    await b.send("video", b"unseen")
    await b.send_until("audio", again, 0, b"the wish lasts")
    assert not again.got(0, "video")
    relay.engine.handle(AudioOnly("r", 1, "a", False))
    await b.send_until("video", again, 0, b"seen")
    await again.send_until("video", b, 0, b"seen")


async def test_a_thin_link_loses_the_picture_then_shows_none_and_gets_all_back(relay, monkeypatch):
    a, b = await relay.join("a"), await relay.join("b")
    for kind in ("audio", "video"):
        await a.send_until(kind, b, 0, b"before")
        await b.send_until(kind, a, 0, b"before")
    relay.ticking.cancel()
    peer = relay.engine._peers[("r", "b")]
    now, seen = monotonic(), {"sight": Sight(estimate=50_000, falling=True, sound=75_000, picture=900_000, pictures=1)}
    monkeypatch.setattr(peer.meter, "look", lambda *_, **__: seen["sight"])

    def look_until(rung):
        nonlocal now
        for _ in range(200):
            now += 1
            relay.engine._look(peer, now)
            if peer.ladder.rung == rung:
                return
        raise AssertionError(f"never came to {rung}")

    async def passes(sender, receiver):
        await sender.send("video", b"picture")
        await sender.send_until("audio", receiver, 0, b"flush")
        return receiver.got(0, "video")[-1] == b"picture"

    look_until("no_picture")
    assert not await passes(a, b)
    assert relay.told("slots", "b")[-1].data["slots"][0]["video"] is False
    assert await passes(b, a)
    a.packets.clear()
    await b.send_until("video", a, 0, b"still shown")
    look_until("sound_only")
    await b.send("video", b"picture")
    await b.send_until("audio", a, 0, b"flush")
    assert b"picture" not in a.got(0, "video")
    assert relay.told("slots", "a")[-1].data["slots"][0]["video"] is False
    again = await relay.join("b")
    peer = relay.engine._peers[("r", "b")]
    monkeypatch.setattr(peer.meter, "look", lambda *_, **__: seen["sight"])
    assert peer.ladder.rung == "sound_only", "a new connection over the same radio"
    seen["sight"] = Sight(estimate=3_000_000, sound=75_000)
    look_until("full")
    await a.send_until("video", again, 0, b"back")
    await again.send_until("video", a, 0, b"back")
    rungs = [event.data["rung"] for event in relay.told("rung", "b")]
    assert rungs == ["smaller", "no_picture", "sound_only", "no_picture", "smaller", "full"]


async def test_lean_sound_is_the_newest_block_of_red_as_opus_and_the_stream_goes_on(relay):
    a, b = await relay.join("a"), await relay.join("b")
    red = struct.pack("!L", (0x80 | OPUS) << 24 | 960 << 10 | 6) + bytes([OPUS]) + b"before" + b"now"
    await a.send("audio", red, payload_type=RED)
    await until(lambda: red in b.got(0, "audio"), "RED as it is")
    relay.engine._peers[("r", "b")].set_lean(lean=True)
    await a.send("audio", red, payload_type=RED)
    await until(lambda: b"now" in b.got(0, "audio"), "opus alone")
    relay.engine._peers[("r", "b")].set_lean(lean=False)
    await a.send("audio", red, payload_type=RED)
    await until(lambda: len(b.packets) == 3, "RED again")
    assert [packet[1] for packet in b.packets] == [RED, OPUS, RED]
    assert [(after[2] - before[2]) & 0xFFFF for before, after in pairwise(b.packets)] == [1, 1]


async def test_quality_is_told_for_each_participant_from_real_reports(relay):
    relay.ticking.cancel()  # so that all falls into the first five seconds, however long it takes
    a, b = await relay.join("a"), await relay.join("b")
    await a.send_until("video", b, 0, b"frame")
    await a.send_rtcp(rtcp.build_sender_report(rtcp.SenderReport(a.ssrcs["video"], 0x1122334455667788, 0, 1, 1)))
    await until(
        lambda: [p for d in b.rtcp for p in rtcp.parse(d) or () if isinstance(p, rtcp.SenderReport)], "a sender report"
    )
    ssrc, _, sequence, *_ = b.packets[-1]
    await b.send_rtcp(rtcp.build_receiver_report(1, [rtcp.ReportBlock(ssrc, 0, 0, sequence, 180, 0x33445566, 0)]))
    await b.send_until("audio", a, 0, b"flush")
    relay.tick()
    told = await until(lambda: relay.told("quality", "b") and relay.told("quality", "a"), "quality")
    assert told[0].data["up"]["bits_per_second"] > 0
    data = relay.told("quality", "b")[0].data
    assert data["down"] == {"bits_per_second": data["down"]["bits_per_second"], "loss": 0.0, "jitter_ms": 2.0}
    assert data["down"]["bits_per_second"] > 0
    assert data["round_trip_ms"] > 0
    assert data["rung"] == "full"


async def test_a_relay_that_drains_takes_no_new_room_and_goes_on_with_those_it_has(relay):
    a = await relay.join("a")
    relay.engine.handle(Drain(True))
    assert relay.engine.handle(Status())["draining"] is True
    with pytest.raises(Refused) as refusal:
        await relay.join("x", room="another")
    assert refusal.value.code == "draining"
    late = await relay.join("late")
    await a.send_until("audio", late, 0, b"welcome")
    relay.engine.handle(Drain(False))
    await relay.join("x", room="another")
    assert relay.engine.handle(Status())["rooms"] == 2


async def test_the_load_is_told(relay):
    a, b = await relay.join("a"), await relay.join("b")
    await a.send_until("audio", b, 0, b"one")

    async def counted():
        await a.send("audio", b"more")
        return relay.engine.handle(Status())["packets_per_second"] > 0

    await until(counted, "packets are counted by the second")


async def test_after_leaving_not_one_packet_more_in_either_direction(relay):
    a, b, c = await relay.join("a"), await relay.join("b"), await relay.join("c")
    await a.send_until("audio", b, 0, b"before")
    await c.send_until("audio", a, 1, b"before")
    relay.engine.handle(Leave("r", 1, "c"))
    await a.send_until("audio", b, 0, b"after")
    for _ in range(5):
        await c.gatherer._connection._protocols[0].send_data(b"\x80\x6f" + b"\0" * 40, a.relay_address)
    await a.send_until("audio", b, 0, b"flush")
    assert not any(payload.startswith((b"after", b"flush")) for *_, payload in c.packets)
    assert relay.told("left", "c")[0].data == {"reason": "leave"}
    assert relay.told("slots", "a")[-1].data["slots"][0]["participant"] == "b"
    assert len(relay.told("slots", "a")[-1].data["slots"]) == 1


async def test_an_echo_gets_its_own_packets_back_and_nobody_else_does(relay):
    a = await relay.join("a")
    echo = await relay.join("e", admitted=False, echo=True)
    await echo.send_until("audio", echo, 0, b"one two")
    await echo.send_until("video", echo, 0, b"mirror")
    await a.send("audio", b"anybody?")
    await until(lambda: relay.told("media", "a"), "the relay has it")
    await echo.send_until("audio", echo, 0, b"flush")
    assert a.packets == []
    assert all(b"anybody" not in payload for *_, payload in echo.packets)
    slot = relay.told("slots", "e")[-1].data["slots"][0]
    assert (slot["slot"], slot["participant"]) == (0, "e")


async def test_who_joins_again_replaces_its_connection_and_keeps_its_slot(relay):
    a, b, c = await relay.join("a"), await relay.join("b"), await relay.join("c")
    await b.send_until("audio", a, 0, b"first life")
    await c.send_until("audio", a, 1, b"other")
    before = [p for p in a.packets if p[0] == a.slot_ssrc(0, "audio")][-1]
    again = await relay.join("b")
    await again.send_until("audio", a, 0, b"second life")
    after = next(p for p in a.packets if p[4].startswith(b"second life"))
    assert after[2] == (before[2] + 1) & 0xFFFF
    assert 0 < (after[3] - before[3]) & 0xFFFFFFFF < 2**31
    await a.send_until("audio", again, 0, b"to the new one")
    assert all(b"new one" not in payload for *_, payload in b.packets)
    assert relay.told("left") == relay.told("gone") == []


async def test_epochs_are_kept_for_every_request(relay):
    await relay.join("a", epoch=5)
    offer = await RawPeer(relay.monkeypatch).offer()
    for request in (
        Join("r", 4, "b", offer, True),
        Admit("r", 4, "a", False),
        Permit("r", 4, "a", ()),
        AudioOnly("r", 4, "a", True),
        Hold("r", 4, True),
        Leave("r", 4, "a"),
        RestartIce("r", 4, "a", offer),
        CloseRoom("r", 4),
    ):
        with pytest.raises(Refused) as refusal:
            relay.engine.handle(request)
        assert refusal.value.code == "stale_epoch"
    assert relay.engine.handle(Status())["participants"] == 1
    await relay.join("b", epoch=6)
    assert relay.told("left", "a")[0].data == {"reason": "epoch"}
    assert list(relay.engine.rooms.rooms["r"].participants) == ["b"]


async def test_closing_a_room_ends_everybody(relay):
    await relay.join("a")
    await relay.join("b")
    relay.engine.handle(CloseRoom("r", 1))
    status = relay.engine.handle(Status())
    assert (status["rooms"], status["participants"]) == (0, 0)
    assert {event.participant for event in relay.told("left")} == {"a", "b"}
    with pytest.raises(Refused) as refusal:
        relay.engine.handle(Leave("r", 1, "a"))
    assert refusal.value.code == "unknown_room"


async def test_a_bad_offer_is_refused_and_changes_nothing(relay):
    await relay.join("a")
    with pytest.raises(Refused) as refusal:
        relay.engine.handle(Join("r", 99, "a", "v=0 nonsense", True))
    assert refusal.value.code == "bad_offer"
    assert relay.engine.handle(Status())["participants"] == 1


async def test_unknown_ssrc_and_wrong_payload_type_are_counted_and_dropped(relay):
    a, b = await relay.join("a"), await relay.join("b")
    await a.send_until("audio", b, 0, b"good")
    await a.send("audio", b"evil", ssrc=12345, payload_type=VP8_RTX + 1)
    await a.send("audio", b"evil", payload_type=77)
    await a.send_until("audio", b, 0, b"flush")
    assert relay.dropped("unknown_ssrc") == 1
    assert relay.dropped("wrong_payload_type") == 1
    assert all(b"evil" not in payload for *_, payload in b.packets)


async def test_a_publisher_may_change_its_payload_type_within_the_offer(relay):
    a, b = await relay.join("a"), await relay.join("b")
    await a.send_until("audio", b, 0, b"opus")
    await a.send("audio", b"\x6fred", payload_type=RED)
    await until(lambda: b"\x6fred" in b.got(0, "audio"), "red arrives")
    assert {packet[1] for packet in b.packets} == {111, RED}


async def test_a_receiver_that_asks_gets_a_key_frame_asked_for_and_a_packet_sent_again(relay):
    relay.ticking.cancel()  # packets are forgotten as time passes
    a, b = await relay.join("a"), await relay.join("b")
    await a.send_until("video", b, 0, b"frame")
    asked = relay.engine.counters.key_frames_asked
    assert asked == 1, "a new receiver needs a key frame"
    ssrc, _, sequence, _, payload = b.packets[0]
    await b.send_rtcp(rtcp.build_nack(1, ssrc, [sequence]))
    await until(lambda: relay.engine.counters.resent == 1, "resent")
    again = await until(lambda: [p for p in b.packets if p[1] == VP8_RTX], "the retransmission arrives")
    assert again[0][4] == struct.pack("!H", sequence) + payload
    requests = [rtcp.build_key_frame_request(1, ssrc)] * 20
    await _ask_at_once(relay, a, b, requests)
    wanted = struct.pack("!L", a.ssrcs["video"])
    await until(lambda: any(data[1] == 206 and data[8:12] == wanted for data in a.rtcp), "the publisher is asked")


async def _ask_at_once(relay, a, b, requests):
    """Let b ask a for key frames so often within one moment: they are one request then, and one more later."""
    counters, now = relay.engine.counters, monotonic() + 1
    asked = counters.key_frames_asked
    relay.monkeypatch.setattr(engine_module, "monotonic", lambda: now)
    for request in requests:
        await b.send_rtcp(request)
    await b.send_until("audio", a, 0, b"flush")
    assert counters.key_frames_asked == asked + 1, "at once"
    for later, count in ((0.29, 1), (0.31, 2), (1.0, 2)):
        for _ in range(20):  # everybody's turn
            relay.engine.feedback.tick(relay.engine._peers.values(), now=now + later)
        assert counters.key_frames_asked == asked + count, later
    relay.monkeypatch.setattr(engine_module, "monotonic", monotonic)


async def test_twenty_firs_at_once_are_one_request_and_one_more_later(relay):
    relay.ticking.cancel()
    a, b = await relay.join("a"), await relay.join("b")
    await a.send_until("video", b, 0, b"frame")
    ssrc = b.slot_ssrc(0, "video")
    await _ask_at_once(
        relay, a, b, [struct.pack("!BBHLLLL", 0x84, 206, 4, 1, 0, ssrc, number << 24) for number in range(20)]
    )


async def test_each_codec_passes_as_it_is_and_a_camera_may_change_it(relay):
    a, b = await relay.join("a"), await relay.join("b")
    await a.send_until("video", b, 0, b"vp8")
    camera = parse_offer(await RawPeer(relay.monkeypatch).offer()).lines[1]
    (h264,) = [each.payload_type for each in camera.formats if each.codec == "h264"]
    await a.send("video", b"h264", payload_type=h264)
    await until(lambda: b"h264" in b.got(0, "video"), "H264 passes")
    await b.send_until("video", a, 0, b"vp8")
    types = [number for ssrc, number, *_ in b.packets if ssrc == b.slot_ssrc(0, "video")]
    assert (types[0], types[-1]) == (VP8, h264)


async def test_streams_begun_without_end_and_reports_without_end_use_up_what_their_sender_may_ask(relay):
    a, b = await relay.join("a"), await relay.join("b")
    await a.send_until("video", b, 0, b"frame")
    camera = parse_offer(await RawPeer(relay.monkeypatch).offer()).lines[1]
    (h264,) = [each.payload_type for each in camera.formats if each.codec == "h264"]
    relay.ticking.cancel()  # nothing is refilled
    received = relay.engine.counters.received
    for number in range(50):
        await a.send("video", b"again", payload_type=h264 if number % 2 else VP8)
    await until(lambda: relay.engine.counters.received >= received + 50, "the relay has them")
    assert relay.dropped("too_much") >= 20
    b_peer, dropped = relay.engine._peers[("r", "b")], relay.dropped("too_much")
    for _ in range(200):
        await b.send_rtcp(struct.pack("!BBHLL", 0x81, 205, 252, 1, 7) + bytes(1000))
    await until(lambda: relay.dropped("too_much") > dropped, "the reports use up b's own credit")
    assert b_peer.credit < 0


async def test_a_flood_of_sender_reports_is_not_passed_on(relay):
    a, b = await relay.join("a"), await relay.join("b")
    await a.send_until("video", b, 0, b"frame")
    passed, feedback = [], relay.engine.feedback
    relay.monkeypatch.setattr(feedback, "_send", lambda peer, data: passed.append(peer))
    report = rtcp.build_sender_report(rtcp.SenderReport(a.ssrcs["video"], 5, 6, 7, 8))
    now = monotonic()
    for _ in range(3):
        feedback.receive(relay.engine._peers[("r", "a")], report * 40, now=now)
        now += 1.0
    assert len(passed) == 3


async def test_what_belongs_to_another_room_passes_nowhere_whoever_repeats_it(relay):
    a, b = await relay.join("a"), await relay.join("b")
    c, d = await relay.join("c", room="other"), await relay.join("d", room="other")
    await a.send_until("audio", b, 0, b"first")
    await c.send_until("audio", d, 0, b"first")
    a.sequence += 100  # past all that c sent: there a number known already is a repetition before it is a forgery
    stolen = []
    transport = a.gatherer._connection._protocols[0].transport
    sendto = transport.sendto
    relay.monkeypatch.setattr(
        transport, "sendto", lambda data, where: (stolen.append(bytes(data)), sendto(data, where))
    )
    await a.send_until("audio", b, 0, b"private")
    media = [data for data in stolen if data[0] == 0x80]
    refused = relay.dropped("not_authentic")
    for data in media:
        c.send_raw(data)
    await until(lambda: relay.dropped("not_authentic") == refused + len(media), "refused from another room's address")
    replayed = relay.dropped("replayed")
    for data in media:
        a.send_raw(data)
    await until(lambda: relay.dropped("replayed") == replayed + len(media), "refused a second time from its own")
    await a.send_until("audio", b, 0, b"flush")
    assert all(b"private" not in payload for *_, payload in (*c.packets, *d.packets))
    assert len([payload for payload in b.got(0, "audio") if b"private" in payload]) <= len(media), "heard twice"


async def test_a_gap_is_reported_upstream_and_reports_come(relay):
    a, b = await relay.join("a"), await relay.join("b")
    await a.send_until("video", b, 0, b"frame")
    a.sequence += 2
    await a.send_until("video", b, 0, b"after the gap")
    await until(
        lambda: any(isinstance(p, rtcp.Nack) and len(p.sequences) == 2 for d in a.rtcp for p in rtcp.parse(d) or ()),
        "a NACK for both",
    )

    def reports():
        return [p for d in a.rtcp for p in rtcp.parse(d) or () if isinstance(p, rtcp.ReceiverReport) and p.blocks]

    await until(reports, "a receiver report")
    assert reports()[-1].blocks[0].ssrc == a.ssrcs["video"]


async def test_a_sender_report_reaches_the_receiver_on_its_own_clock(relay):
    a, b = await relay.join("a"), await relay.join("b")
    await a.send_until("video", b, 0, b"frame")
    sent_timestamp = a.sequence * 3000
    out_timestamp = b.packets[-1][3]
    report = rtcp.SenderReport(a.ssrcs["video"], 0x1122334455667788, sent_timestamp, 1, 1)
    await a.send_rtcp(rtcp.build_sender_report(report))
    got = await until(
        lambda: [p for d in b.rtcp for p in rtcp.parse(d) or () if isinstance(p, rtcp.SenderReport)],
        "the report arrives",
    )
    assert (got[0].ssrc, got[0].ntp, got[0].timestamp) == (b.slot_ssrc(0, "video"), 0x1122334455667788, out_timestamp)


async def test_a_shared_screen_takes_a_slot_and_gives_it_back_when_it_stops(relay):
    relay.ticking.cancel()
    a, b = await relay.join("a"), await relay.join("b")
    await a.send_until("audio", b, 0, b"hello")
    await a.send("screen", b"slide")
    await until(lambda: b.got(1, "video"), "the screen arrives in a slot of its own")
    screens = [slot for slot in relay.told("slots", "b")[-1].data["slots"] if slot["screen"]]
    assert screens == [{"slot": 1, "participant": "a", "audio": False, "video": True, "screen": True}]
    relay.jump(6)
    assert not [slot for slot in relay.told("slots", "b")[-1].data["slots"] if slot["screen"]]


async def test_of_two_screens_at_the_same_moment_one_alone_is_seen_and_the_other_can_tell(relay):
    relay.ticking.cancel()
    peers = {name: await relay.join(name) for name in "abc"}
    await asyncio.gather(*(peers[name].send("screen", b"slide") for name in "ab"))
    room = relay.engine.rooms.get("r")
    await until(lambda: room.participants["a"].screen and room.participants["b"].screen, "both have come")
    seen, unseen = ("a", "b") if room.sharer == "a" else ("b", "a")

    def screens(participant: str) -> list[tuple[str, int]]:
        slots = relay.told("slots", participant)[-1].data["slots"]
        return [(each["participant"], each["slot"]) for each in slots if each["screen"]]

    assert [screens(name) for name in ("c", unseen, seen)] == [[(seen, 2)], [(seen, 2)], []]
    await peers[unseen].send("screen", b"kept out")
    await peers[unseen].send_until("audio", peers["c"], 0 if unseen == "a" else 1, b"so that has arrived too")
    await peers[seen].send("screen", b"another slide")
    await until(lambda: b"another slide" in peers["c"].got(2, "video"), "the one that is seen")
    assert not any(packet[4] == b"kept out" for peer in peers.values() for packet in peer.packets)
    relay.engine.handle(Permit("r", 1, seen, ("audio", "video")))
    assert [screens(name) for name in ("c", seen, unseen)] == [[(unseen, 2)], [(unseen, 2)], []]


async def test_silence_hearing_and_going_are_told(relay):
    relay.ticking.cancel()
    a = await relay.join("a")
    link = relay.engine._peers[("r", "a")].link
    relay.jump(2.5)
    assert [event.participant for event in relay.told("silent")] == ["a"]
    await a.send("audio", b"back")
    await until(lambda: relay.told("media", "a"), "it arrived")
    relay.jump(0, since=link.heard_at)
    assert [event.participant for event in relay.told("heard")] == ["a"]
    relay.jump(31)
    assert relay.told("gone", "a")[0].data == {"reason": "silent"}
    assert relay.engine.handle(Status())["participants"] == 0


async def test_a_stall_of_our_own_is_nobodys_silence(relay):
    relay.ticking.cancel()
    await relay.join("a")
    now = monotonic()
    relay.engine.tick(now=now)
    relay.engine.tick(now=now + 3)
    assert relay.told("silent") == []
    relay.engine.tick(now=now + 3.3)
    assert len(relay.told("silent")) == 1


async def test_who_says_nothing_by_itself_is_asked_as_soon_as_a_stall_of_our_own_is_over(relay):
    relay.ticking.cancel()
    await relay.join("a")
    now, asked = monotonic(), []
    relay.engine.tick(now=now)
    relay.monkeypatch.setattr(relay.engine._peers[("r", "a")].link, "probe", lambda: asked.append("a"))
    relay.engine.tick(now=now + 3)
    assert asked == ["a"]


async def test_whose_handshake_took_long_is_heard_when_it_is_done(relay):
    relay.monkeypatch.setattr(port_module, "monotonic", lambda: monotonic() - 500)  # its checks came long before
    begun = monotonic()
    await relay.join("a")
    assert relay.engine._peers[("r", "a")].link.heard_at >= begun


async def test_an_idle_participant_is_probed_and_so_not_taken_for_silent(relay):
    await relay.join("a")
    link = relay.engine._peers[("r", "a")].link
    heard = link.heard_at
    link.probe()
    await until(lambda: link.heard_at > heard, "the answer to the probe counts")


async def test_who_hangs_up_is_silent_at_once(relay):
    relay.ticking.cancel()  # nobody is silent for any other reason
    a = await relay.join("a")
    await a.close()
    await until(lambda: relay.told("silent", "a"), "told")
    assert relay.told("silent", "a")[0].data == {"reason": "closed"}


async def test_media_follows_the_address_that_the_browser_nominates(relay):
    a, b = await relay.join("a"), await relay.join("b")
    await a.send_until("audio", b, 0, b"before")
    link = relay.engine._peers[("r", "b")].link
    old = link.address
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        other.setblocking(False)
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        own = b.gatherer.getLocalParameters()
        request.attributes |= {
            "USERNAME": f"{link.ufrag}:{own.usernameFragment}",
            "PRIORITY": 1,
            "ICE-CONTROLLING": 2**63,
            "USE-CANDIDATE": None,
        }
        forged = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, attributes=dict(request.attributes))
        forged.add_message_integrity(b"not the password")
        other.sendto(bytes(forged), b.relay_address)
        await until(lambda: relay.dropped("stun_unauthenticated") == 1, "the forgery is dropped")
        assert other.getsockname() not in relay.engine.port.links
        request.add_message_integrity(link.password.encode())
        other.sendto(bytes(request), b.relay_address)

        def answer_checks():
            try:
                while True:
                    message = stun.parse_message(other.recv(2048))
                    if message.message_class == stun.Class.REQUEST:
                        reply = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, message.transaction_id)
                        reply.attributes["XOR-MAPPED-ADDRESS"] = b.relay_address
                        reply.add_message_integrity(own.password.encode())
                        other.sendto(bytes(reply), b.relay_address)
            except BlockingIOError:
                return link.address == other.getsockname()

        await until(answer_checks, "the relay follows")
        assert link.address != old
        heard = len(b.packets)
        await a.send("audio", b"after")
        await until(lambda: _next_is_media(other), "media goes to the new address")
        assert len(b.packets) == heard


def _next_is_media(sock):
    try:
        return sock.recv(2048)[0] == 0x90
    except BlockingIOError:
        return False


async def test_nobody_takes_over_an_address_that_is_in_use(relay):
    a, b = await relay.join("a"), await relay.join("b")
    owner = relay.engine._peers[("r", "b")].link
    b_address = owner.address
    relay.monkeypatch.setattr(port_module, "monotonic", lambda: owner.heard_at + 1.9)
    link = relay.engine._peers[("r", "a")].link
    request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    remote = a.gatherer.getLocalParameters().usernameFragment
    request.attributes |= {"USERNAME": f"{link.ufrag}:{remote}", "PRIORITY": 1, "ICE-CONTROLLING": 1}
    request.add_message_integrity(link.password.encode())
    relay.engine.port.receive(bytes(request), b_address, relay.engine.port.sockets[0])
    assert relay.dropped("stun_address_refused") == 1
    await a.send_until("audio", b, 0, b"still")


async def test_checks_for_nobody_use_up_nothing_of_what_those_behind_the_same_address_may_send(relay):
    """Else whoever shares a victim's network could keep them out of the call."""
    name = b"nobody00:xxxxxxxx" + bytes(3)
    check = struct.pack("!HHL12xHH", 1, len(name) + 4, 0x2112A442, 6, 17) + name
    for _ in range(1000):
        relay.engine.port.receive(check, ("127.0.0.1", 9), relay.engine.port.sockets[0])
        relay.engine.port.receive(b"\x01\x01" + check[2:], ("127.0.0.1", 9), relay.engine.port.sockets[0])
    assert relay.dropped("stun_unknown") == 2000
    assert relay.dropped("stun_flood") == 0


async def test_an_ice_restart_must_keep_lines_and_certificate(relay):
    await relay.join("a")
    stranger = await RawPeer(relay.monkeypatch).offer()
    with pytest.raises(Refused) as refusal:
        relay.engine.handle(RestartIce("r", 1, "a", stranger))
    assert refusal.value.code == "bad_offer"


@pytest.mark.parametrize("source", ["stranger", "participant"])
async def test_no_datagram_whatever_disturbs_the_relay(relay, source):
    a, b = await relay.join("a"), await relay.join("b")
    await a.send_until("video", b, 0, b"before")
    engine = relay.engine
    link = engine._peers[("r", "a")].link
    username = f"{link.ufrag}:{a.gatherer.getLocalParameters().usernameFragment}".encode()
    address = link.address if source == "participant" else ("192.0.2.9", 9)

    def stun_like(body):
        user = struct.pack("!HH", 6, len(username)) + username + b"\0" * (-len(username) % 4)
        return struct.pack("!HHL", 1, len(user + body), 0x2112A442) + b"t" * 12 + user + body

    shapes = st.one_of(
        st.binary(min_size=1, max_size=1500),
        st.binary(max_size=80).map(stun_like),
        st.tuples(
            st.sampled_from([0, 1, 20, 22, 23, 63, 64, 127, 128, 144, 160, 191, 192, 255]), st.binary(max_size=200)
        ).map(lambda pair: bytes([pair[0]]) + pair[1]),
        st.tuples(
            st.sampled_from([0x80, 0x90, 0xBF]), st.sampled_from([96, 111, 200, 201, 205, 206]), st.binary(max_size=60)
        ).map(lambda t: bytes(t[:2]) + t[2]),
    )

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(shapes)
    def throw(data):
        before = sum(engine.counters.dropped.values())
        if source == "participant":
            a.send_raw(data)
            engine.forwarder.drain(engine.port.sockets[0])
        else:
            engine.port.receive(data, address, engine.port.sockets[0])
            assert sum(engine.counters.dropped.values()) == before + 1, "a stranger's datagram was not counted"

    throw()
    await a.send_until("video", b, 0, b"after")


async def test_rtcp_of_any_content_from_a_participant_is_survived(relay):
    a, b = await relay.join("a"), await relay.join("b")
    await a.send_until("video", b, 0, b"before")
    peer = relay.engine._peers[("r", "b")]

    @settings(max_examples=200, deadline=None)
    @given(st.sampled_from([200, 201, 205, 206]), st.integers(0, 31), st.binary(max_size=100))
    def throw(kind, count, body):
        body = body[: len(body) // 4 * 4]
        ssrc = struct.pack("!LL", 1, b.slot_ssrc(0, "video"))
        for inner in (body, ssrc + body):
            relay.engine.feedback.receive(
                peer, struct.pack("!BBH", 0x80 | count, kind, len(inner) // 4) + inner, now=monotonic()
            )

    throw()
    await a.send_until("video", b, 0, b"after")
