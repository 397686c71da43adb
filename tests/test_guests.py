"""Guests of one call: invited by text or by link, let in one seat each, taken out at once, gone with the call."""

import asyncio
from datetime import timedelta

import pytest

from tests.cases import FORCE
from video_server.appointments import guests as invitations
from video_server.appointments import links
from video_server.appointments import service as appointments
from video_server.appointments.model import GuestRole
from video_server.audit import service as audit
from video_server.calls import guests, pauses, presence, roles, service
from video_server.calls.model import FINAL, Role, State
from video_server.core.errors import NotFound
from video_server.incidents import service as incidents
from video_server.tasks import service as tasks
from video_server.texts import service as texts
from video_server.texts.model import State as Sending
from video_server.web import sessions

THEIRS = "+447700900456"


@pytest.fixture
def invite(database, appointment, clock, key_ring):
    """Invite somebody: await invite(mobile=THEIRS)."""

    async def make(
        role: GuestRole = GuestRole.INTERPRETER, *, mobile=None, name="Sam Jones", signs=False, form_id=None
    ):
        async with database.begin() as db:
            return await invitations.invite(
                db,
                appointment,
                role=role,
                name=name,
                language="cy",
                signs=signs,
                mobile=mobile,
                by="s" * 32,
                now=clock(),
                force=FORCE,
                key_ring=key_ring,
                form_id=form_id,
            )

    return make


@pytest.fixture
def guest_waits(database, appointment, clock, key_ring):
    """Open a guest's link once more, be ready and wait; return the participant."""

    async def come(guest):
        async with database.begin() as db:
            token = key_ring.guest_token(guest.id, guest.generation)
            session, _, found, _ = await invitations.trade(db, token, now=clock(), force=FORCE, keys=key_ring)
            person = await guests.arrive(db, appointment, found, session_id=session.id, device="", now=clock())
            await service.start_waiting(db, person.id, now=clock())
            await presence.take_socket(db, person, socket=session.id, now=clock())
            return await service.get_participant(db, person.id)

    return come


async def admit(database, appointment, person, clock):
    async with database.begin() as db:
        return await service.admit(db, appointment, person.id, by="s" * 32, now=clock())


async def _come_late(database, appointment, guest, clock):
    """Somebody whose page was on its way while the invitation was taken back."""
    async with database.begin() as db:
        session, _ = await sessions.open_session(db, "guest", guest.id, now=clock())
        person = await guests.arrive(db, appointment, guest, session_id=session.id, device="", now=clock())
        await service.start_waiting(db, person.id, now=clock())
        await presence.take_socket(db, person, socket=session.id, now=clock())
        return person


async def texts_to(database, appointment, person_id):
    async with database.read() as db:
        return [one for one in await texts.list_for(db, f"appointment:{appointment.id}") if one.person_id == person_id]


def test_the_roles_of_guests_are_the_rooms_own():
    assert {Role(role.value) for role in GuestRole} == roles.GUESTS


async def test_an_invitation_by_text_goes_through_the_outbox_once_in_the_guests_language(database, appointment, invite):
    guest = await invite(mobile=THEIRS, form_id="f" * 32)
    assert await invite(mobile=THEIRS, form_id="f" * 32) == guest
    [text] = await texts_to(database, appointment, guest.person_id)
    assert (text.kind, text.link_id, text.state) == ("invited", guest.id, Sending.DUE)
    async with database.read() as db:
        person, held = await incidents.get_contact(db, guest.person_id)
    assert (person.language, person.safe_contact.wording.value, held) == ("cy", "plain", False)


async def test_the_links_address_opens_for_its_guest_only_and_not_as_the_persons(
    database, appointment, clock, key_ring, invite
):
    guest = await invite()
    async with database.read() as db:
        url = await links.link_url(db, guest.id, key_ring=key_ring, public_url="https://x")
        token = url.removeprefix("https://x/g/")
        view = await invitations.find_link(db, token, now=clock(), force=FORCE, keys=key_ring)
        as_person = await appointments.find_link(db, token, now=clock(), force=FORCE, keys=key_ring)
        persons = key_ring.link_token(appointment.id, appointment.generation)
        as_guest = await invitations.find_link(db, persons, now=clock(), force=FORCE, keys=key_ring)
    assert (view.state, view.guest, as_person.state, as_guest.state) == ("open", guest, "unknown", "unknown")


@pytest.mark.parametrize("mobile", [pytest.param(THEIRS, id="their phone"), pytest.param("+447700900123", id="shared")])
async def test_nothing_goes_to_a_guest_while_contact_with_the_person_is_on_hold(
    database, appointment, clock, invite, mobile
):
    async with database.begin() as db:
        await incidents.hold_contact(db, appointment.person_id, why="unsafe_answer", by="system:phone", now=clock())
    guest = await invite(mobile=mobile)
    assert await texts_to(database, appointment, guest.person_id) == []
    async with database.read() as db:
        assert "guest_text_refused" in {task.kind for task in await tasks.list_open(db)}


