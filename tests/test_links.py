"""The join link: what it leads to at which time, what it never tells, and what a trade gives."""

import pytest
from sqlalchemy import select

from tests import cases
from tests.cases import FORCE, at
from video_server.accounts.model import Role
from video_server.appointments import links, service
from video_server.core.keys import KeyRing
from video_server.migrations import all_tables
from video_server.web import storage as sessions


@pytest.fixture
async def booked(database, clock, key_ring, add_staff):
    """An appointment at 14:00 to 14:45, and its token."""
    await add_staff("smith", Role.OFFICER)
    appointment = await cases.book(database, clock, key_ring, await cases.record(database, clock), at("14:00"))
    return appointment, key_ring.link_token(appointment.id, 1)


async def look(database, key_ring, token, now):
    async with database.read() as db:
        return await service.find_link(db, token, now=now, force=FORCE, keys=key_ring)


async def trade(database, key_ring, token, now):
    async with database.begin() as db:
        return await service.trade(db, token, now=now, force=FORCE, keys=key_ring)


@pytest.mark.parametrize(
    ("now", "state"),
    [
        pytest.param(at("10:00"), "early", id="hours before"),
        pytest.param(at("13:29"), "early", id="a minute too early"),
        pytest.param(at("13:30"), "open", id="half an hour before"),
        pytest.param(at("14:45"), "open", id="at the end"),
        pytest.param(at("14:44", "2026-03-03"), "open", id="the page stays for a day"),
        pytest.param(at("14:45", "2026-03-03"), "over", id="a day after the end"),
    ],
)
async def test_a_link_opens_half_an_hour_before_and_lasts_a_day_after(database, key_ring, booked, now, state):
    appointment, token = booked
    view = await look(database, key_ring, token, now)
    assert (view.state, view.appointment) == (state, appointment)


async def test_an_ended_call_keeps_its_page(database, key_ring, booked):
    appointment, token = booked
    async with database.begin() as db:
        await service.end(db, appointment.id, outcome="seen", by="system:test", now=at("14:20"))
    assert (await look(database, key_ring, token, at("14:30"))).state == "open"


async def test_a_cancelled_appointment_ends_its_link_and_its_sessions(database, key_ring, booked):
    appointment, token = booked
    _, secret, _ = await trade(database, key_ring, token, at("13:40"))
    async with database.begin() as db:
        await service.cancel(db, appointment.id, by="system:test", reason="person_asked", now=at("13:50"))
        assert (await sessions.find_session(db, links.digest(secret))).ended_at == at("13:50")
        link = await service.find_link_of(db, appointment.id)
    assert link is None
    assert (await look(database, key_ring, token, at("13:55"))).state == "cancelled"
    with pytest.raises(links.LinkCancelled):
        await trade(database, key_ring, token, at("13:55"))


async def test_unknown_mangled_and_forged_tokens_are_told_alike_and_give_nothing(database, key_ring, booked):
    appointment, token = booked
    other_key = KeyRing(link=bytes(32)).link_token(appointment.id, 1)
    for wrong in (
        token[:-1],
        f"{token}A",
        token.swapcase(),
        f"{token[:-1]}=",
        f" {token}",
        f"{token}\n",
        token[:-1] + "é",
        "",
        "\x00" * 22,
        "A" * 22,
        "A" * 10_000,
        appointment.id,
        other_key,
        key_ring.link_token(appointment.id, 2),
    ):
        assert await look(database, key_ring, wrong, at("14:00")) == links.UNKNOWN
        with pytest.raises(links.LinkUnknown):
            await trade(database, key_ring, wrong, at("14:00"))


async def test_a_new_link_key_kills_every_link(database, booked):
    _, token = booked
    assert await look(database, KeyRing(link=bytes(32)), token, at("14:00")) == links.UNKNOWN


async def test_each_link_leads_to_its_own_appointment(database, clock, key_ring, booked):
    appointment, token = booked
    other = await cases.book(database, clock, key_ring, await cases.record(database, clock), at("15:00"))
    view = await look(database, key_ring, key_ring.link_token(other.id, 1), at("14:40"))
    assert view.appointment == other
    assert (await look(database, key_ring, token, at("14:40"))).appointment == appointment


async def test_looking_at_a_link_changes_no_row_however_often(database, key_ring, booked):
    _, token = booked

    async def everything():
        async with database.read() as db:
            return {table.name: (await db.execute(select(table))).all() for table in all_tables().sorted_tables}

    before = await everything()
    assert before["links"]
    for now in (at("10:00"), at("14:00"), at("14:00", "2026-03-09")):
        await look(database, key_ring, token, now)
        await look(database, key_ring, "A" * 22, now)
    assert await everything() == before


async def test_each_trade_makes_its_own_session_and_the_first_stays(database, key_ring, booked):
    appointment, token = booked
    first, second = [await trade(database, key_ring, token, at("13:40")) for _ in range(2)]
    assert first[0].id != second[0].id
    assert first[1] != second[1]
    async with database.read() as db:
        for session, secret, _ in (first, second):
            found = await sessions.find_session(db, links.digest(secret))
            assert (found.id, found.kind, found.subject) == (session.id, "phone", appointment.id)
            assert found.is_open(at("14:44", "2026-03-03"))
            assert not found.is_open(at("14:45", "2026-03-03"))


async def test_an_early_link_is_traded_so_that_its_page_can_say_when(database, key_ring, booked):
    appointment, token = booked
    session, _, found = await trade(database, key_ring, token, at("11:00"))
    assert (session.subject, found) == (appointment.id, appointment)


async def test_a_link_that_is_over_is_not_traded(database, key_ring, booked):
    with pytest.raises(links.LinkOver):
        await trade(database, key_ring, booked[1], at("15:00", "2026-03-03"))


async def test_a_move_keeps_the_link_and_a_text_can_write_it_again(database, clock, key_ring, booked):
    appointment, token = booked
    async with database.begin() as db:
        before = await service.find_link_of(db, appointment.id)
        await service.move(
            db, appointment.id, starts_at=at("18:00"), officer_id=None, by="system:test", now=clock(), force=FORCE
        )
        link_id = await service.find_link_of(db, appointment.id)
        url = await service.link_url(db, link_id, key_ring=key_ring, public_url="https://video.example")
    assert link_id == before
    assert url == f"https://video.example/j/{token}"
    assert (await look(database, key_ring, token, at("14:00"))).state == "early"
    assert (await look(database, key_ring, token, at("17:30"))).state == "open"


async def test_a_voided_link_is_not_written_again(database, clock, key_ring, booked):
    appointment, _ = booked
    async with database.begin() as db:
        link_id = await service.find_link_of(db, appointment.id)
        await service.cancel(db, appointment.id, by="system:test", reason="other_way", now=clock())
        assert await service.link_url(db, link_id, key_ring=key_ring, public_url="https://video.example") is None


async def test_the_table_keeps_no_token(database, booked):
    _, token = booked
    async with database.read() as db:
        rows = (await db.execute(select(all_tables().tables["links"]))).all()
    assert rows
    assert token not in str(rows)
