"""Several relays behind the web: real relay processes, killed, stopped, drained; rooms follow."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from tests.relay.harness import PATIENCE_SECONDS, RelayProcess, until
from tests.relay.raw_peer import RawPeer
from video_server.calls import presence, rooms, service
from video_server.calls.model import COMES_BACK
from video_server.calls.placement import Load, choose, weigh
from video_server.calls.relay_metrics import RelayCollector
from video_server.calls.relays import NoRelay, Relays

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For what does not hang on the database; processes take time to start."""


class Fleet:
    """Relays named a, b, … and one or more web processes' views of them."""

    def __init__(self, folder: Path, database, clock, stack: AsyncExitStack, monkeypatch) -> None:
        self.folder, self.database, self.clock, self.stack = folder, database, clock, stack
        self.monkeypatch = monkeypatch
        self.processes: dict[str, RelayProcess] = {}
        self.peers: list[RawPeer] = []

    def start(self, name: str) -> None:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        self.processes[name] = RelayProcess(folder, addresses=("127.0.0.1",))

    async def see(self) -> Relays:
        """Return another web process's view, once it sees all relays."""
        controls = {name: process.control for name, process in self.processes.items()}
        relays = Relays(controls, self.database, self.clock)
        for link in relays.links:
            link.answer_seconds = PATIENCE_SECONDS  # a relay that a busy machine holds up is not dead
        await self.stack.enter_async_context(relays.running())
        await until(lambda: all(link.client for link in relays.links), "all relays are found")
        return relays

    def name_of(self, relays: Relays, relay: str) -> str:
        return next(link.name for link in relays.links if link.instance == relay)

    async def join(self, relays: Relays, appointment_id: str, participant: str) -> tuple[RawPeer, str, int]:
        """Join as the page does, again while no relay is there; return the peer, the relay's name and the epoch."""
        peer = RawPeer(self.monkeypatch)
        self.peers.append(peer)
        offer = await peer.offer()
        answer, epoch = await relays.join(
            appointment_id=appointment_id,
            participant_id=participant,
            offer=offer,
            admitted=True,
            publish=("audio", "video", "screen"),
        )
        await peer.accept(answer)
        return peer, self.name_of(relays, relays.find_place(appointment_id, epoch)), epoch

    async def close(self) -> None:
        for peer in self.peers:
            await peer.close()
        for process in self.processes.values():
            if process.process.poll() is None:
                process.process.send_signal(signal.SIGCONT)
            process.close()


@pytest.fixture
async def fleet(tmp_path, database, clock, monkeypatch) -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as stack:
        fleet = Fleet(tmp_path, database, clock, stack, monkeypatch)
        stack.push_async_callback(fleet.close)
        for name in ("a", "b"):
            fleet.start(name)
        yield fleet


@pytest.fixture
async def room(database, appointment, clock, waiting) -> str:
    """Return an appointment's id whose room exists."""
    await waiting()
    return appointment.id


async def find_room(fleet: Fleet, room: str):
    async with fleet.database.read() as db:
        return await rooms.find_room(db, room)


async def test_a_room_whose_relay_is_killed_goes_to_the_living_one_at_once_and_its_people_meet_there(fleet, room):
    here, there = await fleet.see(), await fleet.see()  # two web processes
    _, first, epoch = await fleet.join(here, room, "p")
    _, same, _ = await fleet.join(there, room, "q")
    assert (first, same, epoch) == (first, first, 1), "who comes second goes where the first is"
    told: list[tuple[str, bool]] = []
    here.listen_link(lambda relay, present: told.append((relay, present)))
    dead = here.find_place(room, 1)
    fleet.processes[first].kill()
    await until(lambda: (dead, False) in told and not there.lives(dead), "both are told of the death")
    p, second, epoch_p = await fleet.join(here, room, "p")
    q, other, epoch_q = await fleet.join(there, room, "q")
    assert second == other != first
    assert epoch_p == epoch_q == 2
    await p.send_until("audio", q, 0, b"again together")


