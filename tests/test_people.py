"""Others in the call: who is told of whom, pauses, wishes about microphones, a supervisor who listens."""

import asyncio
from datetime import timedelta

import pytest

from video_server.audit import service as audit
from video_server.calls import asking, listening, pauses, presence, roles, service
from video_server.calls.absences import Absences
from video_server.calls.model import COMES_BACK, LEASE, Role, State
from video_server.phone import state as phone_state


async def actions_of(database, appointment) -> list[str]:
    async with database.read() as db:
        return [entry.action for entry in await audit.list_for(db, f"appointment:{appointment.id}")]


def shown_to(view, me, clock):
    """What the phone's page of a participant is told."""
    return phone_state.draw(
        view, me, officer_id="", officer_name="", collar_number="", reference="", waiting_words="", now=clock()
    )


def test_every_role_has_words_and_rights_and_a_listener_publishes_nothing():
    assert set(roles.WORDS) == set(Role)
    assert [role for role in Role if not roles.may_publish(role)] == [Role.SUPERVISOR]
    assert [role for role in Role if "screen" in roles.may_publish(role)] == [Role.VICTIM, Role.OFFICER]
    assert set(Role) - {Role.VICTIM, Role.OFFICER, Role.SUPERVISOR} == roles.GUESTS


async def test_everybody_in_the_call_is_named_and_who_waits_learns_nothing(
    database, appointment, clock, sit, admitted, waiting, look
):
    await sit("jones", name="PC Jones")
    person = await admitted()
    view = await look()
    told = shown_to(view, person, clock)["people"]
    assert [(one["name_to_show"], one["role"], one["is_self"]) for one in told] == [
        ("You", "victim", True),
        ("PC Jones", "officer", False),
    ]
    session_id = await waiting()
    view = await look()
    assert shown_to(view, view.of_session(session_id), clock)["people"] == []


async def test_everybody_is_told_of_whom_nothing_is_heard(database, clock, sit, admitted, look):
    jones, person = await sit("jones", name="PC Jones"), await admitted()

    async def lost():
        told = roles.list_people(await look(), person, victim="You", now=clock())
        return {one["name_to_show"]: one["lost"] for one in told}

    async with database.begin() as db:
        await presence.note_silence(db, jones.id, why="silent", now=clock())
    assert await lost() == {"You": False, "PC Jones": True}
    async with database.begin() as db:
        await presence.note_sound(db, jones.id, now=clock())
    assert await lost() == {"You": False, "PC Jones": False}


async def test_who_lost_the_connection_counts_for_a_minute_and_who_closed_the_page_not(
    database, clock, sit, admitted, look
):
    lost, closed = await sit("jones", name="PC Jones"), await sit("wood", name="PC Wood")
    async with database.begin() as db:
        await presence.drop_socket(db, lost, socket=lost.session_id, how="lost", now=clock())
        await presence.drop_socket(db, closed, socket=closed.session_id, how="closed_page", now=clock())
    people = [one["name_to_show"] for one in roles.list_people(await look(), None, victim="Jo", now=clock())]
    assert people == ["PC Jones"]
    clock.now += COMES_BACK + timedelta(seconds=1)
    assert roles.list_people(await look(), None, victim="Jo", now=clock()) == []


async def test_who_is_not_told_of_may_hear_no_more_once_that_was_so_for_a_while(database, clock, sit, admitted, look):
    absences = Absences()
    person, officer = await admitted(), await sit("jones", name="PC Jones")
    async with database.begin() as db:
        await presence.drop_socket(db, person, socket=person.socket, how="closed_page", now=clock())
    clock.now += COMES_BACK + LEASE  # nobody renewed anything meanwhile: as after an outage
    assert absences.find(await look(), clock()) == []
    async with database.begin() as db:
        await presence.renew_presence(db, [officer.session_id], now=clock())
    clock.now += LEASE
    assert [one.id for one in absences.find(await look(), clock())] == [person.id]
    async with database.begin() as db:
        await presence.take_socket(db, person, socket="again", now=clock())
    assert absences.find(await look(), clock()) == []


async def test_a_pause_asked_for_begins_and_ends_by_the_officer_and_is_recorded_once(
    database, appointment, clock, admitted, look
):
    person = await admitted()
    for _ in range(2):
        async with database.begin() as db:
            await pauses.ask(db, person.id, now=clock())
    view = await look()
    assert (view.is_held, view.pause.asked_by, len(view.pauses)) == (False, person.id, 1)
    began = clock.move(seconds=5)
    for _ in range(2):
        async with database.begin() as db:
            await pauses.begin(db, appointment.id, by="s" * 32, now=clock())
    view = await look()
    assert (view.is_held, shown_to(view, person, clock)["held"]) == (True, True)
    assert shown_to(view, person, clock)["held_words"]
    ended = clock.move(minutes=3)
    for _ in range(2):
        async with database.begin() as db:
            await pauses.end(db, appointment.id, by="s" * 32, now=clock())
    [pause] = (await look()).pauses
    assert (pause.began_at, pause.ended_at, (await look()).is_held) == (began, ended, False)
    told = [action for action in await actions_of(database, appointment) if "pause" in action]
    assert told == ["calls.pause_asked", "calls.pause_began", "calls.pause_ended"]


