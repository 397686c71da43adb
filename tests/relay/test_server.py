"""The relay as a process of its own, with the client that the web uses."""

import asyncio
import json
import os
import signal
import stat
import time

import pytest

from tests.relay.harness import PATIENCE_SECONDS, RelayProcess, connect, until
from tests.relay.raw_peer import RawPeer
from video_server.core.errors import CannotStart
from video_server.relay import server as server_module
from video_server.relay.client import RelayClient, RelayLost, RelayRefused
from video_server.relay.protocol import Join
from video_server.relay.server import RelaySettings, _bind_control


@pytest.fixture
def relay(tmp_path):
    relay = RelayProcess(tmp_path)
    yield relay
    relay.close()


async def join(client, monkeypatch, participant="p", *, epoch=1, **more):
    peer = RawPeer(monkeypatch)
    offer = await peer.offer()
    answer = await client.join(room="r", epoch=epoch, participant=participant, offer=offer, admitted=True, **more)
    await peer.accept(answer)
    return peer


async def test_a_call_goes_through_the_process_and_is_reported(relay, monkeypatch):
    events = []
    client = await connect(relay.control, events)
    a = await join(client, monkeypatch, "a")
    b = await join(client, monkeypatch, "b")
    await a.send_until("video", b, 0, b"hello")
    await client.admit(room="r", epoch=1, participant="a", admitted=False)
    await client.leave(room="r", epoch=1, participant="a")
    status = await client.status()
    assert (status["instance"], status["rooms"], status["participants"]) == (client.instance, 1, 1)
    assert status["counters"]["forwarded"] >= 1
    await client.close_room(room="r", epoch=1)
    await until(lambda: [e for e in events if e.name == "left"][1:], "both left")
    names = {event.name for event in events}
    assert {"connected", "media", "slots", "left"} <= names
    await client.close()
    for peer in (a, b):
        await peer.close()


async def test_the_control_socket_is_for_its_owner_only(relay):
    client = await connect(relay.control, [])
    assert stat.S_IMODE(relay.control.stat().st_mode) == 0o600
    await client.close()


async def test_refusals_carry_their_code(relay, monkeypatch):
    client = await connect(relay.control, [])
    peer = await join(client, monkeypatch, epoch=3)
    good = await peer.offer()
    for code, ask in [
        ("stale_epoch", client.leave(room="r", epoch=2, participant="p")),
        ("unknown_room", client.leave(room="another", epoch=1, participant="p")),
        ("unknown_participant", client.admit(room="r", epoch=3, participant="q", admitted=True)),
        ("bad_offer", client.join(room="r", epoch=3, participant="p", offer="v=0", admitted=True)),
        ("bad_request", client.join(room="not an id", epoch=3, participant="p", offer=good, admitted=True)),
    ]:
        with pytest.raises(RelayRefused) as refusal:
            await ask
        assert refusal.value.code == code
    await client.close()
    await peer.close()


async def test_nonsense_on_the_control_socket_is_answered_and_the_relay_goes_on(relay):
    client = await connect(relay.control, [])
    reader, writer = await asyncio.open_unix_connection(str(relay.control))
    assert json.loads(await reader.readline())["instance"] == client.instance
    writer.write(b"nonsense\n" + b"x" * 300_000 + b'\n{"id":3,"op":"nothing"}\n{"id":4,"op":"status"}\n\xff\xfe\n')
    codes = [json.loads(await reader.readline()) for _ in range(5)]
    assert [(each["id"], each.get("code")) for each in codes] == [
        (0, "bad_request"), (0, "bad_request"), (3, "bad_request"), (4, None), (0, "bad_request"),
    ]  # fmt: skip
    assert (await client.status())["rooms"] == 0
    writer.close()
    await client.close()


async def test_events_go_to_every_connection(relay, monkeypatch):
    first, second = [], []
    one, two = await connect(relay.control, first), await connect(relay.control, second)
    assert one.instance == two.instance
    peer = await join(one, monkeypatch)
    await until(
        lambda: any(e.name == "connected" for e in first) and any(e.name == "connected" for e in second), "told"
    )
    await peer.close()
    await one.close()
    await two.close()


async def test_forwarding_goes_on_while_nobody_controls(relay, monkeypatch):
    client = await connect(relay.control, [])
    a, b = await join(client, monkeypatch, "a"), await join(client, monkeypatch, "b")
    await a.send_until("audio", b, 0, b"with")
    await client.close()
    await a.send_until("audio", b, 0, b"without")
    again = await connect(relay.control, [])
    assert again.instance == client.instance
    assert (await again.status())["participants"] == 2
    await again.close()
    for peer in (a, b):
        await peer.close()