async def test_both_processes_at_once_move_a_room_only_once(fleet, room):
    here, there = await fleet.see(), await fleet.see()
    _, first, _ = await fleet.join(here, room, "p")
    fleet.start("c")
    dead = here.find_place(room, 1)
    fleet.processes[first].kill()
    await until(lambda: not here.lives(dead) and not there.lives(dead), "both know")
    places = await asyncio.gather(*(relays._place(room, set()) for relays in (here, there) for _ in range(5)))
    assert len(set(places)) == 1
    assert places[0][1] == 2


@on_sqlite
async def test_the_relay_refuses_who_still_believes_in_the_older_epoch(fleet, room):
    relays = await fleet.see()
    _, name, _ = await fleet.join(relays, room, "p")
    relay = relays.find_place(room, 1)
    async with fleet.database.begin() as db:  # moved away and back
        for living in ({"elsewhere"}, {relay}):
            await rooms.place(db, room, living=living, best=next(iter(living)), now=fleet.clock())
    _, again, epoch = await fleet.join(relays, room, "p")
    assert (again, epoch) == (name, 3)
    with pytest.raises(Exception, match="stale_epoch"):
        await relays.admit(appointment_id=room, epoch=1, participant_id="p", admitted=True)


@on_sqlite
async def test_rooms_spread_over_the_relays(fleet, room):
    relays = await fleet.see()
    _, first, _ = await fleet.join(relays, room, "p")
    peer = RawPeer(fleet.monkeypatch)
    fleet.peers.append(peer)
    await peer.accept(await relays.echo(participant_id="alone", offer=await peer.offer()))
    assert fleet.name_of(relays, relays.echo_relay("alone")) != first, "not where somebody is already"
    status = {link.name: await link.client.status() for link in relays.links}
    assert {name: told["participants"] for name, told in status.items()} == {"a": 1, "b": 1}


@on_sqlite
async def test_the_end_of_a_call_ends_the_checks_of_its_people_also_where_another_process_began_them(
    fleet, room, appointment
):
    here, there = await fleet.see(), await fleet.see()
    async with fleet.database.read() as db:
        [person] = await service.list_participants(db, [room])
    peer = RawPeer(fleet.monkeypatch)
    fleet.peers.append(peer)
    await peer.accept(await here.echo(participant_id=person.id, offer=await peer.offer()))
    await there.close_room(room)
    status = [await link.client.status() for link in here.links]
    assert [told["participants"] for told in status] == [0, 0]


@on_sqlite
async def test_a_draining_relay_finishes_its_calls_and_takes_no_new_one(fleet, room):
    relays = await fleet.see()
    p, name, _ = await fleet.join(relays, room, "p")
    link = next(link for link in relays.links if link.name == name)
    await link.client.drain(on=True)
    q, same, epoch = await fleet.join(relays, room, "q")
    assert (same, epoch) == (name, 1)
    await p.send_until("audio", q, 0, b"goes on")
    for n in range(4):  # at once too, before its figures are read again
        answer = await relays.echo(participant_id=f"new-{n}", offer=await RawPeer(fleet.monkeypatch).offer())
        assert answer
        assert fleet.name_of(relays, relays.echo_relay(f"new-{n}")) != name
    for participant in ("p", "q"):
        await relays.leave(appointment_id=room, epoch=1, participant_id=participant)
    _, elsewhere, epoch = await fleet.join(relays, room, "p")
    assert elsewhere != name, "the call had ended there: it begins anew where new ones are taken"
    assert epoch == 2