async def test_a_pause_that_was_only_asked_for_can_be_declined_and_never_counts(
    database, appointment, clock, admitted, look
):
    person = await admitted()
    async with database.begin() as db:
        await pauses.ask(db, person.id, now=clock())
    async with database.begin() as db:
        await pauses.end(db, appointment.id, by="s" * 32, now=clock())
    [pause] = (await look()).pauses
    assert (pause.began_at, (await look()).pause) == (None, None)
    assert "calls.pause_declined" in await actions_of(database, appointment)


async def test_two_presses_at_once_make_one_pause(database, appointment, clock, admitted, look):
    person = await admitted()

    async def press(deed, *who, **more):
        async with database.begin() as db:
            await deed(db, *who, now=clock(), **more)

    await asyncio.gather(
        press(pauses.begin, appointment.id, by="a" * 32),
        press(pauses.ask, person.id),
        press(pauses.begin, appointment.id, by="b" * 32),
    )
    view = await look()
    assert (view.is_held, len(view.pauses)) == (True, 1)


async def test_the_end_of_the_call_ends_the_pause_and_nobody_who_waits_can_ask(
    database, appointment, clock, admitted, waiting, look
):
    await admitted()
    session_id = await waiting()
    stranger = (await look()).of_session(session_id)
    async with database.begin() as db:
        with pytest.raises(service.CannotJoin):
            await pauses.ask(db, stranger.id, now=clock())
        await pauses.begin(db, appointment.id, by="s" * 32, now=clock())
        await service.end_call(db, appointment.id, outcome="seen", by="s" * 32, now=clock())
    assert not (await look()).is_held
    async with database.begin() as db:
        with pytest.raises(service.CannotJoin):
            await pauses.begin(db, appointment.id, by="s" * 32, now=clock())


async def test_a_wish_about_the_microphone_is_shown_until_it_is_settled(database, appointment, clock, admitted, look):
    person = await admitted()
    async with database.begin() as db:
        await asking.ask(db, appointment.id, person.id, what="unmute", by="s" * 32, name="PC Smith", now=clock())
    me = (await look()).by_id(person.id)
    assert shown_to(await look(), me, clock)["asked"] == {
        "what": "unmute",
        "said": "PC Smith asks you to turn your microphone on.",
    }
    for _ in range(2):
        async with database.begin() as db:
            await asking.settle(db, person.id, now=clock())
    assert shown_to(await look(), (await look()).by_id(person.id), clock)["asked"] is None
    assert "calls.asked" in await actions_of(database, appointment)


async def test_nobody_outside_the_call_is_asked_for_anything(database, appointment, clock, waiting, look):
    session_id = await waiting()
    person = (await look()).of_session(session_id)
    for what, refusal in (("mute", asking.NotInCall), ("force", ValueError)):
        async with database.begin() as db:
            with pytest.raises(refusal):
                await asking.ask(db, appointment.id, person.id, what=what, by="s" * 32, name="PC Smith", now=clock())


async def test_a_listening_supervisor_is_announced_to_all_for_as_long_as_it_lasts(
    database, appointment, clock, sit, admitted, look
):
    person = await admitted()
    boss = await sit("boss", listens=True)
    told = shown_to(await look(), person, clock)
    assert told["listeners"] == ["A supervisor, Sgt Boss, is listening."]
    assert [one["publishes"] for one in told["people"] if one["id"] == boss.id] == [[]]
    assert (await look()).officer(clock(), own="") is None
    for _ in range(2):
        async with database.begin() as db:
            await listening.stop(db, boss, now=clock())
    assert shown_to(await look(), person, clock)["listeners"] == []
    told = [action for action in await actions_of(database, appointment) if "listening" in action]
    assert told == ["calls.listening_began", "calls.listening_ended"]


async def test_who_listens_without_a_page_is_found_and_stays_announced_until_put_out(clock, sit, look):
    boss = await sit("boss", listens=True)
    assert listening.lost(await look(), clock()) == []
    clock.now += LEASE + timedelta(seconds=1)
    assert [one.id for one in listening.lost(await look(), clock())] == [boss.id]
    assert roles.say_listeners(await look()) == ["A supervisor, Sgt Boss, is listening."]


async def test_a_supervisor_takes_part_or_listens_and_never_both(database, clock, sit, look):
    person = await sit("boss")
    async with database.begin() as db:
        turned = await listening.turn(db, person, listens=True, now=clock())
    assert (turned.role, turned.state) == (Role.SUPERVISOR, State.LEFT)
    async with database.begin() as db:
        await listening.start(db, turned, now=clock())
        turned = await listening.turn(db, (await look()).by_id(person.id), listens=False, now=clock())
    assert (turned.role, turned.state, (await look()).listeners) == (Role.OFFICER, State.ADMITTED, [])
