"""Who may hear whom and in which slot, by epochs and admission alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from video_server.relay import rooms as rooms_module
from video_server.relay.protocol import Refused
from video_server.relay.rooms import MAX_PARTICIPANTS, Participant, Room, Rooms, Seat


def participant(name, *, admitted=True, echo=False, slots=4):
    return Participant(name, admitted, echo, slots)


def room_of(*participants):
    room = Room("r", 1, {each.id: each for each in participants})
    room.reseat()
    return room


def test_two_hear_each_other_only_when_both_are_admitted():
    a, b = participant("a"), participant("b", admitted=False)
    room = room_of(a, b)
    assert a.seats == b.seats == {}
    b.admitted = True
    room.reseat()
    assert a.seats == {Seat("b"): 0}
    assert b.seats == {Seat("a"): 0}
    a.admitted = False
    room.reseat()
    assert a.seats == b.seats == {}


def test_an_echo_hears_itself_and_nobody_else():
    a, echo = participant("a"), participant("e", admitted=False, echo=True)
    room_of(a, echo)
    assert echo.seats == {Seat("e"): 0}
    assert a.seats == {}


def test_a_screen_takes_a_slot_of_its_own_and_gives_it_back():
    a, b, c = participant("a"), participant("b"), participant("c")
    room = room_of(a, b)
    b.screen = True
    assert room.reseat() == [a]
    assert a.seats == {Seat("b"): 0, Seat("b", True): 1}
    room.participants["c"] = c
    room.reseat()
    assert a.seats[Seat("c")] == 2
    b.screen = False
    room.reseat()
    assert a.seats == {Seat("b"): 0, Seat("c"): 2}


def test_of_two_screens_at_once_one_is_seen_until_it_stops():
    a, b, waiting = participant("a"), participant("b"), participant("w", admitted=False)
    room = room_of(a, b, waiting)
    waiting.screen = True
    room.reseat()
    assert room.sharer is None, "who is not let in keeps nobody from sharing"
    b.screen = True
    room.reseat()
    a.screen = waiting.admitted = True
    room.reseat()
    assert room.sharer == "b"
    assert Seat("b", True) in a.seats
    assert Seat("b", True) in waiting.seats
    assert b.seats == {Seat("a"): 0, Seat("w"): 1}
    b.screen = False
    room.reseat()
    assert Seat("a", True) in b.seats
    assert a.seats == {Seat("b"): 0, Seat("w"): 2}


@given(
    st.lists(st.tuples(st.sampled_from("abcdefg"), st.sampled_from(["come", "go", "admit", "wait", "share", "stop"])))
)
def test_nobody_ever_moves_to_another_slot_while_heard(steps):
    room = Room("r", 1)
    for name, step in steps:
        before = {p.id: dict(p.seats) for p in room.participants.values()}
        if step == "come":
            arriving = participant(name, slots=3)
            if name in room.participants:
                arriving.seats = dict(room.participants[name].seats)
            room.participants[name] = arriving
        elif step == "go":
            room.participants.pop(name, None)
        elif name in room.participants:
            one = room.participants[name]
            one.admitted = {"admit": True, "wait": False}.get(step, one.admitted)
            one.screen = {"share": True, "stop": False}.get(step, one.screen)
        room.reseat()
        for receiver in room.participants.values():
            assert len(set(receiver.seats.values())) == len(receiver.seats)
            assert all(slot < 3 for slot in receiver.seats.values())
            assert {seat.participant for seat in receiver.seats if seat.screen} <= {room.sharer}
            for seat, slot in receiver.seats.items():
                assert room.may_hear(receiver, room.participants[seat.participant])
                assert before.get(receiver.id, {}).get(seat, slot) == slot
        assert room.reseat() == []


def test_an_older_epoch_is_refused_also_after_the_room_closed():
    rooms = Rooms()
    rooms.enter("r", 5)
    room = rooms.put("r", 5, participant("a"))
    with pytest.raises(Refused) as refusal:
        rooms.enter("r", 4)
    assert refusal.value.code == "stale_epoch"
    rooms.remove(room, "a")
    assert rooms.rooms == {}
    with pytest.raises(Refused):
        rooms.enter("r", 4)
    assert rooms.enter("r", 5) is None


def test_a_newer_epoch_hands_back_the_room_to_be_emptied():
    rooms = Rooms()
    rooms.enter("r", 1)
    old = rooms.put("r", 1, participant("a"))
    assert rooms.enter("r", 2) is old
    new = rooms.put("r", 2, participant("a"))
    rooms.remove(old, "a")
    assert rooms.rooms == {"r": new}


def test_who_comes_again_keeps_the_seats_it_saw_and_the_one_it_had():
    rooms = Rooms()
    rooms.enter("r", 1)
    for name in "abc":
        room = rooms.put("r", 1, participant(name))
        room.reseat()
    before = {p.id: p.seats for p in room.participants.values()}
    rooms.put("r", 1, participant("b"))
    room.reseat()
    assert {p.id: p.seats for p in room.participants.values()} == before


def test_a_full_room_refuses_newcomers_but_not_those_who_come_again(monkeypatch):
    rooms = Rooms()
    rooms.enter("r", 1)
    for n in range(MAX_PARTICIPANTS):
        rooms.put("r", 1, participant(f"p{n}"))
    with pytest.raises(Refused, match="participants"):
        rooms.put("r", 1, participant("one more"))
    rooms.put("r", 1, participant("p3"))
    monkeypatch.setattr(rooms_module, "MAX_ROOMS", 1)
    with pytest.raises(Refused, match="rooms"):
        rooms.put("another", 1, participant("a"))


def test_those_who_wait_keep_nobody_out_who_is_let_in():
    rooms = Rooms()
    rooms.enter("r", 1)
    for n in range(MAX_PARTICIPANTS):
        rooms.put("r", 1, participant(f"p{n}", admitted=False))
    with pytest.raises(Refused, match="participants"):
        rooms.put("r", 1, participant("waits", admitted=False))
    rooms.put("r", 1, participant("officer", admitted=True))


def test_remembered_epochs_are_bounded_but_never_those_of_open_rooms(monkeypatch):
    monkeypatch.setattr(rooms_module, "_REMEMBERED_EPOCHS", 3)
    rooms = Rooms()
    rooms.enter("open", 9)
    rooms.put("open", 9, participant("a"))
    for n in range(10):
        rooms.enter(f"r{n}", 1)
    assert len(rooms._epochs) == 3
    with pytest.raises(Refused):
        rooms.enter("open", 8)


def test_unknown_room_and_participant_are_told_apart():
    rooms = Rooms()
    with pytest.raises(Refused) as refusal:
        rooms.get_participant("r", "a")
    assert refusal.value.code == "unknown_room"
    rooms.enter("r", 1)
    rooms.put("r", 1, participant("a"))
    with pytest.raises(Refused) as refusal:
        rooms.get_participant("r", "b")
    assert refusal.value.code == "unknown_participant"


@given(st.permutations([(version, version % 2 == 1) for version in range(6)]), st.data())
def test_whatever_order_holds_come_in_the_latest_change_stands(told, data):
    rooms = Rooms()
    rooms.enter("r", 1)
    joins_after = data.draw(st.integers(0, len(told)))
    for n, (version, held) in enumerate(told):
        if n == joins_after:
            rooms.put("r", 1, participant("a"))
        rooms.hold("r", held=held, version=version)
    rooms.put("r", 1, participant("a"))
    assert rooms.get("r").held is True, "version 5"
    rooms.enter("r", 2)
    rooms.hold("r", held=False, version=1)
    assert rooms.put("r", 2, participant("a")).held is False, "another epoch counts anew"