@on_sqlite
async def test_a_relay_that_hangs_counts_as_dead_and_is_taken_back_when_it_answers(fleet, room):
    relays = await fleet.see()
    _, name, _ = await fleet.join(relays, room, "p")
    hung = relays.find_place(room, 1)
    next(link for link in relays.links if link.name == name).answer_seconds = 0.5
    os.kill(fleet.processes[name].process.pid, signal.SIGSTOP)
    await until(lambda: not relays.lives(hung), "it counts as dead")
    _, other, epoch = await fleet.join(relays, room, "p")
    assert other != name
    assert epoch == 2
    os.kill(fleet.processes[name].process.pid, signal.SIGCONT)
    await until(lambda: relays.lives(hung), "it answers again")
    _, still, epoch = await fleet.join(relays, room, "p")
    assert (still, epoch) == (other, 2), "the room stays where it was moved to"


@on_sqlite
async def test_with_no_relay_alive_nothing_is_placed_until_one_comes(fleet, room):
    relays = await fleet.see()
    for process in fleet.processes.values():
        process.kill()
    await until(lambda: not any(link.client for link in relays.links), "both are gone")
    with pytest.raises(NoRelay):
        await relays.check()
    with pytest.raises(NoRelay):
        await fleet.join(relays, room, "p")
    assert (await find_room(fleet, room)).epoch == 0
    fleet.start("a")
    await until(lambda: any(link.client for link in relays.links), "one is back")
    await relays.check()
    assert (await fleet.join(relays, room, "p"))[1] == "a"


@on_sqlite
async def test_what_a_relay_says_of_a_room_that_was_moved_away_is_not_written(fleet, room, look):
    relays = await fleet.see()
    person = (await look()).participants[0]
    _, name, _ = await fleet.join(relays, room, person.id)
    old = relays.find_place(room, 1)
    other = next(link.instance for link in relays.links if link.name != name)
    async with fleet.database.begin() as db:
        await rooms.place(db, room, living={other}, best=other, now=fleet.clock())
    await relays.leave(appointment_id=room, epoch=1, participant_id=person.id)
    assert relays.lives(old)
    await fleet.join(relays, room, person.id)
    client = next(link.client for link in relays.links if link.instance == other)
    await until(lambda: _is_connected(client), "connected over there")
    await until(lambda: relays._news._queue.empty(), "all news is taken")
    assert (await look()).participants[0].silent_since is None


async def _is_connected(client) -> bool:
    return (await client.status())["connected"] == 1


@pytest.fixture
def two_relays(monkeypatch, tmp_path) -> None:
    """Have the application look for the fleet's relays as its own."""
    monkeypatch.setenv("VIDEO_RELAYS", "2")
    (tmp_path / "run").mkdir(mode=0o700)
    for number, name in enumerate("ab", start=1):
        (tmp_path / "run" / f"relay-{number}.sock").symlink_to(tmp_path / name / "relay.sock")


@on_sqlite
async def test_a_page_follows_its_room_when_another_process_has_moved_it(two_relays, fleet, appointment, sign_in):
    client = await sign_in("smith")
    async with client.ws_connect(f"/booth/appointments/{appointment.id}/socket") as socket:

        async def hear(*kinds: str) -> dict:
            while (message := await socket.receive_json())["type"] not in kinds:
                pass
            return message

        async def offer(number: int) -> None:
            peer = RawPeer(fleet.monkeypatch)
            fleet.peers.append(peer)
            await socket.send_json({"type": "offer", "id": number, "sdp": await peer.offer()})
            while (answer := await hear("answer", "refused"))["type"] == "refused":
                await asyncio.sleep(
                    0.2
                )  # the application has not found its relays yet; asked without a pause it hangs up
                await socket.send_json({"type": "offer", "id": number, "sdp": await peer.offer()})
            await peer.accept(answer["sdp"])

        await offer(1)
        first = (await find_room(fleet, appointment.id)).relay
        other = await fleet.see()  # a process that does not see the relay which holds the room
        living = {link.instance for link in other.links} - {first}
        async with fleet.database.begin() as db:
            await rooms.place(db, appointment.id, living=living, best=next(iter(living)), now=fleet.clock())
        assert [(await hear("relay"))["state"] for _ in range(2)] == ["lost", "back"]
        await offer(2)
        people = {link.instance: link.client for link in other.links}
        assert (await people[first].status())["participants"] == 0, "it has left where it was"
        assert (await people[next(iter(living))].status())["participants"] == 1