async def test_a_guest_is_told_of_a_move_and_of_the_cancellation(database, appointment, clock, invite):
    guest = await invite(mobile=THEIRS)
    later = (clock() + timedelta(days=1)).replace(hour=14)
    async with database.begin() as db:
        await appointments.move(
            db, appointment.id, starts_at=later, officer_id=None, by="s" * 32, now=clock(), force=FORCE
        )
    sent = await texts_to(database, appointment, guest.person_id)
    assert {one.kind for one in sent if one.state is Sending.DUE} == {"moved", "reminder"}
    assert {one.link_id for one in sent} == {guest.id}
    async with database.begin() as db:
        await service.cancel(db, appointment.id, by="s" * 32, reason="person_asked", now=clock())
    sent = await texts_to(database, appointment, guest.person_id)
    assert [one.kind for one in sent if one.state is Sending.DUE] == ["cancelled"]


async def test_guests_sit_apart_from_the_person_and_each_has_one_seat(
    database, appointment, clock, invite, guest_waits, admitted, look
):
    victim = await admitted()
    interpreter, guardian = await invite(), await invite(GuestRole.GUARDIAN, name="Pat Bloggs")
    first, mother = await guest_waits(interpreter), await guest_waits(guardian)
    for person in (first, mother):
        await admit(database, appointment, person, clock)
    second = await admit(database, appointment, await guest_waits(interpreter), clock)
    states = {person.id: person.state for person in (await look()).participants}
    assert states == {
        victim.id: State.ADMITTED,
        first.id: State.REPLACED,
        second.id: State.ADMITTED,
        mother.id: State.ADMITTED,
    }
    async with database.read() as db:
        assert not await sessions.is_still_open(db, first.session_id, now=clock())
        assert await sessions.is_still_open(db, victim.session_id, now=clock())
    told = roles.list_people(await look(), mother, victim="Jo", now=clock())
    assert (told[0]["name_to_show"], {one["name_to_show"] for one in told}) == ("Jo", {"Jo", "Pat Bloggs", "Sam Jones"})
    assert {one["is_self"] for one in told if one["role"] == "guardian"} == {True}


async def test_two_officers_who_let_two_sessions_of_a_guest_in_at_once_seat_one(
    database, appointment, clock, invite, guest_waits, look
):
    guest = await invite()
    both = [await guest_waits(guest), await guest_waits(guest)]
    came = await asyncio.gather(
        *(admit(database, appointment, person, clock) for person in both), return_exceptions=True
    )
    assert {type(one) for one in came if isinstance(one, Exception)} <= {service.NotWaiting}
    assert sorted(person.state for person in (await look()).participants) == [State.ADMITTED, State.REPLACED]


async def test_to_let_in_and_to_take_out_at_once_leaves_nobody_in(
    database, appointment, clock, invite, guest_waits, look
):
    guest = await invite()
    person = await guest_waits(guest)

    async def take_out():
        async with database.begin() as db:
            return await guests.remove(db, appointment.id, guest.id, by="s" * 32, now=clock())

    await asyncio.gather(admit(database, appointment, person, clock), take_out(), return_exceptions=True)
    assert (await look()).by_id(person.id).state is State.REMOVED


async def test_who_is_taken_out_is_put_out_once_and_the_link_is_dead(
    database, appointment, clock, key_ring, invite, guest_waits, look
):
    guest = await invite(mobile=THEIRS)
    person = await admit(database, appointment, await guest_waits(guest), clock)
    for expected in ([person.id], []):
        async with database.begin() as db:
            assert await guests.remove(db, appointment.id, guest.id, by="s" * 32, now=clock()) == expected
    async with database.read() as db:
        token = key_ring.guest_token(guest.id, guest.generation)
        assert (await invitations.find_link(db, token, now=clock(), force=FORCE, keys=key_ring)).state == "cancelled"
        assert await links.link_url(db, guest.id, key_ring=key_ring, public_url="") is None
        assert not await sessions.is_still_open(db, person.session_id, now=clock())
        actions = [entry.action for entry in await audit.list_for(db, f"appointment:{appointment.id}")]
    assert {one.state for one in await texts_to(database, appointment, guest.person_id)} == {Sending.VOID}
    clock.move(seconds=1)
    late = await _come_late(database, appointment, guest, clock)
    with pytest.raises(service.NotWaiting):
        await admit(database, appointment, late, clock)
    assert [actions.count(one) for one in ("calls.removed", "appointments.guest_revoked")] == [1, 1]
    async with database.begin() as db:
        with pytest.raises(NotFound):
            await guests.remove(db, appointment.id, "0" * 32, by="s" * 32, now=clock())