async def test_rooms_that_nobody_controls_for_long_are_closed(tmp_path, monkeypatch):
    server = server_module._Server(RelaySettings(tmp_path / "s"), ("127.0.0.1",))
    offer = await RawPeer(monkeypatch).offer()
    server.engine.handle(Join("r", 1, "p", offer, True))
    ticking = asyncio.create_task(server.tick_for_ever())
    await asyncio.sleep(0.2)
    assert server.engine.rooms.rooms, "closed too early"
    monkeypatch.setattr(server_module, "ORPHANED_AFTER_SECONDS", 0.0)
    await until(lambda: not server.engine.rooms.rooms, "closed")
    ticking.cancel()
    await server.engine.close()


async def test_a_killed_relay_is_noticed_and_a_new_one_takes_its_socket(relay, tmp_path):
    lost = []
    client = await connect(relay.control, [], lost)
    relay.kill()
    await until(lambda: lost, "the client is told")
    with pytest.raises(RelayLost):
        await client.status()
    assert relay.control.exists(), "a killed relay leaves its socket"
    successor = RelayProcess(tmp_path)
    other = await connect(successor.control, [])
    assert other.instance != client.instance
    await other.close()
    successor.close()
    assert lost == [True]


async def test_a_relay_that_dies_while_it_drains_comes_back_draining_and_one_that_was_stopped_does_not(relay, tmp_path):
    async def start_again() -> tuple[RelayProcess, RelayClient, bool]:
        successor = RelayProcess(tmp_path)
        client = await connect(successor.control, [])
        return successor, client, (await client.status())["draining"]

    client = await connect(relay.control, [])
    await client.drain(on=True)
    relay.kill()
    second, client, drains = await start_again()
    assert drains
    assert second.stop() == 0
    third, client, drains = await start_again()
    assert not drains
    await client.drain(on=True)
    await client.drain(on=False)
    third.kill()
    fourth, client, drains = await start_again()
    assert not drains
    await client.close()
    fourth.close()


async def test_nobody_listening_is_relay_lost(tmp_path):
    with pytest.raises(RelayLost):
        await RelayClient.connect(tmp_path / "none", on_event=print, on_lost=print)


async def test_closing_the_client_is_no_loss(relay):
    lost = []
    client = await connect(relay.control, [], lost)
    await client.close()
    with pytest.raises(RelayLost):
        await client.status()
    assert lost == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_cleanly(relay, number):
    client = await connect(relay.control, [])
    relay.process.send_signal(number)
    assert await asyncio.to_thread(relay.process.wait, PATIENCE_SECONDS) == 0
    assert not relay.control.exists()
    assert relay.process.stdout.read() == b""
    assert "Traceback" not in relay.log_text()
    await client.close()


async def test_it_ends_with_the_process_that_started_it(tmp_path):
    relay = RelayProcess(tmp_path, parent_pipe=True)
    client = await connect(relay.control, [])
    relay.process.stdin.close()
    assert await asyncio.to_thread(relay.process.wait, PATIENCE_SECONDS) == 0
    await client.close()
    relay.close()


async def test_a_second_relay_on_the_same_socket_refuses_to_start(relay):
    client = await connect(relay.control, [])
    with pytest.raises(CannotStart, match="already running"):
        _bind_control(RelaySettings(relay.control).control)
    assert (await client.status())["rooms"] == 0
    await client.close()


def test_the_socket_is_never_open_to_others_not_even_while_it_is_made(tmp_path, monkeypatch):
    modes = []
    monkeypatch.setattr(os, "umask", _spy(os.umask, modes))
    listener = _bind_control(tmp_path / "s")
    assert modes[0] == 0o177
    assert len(modes) == 2, "the umask is put back"
    listener.close()


def _spy(function, calls):
    def spied(value):
        calls.append(value)
        return function(value)

    return spied


async def test_the_log_holds_no_offer_and_no_address(relay, monkeypatch):
    client = await connect(relay.control, [])
    peer = await join(client, monkeypatch)
    await client.close_room(room="r", epoch=1)
    await client.close()
    await peer.close()
    relay.stop()
    text = relay.log_text()
    assert "relay_ready" in text
    for secret in ("ice-pwd", "127.0.0.1", "a=", "fingerprint"):
        assert secret not in text


async def test_a_loop_that_was_held_up_shows_in_the_status(tmp_path):
    server = server_module._Server(RelaySettings(tmp_path / "s"), ("127.0.0.1",))
    ticking = asyncio.create_task(server.tick_for_ever())
    await asyncio.sleep(0.1)
    time.sleep(0.3)  # noqa: ASYNC251 — this is the stall
    await until(lambda: server.engine.status()["loop_stall_max_ms"] > 200, "told")
    assert server.engine.status()["loop_stalls"]["100"] >= 1
    ticking.cancel()
    await server.engine.close()