@on_sqlite
async def test_who_keeps_the_media_without_a_page_is_taken_out_once_nobody_is_told_of_them(
    two_relays, fleet, appointment, sign_in, admitted, clock
):
    person = await admitted()
    relays = await fleet.see()
    await fleet.join(relays, appointment.id, person.id)
    held_by = next(link.client for link in relays.links if link.instance == relays.find_place(appointment.id, 1))
    async with fleet.database.begin() as db:  # the page's line goes, on purpose or not; its media do not
        await presence.drop_socket(db, person, socket=person.socket, how="lost", now=clock())
    client = await sign_in("smith")
    clock.move(seconds=COMES_BACK.total_seconds() - 1)
    async with client.ws_connect(f"/booth/appointments/{appointment.id}/socket") as socket:
        while (message := await socket.receive_json())["type"] != "state":
            pass
        assert person.id in {one["id"] for one in message["state"]["people"]}, "still told of"
        assert (await held_by.status())["participants"] == 1

        async def is_out() -> bool:
            clock.move(seconds=1)
            return (await held_by.status())["participants"] == 0

        await until(is_out, "whoever is not shown hears nothing")


@on_sqlite
async def test_figures_of_every_relay_are_collected_by_name(fleet, room):
    relays = await fleet.see()
    registry = CollectorRegistry()
    registry.register(RelayCollector(relays.links))
    _, name, _ = await fleet.join(relays, room, "p")
    fleet.peers[0].send_raw(b"\x80nonsense that is not authentic at all")

    def told() -> str:
        return generate_latest(registry).decode()

    await until(lambda: f'relay_participants{{relay="{name}"}} 1.0' in told(), "the figures are read")
    await until(lambda: f'reason="not_authentic",relay="{name}"' in told(), "drops by reason")
    other = "ab".replace(name, "")
    for line in (
        f'relay_up{{relay="{other}"}} 1.0',
        f'relay_rooms{{relay="{name}"}} 1.0',
        f'relay_draining{{relay="{name}"}} 0.0',
        f'relay_packets_per_second{{relay="{other}"}} 0.0',
    ):
        assert line in told()
    assert f'relay_loop_stall_seconds{{relay="{name}"}}' in told()
    assert f'relay_loop_stalls_total{{over_ms="1000",relay="{name}"}}' in told()
    fleet.processes[other].kill()
    await until(lambda: f'relay_up{{relay="{other}"}} 0.0' in told(), "the dead one is told")
    assert f'relay_rooms{{relay="{other}"}}' not in told()


loads = st.builds(
    Load,
    relay=st.sampled_from("abcdef"),
    participants=st.integers(0, 500),
    packets_per_second=st.integers(0, 100_000),
    draining=st.booleans(),
    promised=st.integers(0, 20),
)


@given(st.lists(loads, unique_by=lambda load: load.relay), st.sets(st.sampled_from("abcdef")))
def test_a_room_goes_to_the_least_burdened_relay_that_takes_one(all_loads, avoid):
    chosen = choose(all_loads, avoid=avoid)
    able = {load.relay: weigh(load) for load in all_loads if not load.draining and load.relay not in avoid}
    assert (chosen is None) == (not able)
    if chosen is not None:
        assert able[chosen] == min(able.values())


def test_people_who_have_just_come_count_before_their_packets_do():
    idle = Load("a", participants=0, packets_per_second=0, draining=False)
    just_filled = Load("b", participants=0, packets_per_second=0, draining=False, promised=2)
    assert choose([just_filled, idle]) == "a"
    assert choose([Load("a", 4, 9_000, False), Load("b", 20, 6_000, False)]) == "b"