async def test_the_end_of_the_call_is_the_end_of_a_guests_link_and_session(
    database, appointment, clock, key_ring, invite, guest_waits, look
):
    guest = await invite()
    person = await guest_waits(guest)
    async with database.begin() as db:
        await service.end_call(db, appointment.id, outcome="seen", by="s" * 32, now=clock())
    token = key_ring.guest_token(guest.id, guest.generation)
    async with database.read() as db:
        assert (await invitations.find_link(db, token, now=clock(), force=FORCE, keys=key_ring)).state == "over"
        assert not await sessions.is_still_open(db, person.session_id, now=clock())
    assert all(one.state in FINAL for one in (await look()).participants)


@pytest.mark.parametrize("is_there", [pytest.param(True, id="person there"), pytest.param(False, id="place kept")])
async def test_five_people_fit_into_a_call_and_not_one_more(
    database, appointment, clock, invite, guest_waits, admitted, sit, is_there
):
    await sit("jones")
    if is_there:
        await admitted()
    await sit("boss", listens=True)
    invited = [await invite(name=f"Guest {n}") for n in range(4)]
    people = [await guest_waits(guest) for guest in invited]
    for person in people[:3]:
        await admit(database, appointment, person, clock)
    with pytest.raises(service.RoomFull):
        await admit(database, appointment, people[3], clock)
    again = await guest_waits(invited[0])
    assert (await admit(database, appointment, again, clock)).state is State.ADMITTED


async def test_a_guest_who_exits_alarms_nobody_and_one_who_leaves_may_come_back(
    database, appointment, clock, invite, guest_waits, look
):
    person = await admit(database, appointment, await guest_waits(await invite()), clock)
    async with database.begin() as db:
        await service.leave(db, person.id, now=clock())
        await service.start_waiting(db, person.id, now=clock())
        await service.exit_on_purpose(db, appointment.id, session_id=person.session_id, now=clock())
    view = await look()
    assert (view.by_id(person.id).state, view.alerts) == (State.EXITED, [])


async def test_nobody_is_invited_to_a_call_that_is_over_and_not_without_bounds(database, appointment, clock, invite):
    for n in range(invitations.MOST_GUESTS):
        await invite(name=f"Guest {n}")
    with pytest.raises(invitations.TooManyGuests):
        await invite()
    async with database.begin() as db:
        await service.end_call(db, appointment.id, outcome="seen", by="s" * 32, now=clock())
    with pytest.raises(appointments.AlreadyEnded):
        await invite()


# --- who must be present ---


async def test_a_role_that_must_be_present_is_missing_until_somebody_of_it_is_in_the_call(
    database, appointment, clock, invite, guest_waits, look
):
    needs = [GuestRole.INTERPRETER, GuestRole.GUARDIAN]
    for _ in range(2):
        async with database.begin() as db:
            await appointments.set_needs(db, appointment.id, needs, by="s" * 32, now=clock())

    async def missing():
        async with database.read() as db:
            stands = (await appointments.get(db, appointment.id)).needs
        return roles.list_missing((await look()).participants, stands, now=clock())

    assert await missing() == [Role.GUARDIAN, Role.INTERPRETER]
    person = await guest_waits(await invite())
    assert await missing() == [Role.GUARDIAN, Role.INTERPRETER]
    await admit(database, appointment, person, clock)
    assert await missing() == [Role.GUARDIAN]
    async with database.begin() as db:
        await presence.drop_socket(db, person, socket=person.session_id, how="lost", now=clock())
    assert await missing() == [Role.GUARDIAN, Role.INTERPRETER]
    async with database.read() as db:
        actions = [entry.action for entry in await audit.list_for(db, f"appointment:{appointment.id}")]
    assert actions.count("appointments.needs_set") == 1


async def test_a_guest_in_the_call_may_ask_for_a_pause_and_the_others_are_told_who_asked(
    database, appointment, clock, admitted, look, sit, invite, guest_waits
):
    person = await admitted()
    guest = await admit(database, appointment, await guest_waits(await invite()), clock)
    boss = await sit("boss", listens=True)
    async with database.begin() as db:
        with pytest.raises(service.CannotJoin):
            await pauses.ask(db, boss.id, now=clock())
        await pauses.ask(db, guest.id, now=clock())
    view = await look()
    told = [roles.draw(view, who, victim="Jo", now=clock()) for who in (person, guest)]
    assert [(one["pause_asked"], one["pause_asked_by"]) for one in told] == [(True, "Sam Jones"), (True, "")]
